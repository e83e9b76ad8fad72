"""Sources of raw data: the modules of a package, of which `ingest.source` names one.

A source has a class `Options`, its keys in `ingest`, and `partitions(options, seed, paths)`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import polars as pl

from ..config import Ingest, Section, validated
from ..files import read_json
from ..project import Paths, UserError, load_settings


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


class Query(Section):
    """A query, the variable with its database's address, and a column that only grows, if any.

    Rows that come late, with a value of `increment` below the newest, are never read.
    """

    address: str = "SOURCE_URL"
    query: str | None
    increment: str | None = None


def query_partitions(options: Query, seed: int, paths: Paths) -> Iterator[Partition]:
    """Yield the partitions that have landed, and one of the rows whose `increment` is greater.

    Without `increment` there is one partition, of all rows as they are now. Another query begins
    anew: what landed by the old one goes.
    """
    column, now = options.increment or "", f"{datetime.now():%Y-%m-%d-%H%M%S}"
    origin, manifest = f"sql: {options.query}, by {column or now}", paths.raw / "manifest.json"
    recorded = read_json(manifest) if manifest.exists() else {}
    landed = [n for n, o in recorded.items() if o == origin and (paths.raw / n).exists()]
    newest = pl.read_parquet(paths.raw / landed[-1])[column].max() if landed else None
    rows = read_query(options, paths, newest)
    if column and (column not in rows.columns or rows[column].null_count()):
        raise UserError(f"params.yaml: ingest.increment: {column} is no column without gaps.")
    names = landed if rows.is_empty() and landed else [*landed, f"{now}.parquet"]
    for name in names if column else ["query.parquet"]:
        yield Partition(name, origin, rows.write_parquet)


def read_query(options: Query, paths: Paths, newest: Any = None) -> pl.DataFrame:
    """Read the rows of a query, or those with a greater `increment` than the newest.

    Raises UserError where the address is missing, or the database refuses.
    """
    import sqlalchemy as sql

    from ..database import SHORT

    load_settings(paths)
    address = os.environ.get(options.address)
    if not (address and options.query):
        raise UserError(f"source sql needs ingest.query in params.yaml, {options.address} in .env.")
    text = options.query.strip("; \n").replace(":", r"\:")  # which would begin a parameter
    asked = sql.select(sql.text("*")).select_from(sql.text(f"({text}) asked"))
    if newest is not None:
        asked = asked.where(sql.column(options.increment) > newest)
    try:
        with sql.create_engine(SHORT.sub("postgresql+psycopg://", address)).connect() as connection:
            rows = pl.read_database(asked, connection, infer_schema_length=None)
            # Polars holds some types, as a UUID, as objects of Python, which no file can hold.
            return rows.with_columns(pl.col(pl.Object).map_elements(str, pl.String))
    except (sql.exc.SQLAlchemyError, ImportError, pl.exceptions.PolarsError) as error:
        problem = str(error).partition("\n")[0]
        raise UserError(f"params.yaml: ingest.query, of {options.address}: {problem}") from None


def _load(sources: ModuleType, name: str) -> Any:
    return import_module(f".{name}", sources.__name__)
