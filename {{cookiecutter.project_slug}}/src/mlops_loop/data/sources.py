"""Sources of raw data: the modules of a package, of which `ingest.source` names one.

A source has a class `Options`, its keys in `ingest`, and `partitions(options, seed, paths)`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from ..config import Ingest, Section, validated
from ..project import Paths, UserError


@dataclass(frozen=True)
class Partition:
    """One file of data/raw; fetched again only when its origin differs from the recorded one."""

    name: str
    origin: str
    fetch: Callable[[Path], None]


def options(sources: ModuleType, ingest: Ingest) -> Section:
    """The keys of the chosen source, a module of `sources`; keys of other sources are ignored.

    Raises UserError for an unknown source, and for every key that is missing, wrong or unknown.
    """
    names, name = sorted(each.name for each in iter_modules(sources.__path__)), ingest.source
    if name not in names:
        raise UserError(f"params.yaml: ingest.source: {name} is none of {', '.join(names)}.")
    own: type[Section] = _load(sources, name).Options
    others = {key for name in names for key in _load(sources, name).Options.model_fields}
    given = dict(ingest.model_extra or {})
    for key in others - own.model_fields.keys():
        given.pop(key, None)
    return validated(own, given, "params.yaml", "ingest")


def list_partitions(
    sources: ModuleType, ingest: Ingest, seed: int, paths: Paths
) -> list[Partition]:
    """The partitions that params.yaml asks for; raises UserError where it is wrong."""
    given = options(sources, ingest)
    return list(_load(sources, ingest.source).partitions(given, seed, paths))


def _load(sources: ModuleType, name: str) -> Any:
    return import_module(f".{name}", sources.__name__)
