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
from types import ModuleType
from typing import Any

from ..config import Section, validated
from ..project import Paths, UserError
from ..sections import Ingest


@dataclass(frozen=True)
class Partition:
    """One file of data/raw; made again only when its origin is another than recorded."""

    name: str
    origin: str
    fetch: Callable[[Path], None]


def names(sources: ModuleType) -> list[str]:
    """The sources that there are."""
    return sorted(module.name for module in iter_modules(sources.__path__))


def options(sources: ModuleType, ingest: Ingest) -> Section:
    """The keys of the chosen source; those of other sources may stand beside them.

    Raises UserError for a source that is not there, and for every key that the source lacks, that
    has a wrong value, or that no source knows.
    """
    if ingest.source not in names(sources):
        there = ", ".join(names(sources))
        raise UserError(f"params.yaml: ingest.source: {ingest.source} is none of {there}.")
    own: type[Section] = _module(sources, ingest.source).Options
    others = {key for name in names(sources) for key in _module(sources, name).Options.model_fields}
    foreign = others - own.model_fields.keys()
    keys = ingest.model_extra or {}
    given = {key: value for key, value in keys.items() if key not in foreign}
    return validated(own, given, "params.yaml", "ingest")


def wanted(sources: ModuleType, ingest: Ingest, seed: int, paths: Paths) -> Iterator[Partition]:
    """The partitions that params.yaml asks for; raises UserError where it is wrong.

    `sources` is the package whose modules are the sources.
    """
    given = options(sources, ingest)
    yield from _module(sources, ingest.source).partitions(given, seed, paths)


def _module(sources: ModuleType, name: str) -> Any:
    return import_module(f".{name}", sources.__name__)
