"""Where raw data come from: each module here is a source, and `ingest.source` names one of them.

A new one, say `warehouse.py`, needs no other edit. It has a class `Options`, a Section: its own
keys in the section `ingest` of params.yaml; and a function `partitions(options, seed, paths)`,
which yields a Partition for every file that shall stand in data/raw.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from ...config import Section, validated
from ...errors import UserError
from ...params import Ingest, Params
from ...paths import Paths


@dataclass(frozen=True)
class Partition:
    """One file of data/raw; made again only when its origin is another than recorded."""

    name: str
    origin: str
    fetch: Callable[[Path], None]


def names() -> list[str]:
    """The sources that there are."""
    return sorted(module.name for module in iter_modules(__path__))


def options(ingest: Ingest) -> Section:
    """The keys of the chosen source; those of other sources may stand beside them.

    Raises UserError for a source that is not there, and for every key that the source lacks, that
    has a wrong value, or that no source knows.
    """
    if ingest.source not in names():
        there = ", ".join(names())
        raise UserError(f"params.yaml: ingest.source: {ingest.source} is none of {there}.")
    own: type[Section] = _module(ingest.source).Options
    others = {key for name in names() for key in _module(name).Options.model_fields}
    foreign = others - own.model_fields.keys()
    keys = ingest.model_extra or {}
    given = {key: value for key, value in keys.items() if key not in foreign}
    return validated(own, given, "params.yaml", "ingest")


def wanted(params: Params, paths: Paths) -> Iterator[Partition]:
    """The partitions that params.yaml asks for; raises UserError where it is wrong."""
    given = options(params.ingest)
    yield from _module(params.ingest.source).partitions(given, params.seed, paths)


def _module(name: str) -> Any:
    return import_module(f".{name}", __name__)
