"""`make batch`: scores a file with the champion into a table of the database, for a schedule."""

import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import polars.selectors as cs
import sqlalchemy as sql
from pandas.errors import DatabaseError

from ..commands.predict import check_free, print_errors, score_chunks
from ..console import Arguments, parse, working
from ..data import tables
from ..data.contract import Contract
from ..database import database, now, url
from ..files import Content, partitions
from ..project import Paths, UserError
from ..tracking import open_registry
from . import log_tables as log

LOCK = sql.text("select pg_advisory_xact_lock(hashtext(:table))")
ID = "prediction_id"
LOGGED = {
    "alias": "champion",
    "strategy": log.BATCH,
    "shown": True,
    "environment": "batch",
    "code_version": "none",
    "latency_ms": 0.0,
}
NAME = re.compile(r"[A-Za-z_]\w*")


def publish(
    chunks: Iterable[pl.DataFrame], engine: sql.Engine, table: str, batch: Mapping[str, Any]
) -> int:
    """Write rows, with the columns of `batch`, into a table; returns their number.

    A missing table is made, rows of a batch of the same name are replaced, and all or nothing is
    written. Raises UserError where the table cannot take the rows.
    """
    rows = 0
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # SQLite lets one write at a time
                connection.execute(LOCK, {"table": table})
            inspector = sql.inspect(connection)
            if inspector.has_table(table):
                if not batch.keys() <= {column["name"] for column in inspector.get_columns(table)}:
                    raise UserError(f"TABLE={table} exists, not of `make batch`; name another.")
                there = sql.table(table, sql.column("batch"))
                connection.execute(there.delete().where(there.c.batch == batch["batch"]))
            for chunk in chunks:
                check_free(chunk.columns, batch.keys())
                whole = chunk.with_columns(pl.lit(value).alias(key) for key, value in batch.items())
                whole.write_database(table, connection, if_table_exists="append")
                rows += chunk.height
    except (sql.exc.SQLAlchemyError, DatabaseError) as error:
        # The first line of the database alone: the statement holds rows, which may be personal.
        cause = error.__cause__ if isinstance(error, DatabaseError) else error
        reason = str(getattr(cause, "orig", cause)).partition("\n")[0]
        raise UserError(
            f"TABLE={table} cannot take the rows, and has none of them: {reason}\n"
            "If it has other columns, name another TABLE."
        ) from None
    return rows


def log_rows(
    engine: sql.Engine, rows: pl.DataFrame, contract: Contract, batch: Mapping[str, Any]
) -> None:
    """Add scored rows to the prediction log, for truths to come back to them."""
    names = contract.names("input", "time", "id")
    inputs = rows.select(cs.by_name(names, require_all=False) & ~cs.temporal())
    dates = rows.select(cs.by_name(names, require_all=False) & cs.temporal())
    inputs = inputs.hstack(dates.with_columns(pl.all().dt.to_string("iso:strict")))
    given = rows.select(ID, "prediction").rows()
    entries = [
        {
            "id": id,
            "time": batch["scored_at"],
            "version": batch["model_version"],
            "request_id": batch["batch"][:64],
            "inputs": values,
            "output": {"prediction": value, ID: id, "model_version": batch["model_version"]},
            **LOGGED,
        }
        for values, (id, value) in zip(inputs.iter_rows(named=True), given, strict=True)
        if value is not None
    ]
    with engine.begin() as connection:
        if entries:
            log.insert(connection, log.predictions, entries)


def main(paths: Paths, arguments: Arguments) -> None:
    """Score INPUT into TABLE; BATCH is its name, else the file's name and a hash of its content.

    The prediction log has the rows too, by ids that are the same when a batch is repeated.
    """
    args = parse("batch", arguments, input="", table="", batch="")
    source = Path(args.input)
    if args.table.lower() in log.tables.tables or not NAME.fullmatch(args.table):
        raise UserError(f"TABLE={args.table} is no plain name, or the service's own; name another.")
    tables.check_readable(source)
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    args.batch = args.batch or f"{source.name} {digest[:12]}"
    registry = open_registry(paths)
    version = registry.find("champion")
    contract = registry.contract(version)
    batches = paths.root / ".serving" / "batches"
    batches.mkdir(parents=True, exist_ok=True)
    # In the file of the log, a large batch would block log and queue.
    engine = database(url(batches / "tables.db"))
    personal = [column.name for column in contract.columns if column.pii]

    def read(part: Path) -> pl.DataFrame:
        kept = pl.read_parquet(part).drop(personal, strict=False)
        check_free(kept.columns, [ID])
        rows = (f"{digest} {version} {part.name} {row}" for row in range(kept.height))
        ids = pl.Series(ID, [str(uuid.uuid5(uuid.NAMESPACE_OID, row)) for row in rows])
        return kept.with_columns(*contract.read(kept, kept.columns).get_columns(), ids)

    batch: Content = {"batch": args.batch, "model_version": version.number}
    with TemporaryDirectory(dir=batches) as folder:
        score_chunks(source, Path(folder), registry.load(version.name), contract)
        parts = partitions(Path(folder))
        scored = pl.scan_parquet(parts, glob=False)
        print_errors(scored, args.table, f"scored by {version}")
        none = (pl.len() > 0) & pl.col("error").is_not_null().all()
        if scored.select(none).collect().item():
            raise UserError("no row could be scored; nothing was written.")
        batch["scored_at"] = now()
        with working("batch"):
            rows = publish(map(read, parts), engine, args.table, batch)
            logged = database(log.url(paths))
            log.prepare(logged)
            for part in parts:
                log_rows(logged, read(part), contract, batch)
    shown = engine.url.render_as_string(hide_password=True)
    print(f"{args.table}: {rows:,} rows as batch {args.batch} in {shown}.")
