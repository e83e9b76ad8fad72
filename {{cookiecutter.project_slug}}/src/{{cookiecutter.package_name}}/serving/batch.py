"""`make batch`: a file scored by the champion into a table of the database, for a schedule."""

import argparse
import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql
from pandas.errors import DatabaseError

from ..data.contract import Contract, load_contract
from ..errors import UserError, run
from ..models.predict import check_free, predict_file
from ..paths import PROJECT, Paths
from ..progress import working
from ..tables import read_chunks
from . import log

NAME = re.compile(r"[A-Za-z_]\w*")


def fit_for_table(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows without personal data, text of a CSV in the dtypes of contract.yaml."""
    personal = [column.name for column in contract.columns if column.pii]
    kept = rows.drop(personal, strict=False)
    return kept.with_columns(contract.typed(kept, kept.columns).get_columns())


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
            forget(connection, table, known["batch"])
            for chunk in chunks:
                check_free(chunk.columns, known)
                whole = chunk.with_columns(
                    pl.lit(value).alias(name) for name, value in known.items()
                )
                whole.write_database(table, connection, if_table_exists="append")
                rows += chunk.height
    except (sql.exc.SQLAlchemyError, DatabaseError) as error:
        cause = error.__cause__ if isinstance(error, DatabaseError) else error
        # Its own words hold the rows, which may be personal.
        raise UserError(
            f"TABLE={table} cannot take the rows, and has none of them: "
            f"{getattr(cause, 'orig', cause)}\nIf it has other columns, name another TABLE."
        ) from None
    return rows


def forget(connection: sql.Connection, table: str, batch: str) -> None:
    """Delete the rows of an earlier batch of this name."""
    if sql.inspect(connection).has_table(table):
        there = sql.table(table, sql.column("batch"))
        connection.execute(there.delete().where(there.c.batch == batch))


def named(source: Path) -> str:
    """The name of a batch: the same file gives the same, tomorrow's of the same name another."""
    with source.open("rb") as file:
        return f"{source.name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def main(paths: Paths = PROJECT) -> None:
    """Score INPUT into TABLE; the batch is called BATCH, else by the file's name and content."""
    parser = argparse.ArgumentParser(prog="make batch")
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--batch")
    asked = parser.parse_args()
    if asked.table in log.tables.tables or not NAME.fullmatch(asked.table):
        raise UserError(
            f"TABLE={asked.table} is no plain name, or the service's own; name another."
        )
    scored = paths.batches / f"{asked.input.name.partition('.')[0]}.parquet"
    version = predict_file(paths, asked.input, scored)
    contract, url = load_contract(paths.contract), log.url(paths)
    chunks = (fit_for_table(chunk, contract) for chunk in read_chunks(scored))
    batch, now = asked.batch or named(asked.input), datetime.now(UTC).replace(tzinfo=None)
    known = {"batch": batch, "model_version": version, "scored_at": now}
    with working("batch"):
        rows = publish(chunks, log.database(url), asked.table, known)
    scored.unlink()
    shown = sql.make_url(url).render_as_string(hide_password=True)
    print(f"{asked.table}: {rows:,} rows as batch {batch}, by version {version}, in {shown}.")


if __name__ == "__main__":
    run(main)
