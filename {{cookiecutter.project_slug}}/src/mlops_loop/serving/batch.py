"""`make batch`: a file scored by the champion into a table of the database, for a schedule."""

import argparse
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql
from pandas.errors import DatabaseError

from ..commands.predict import check_free, predict_file
from ..console import working
from ..data import tables
from ..data.contract import Contract, load_contract
from ..project import Paths, UserError, load_settings
from . import prediction_log as log

ONE_AT_A_TIME = sql.text("select pg_advisory_xact_lock(hashtext(:table))")
NAME = re.compile(r"[A-Za-z_]\w*")


def fit_for_table(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows without personal data, text of a CSV in the dtypes of contract.yaml."""
    personal = [column.name for column in contract.columns if column.pii]
    kept = rows.drop(personal, strict=False)
    return kept.with_columns(contract.read(kept, kept.columns).get_columns())


def publish(
    chunks: Iterable[pl.DataFrame], engine: sql.Engine, table: str, known: dict[str, Any]
) -> int:
    """Write rows and what is `known` of all of them into a table; returns their number.

    The table is made if it is not there, rows of an equally named batch are replaced, and all or
    nothing is written. Raises UserError where the table cannot take them.
    """
    rows = 0
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # SQLite lets one write at a time
                connection.execute(ONE_AT_A_TIME, {"table": table})
            forget(connection, table, known)
            for chunk in chunks:
                check_free(chunk.columns, known)
                whole = chunk.with_columns(
                    pl.lit(value).alias(name) for name, value in known.items()
                )
                whole.write_database(table, connection, if_table_exists="append")
                rows += chunk.height
    except (sql.exc.SQLAlchemyError, DatabaseError) as error:
        raise UserError(
            f"TABLE={table} cannot take the rows, and has none of them: {_reason(error)}\n"
            "If it has other columns, name another TABLE."
        ) from None
    return rows


def _reason(error: Exception) -> Any:
    """The database's words without the rows, which may be personal."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    words = getattr(cause, "orig", cause)
    return getattr(getattr(words, "diag", None), "message_primary", None) or words


def forget(connection: sql.Connection, table: str, known: dict[str, Any]) -> None:
    """Delete the rows of an earlier batch of this name; raises UserError for a table of others."""
    inspected = sql.inspect(connection)
    if not inspected.has_table(table):
        return
    if not known.keys() <= {column["name"] for column in inspected.get_columns(table)}:
        raise UserError(f"TABLE={table} is there, and `make batch` did not make it; name another.")
    there = sql.table(table, sql.column("batch"))
    connection.execute(there.delete().where(there.c.batch == known["batch"]))


def named(source: Path) -> str:
    """The name of a batch: the same file gives the same, tomorrow's of the same name another."""
    tables.check_readable(source)
    with source.open("rb") as file:
        return f"{source.name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


@contextmanager
def alone(folder: Path, *job: str) -> Iterator[Path]:
    """Where a job is scored into, which others of the same job wait for."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = folder / f"{hashlib.sha256(repr(job).encode()).hexdigest()[:16]}.parquet"
    with scored.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield scored
        scored.unlink()


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Score INPUT into TABLE; the batch is called BATCH, else by the file's name and content."""
    parser = argparse.ArgumentParser(prog="make batch")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--batch")
    asked = parser.parse_args(arguments)
    if asked.table.lower() in log.tables.tables or not NAME.fullmatch(asked.table):
        raise UserError(
            f"TABLE={asked.table} is no plain name, or the service's own; name another."
        )
    load_settings(paths)
    batches = paths.root / ".serving" / "batches"
    # A large batch would keep the log and the queue waiting in the same file.
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{batches / 'tables.db'}"
    engine, contract = log.database(url), load_contract(paths.contract)
    batch = asked.batch or named(asked.input)
    with alone(batches, str(asked.input.resolve()), asked.table, batch) as scored:
        version = predict_file(paths, asked.input, scored)
        now = datetime.now(UTC).replace(tzinfo=None)
        known = {"batch": batch, "model_version": version, "scored_at": now}
        chunks = (fit_for_table(chunk, contract) for chunk in tables.read_chunks(scored))
        with working("batch"):
            rows = publish(chunks, engine, asked.table, known)
    shown = engine.url.render_as_string(hide_password=True)
    print(f"{asked.table}: {rows:,} rows as batch {batch}, by version {version}, in {shown}.")
