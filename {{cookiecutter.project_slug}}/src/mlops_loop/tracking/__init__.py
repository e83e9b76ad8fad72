"""Runs, versions and their history."""

from typing import TYPE_CHECKING

from ..project import Paths, load_settings

if TYPE_CHECKING:
    from .registry import Registry


def open_registry(paths: Paths) -> "Registry":
    """Connect to a project's registry; MLflow is imported late, after checks that do without it."""
    from .registry import connect

    return connect(paths, load_settings(paths))
