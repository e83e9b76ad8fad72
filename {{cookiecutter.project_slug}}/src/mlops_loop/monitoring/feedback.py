"""`make feedback`: truths of predictions from a table, by their ids or by the user's own key."""

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql

from ..console import Arguments, parse, working
from ..data import tables
from ..data.contract import conform
from ..database import database, now
from ..models.model import Model
from ..project import Paths, UserError
from ..serving import log_tables as log
from ..tracking import open_registry
from .log import outcome_dtype

ID, ACTUAL = "prediction_id", "actual"
STEP = 500  # ids of one query
SENTENCES = {
    "empty": "rows have no truth yet",
    "malformed": "rows have a truth that is no outcome of the champion",
    "unknown": "rows are of no prediction in the log",
    "twice": "rows name a prediction that a later row names again, which counts",
    "known": "truths were known already",
}
Truths = dict[str, Any]


def main(paths: Paths, key: str | None, arguments: Arguments) -> None:
    """Log the truths of FILE and print how many, and what is wrong with the other rows.

    `key` is the column of logged inputs by which a file without ids is joined. The same file given
    again changes nothing. Raises UserError where the file lacks a column.
    """
    given = parse("feedback", arguments, file="")
    if not given.file:
        raise UserError("name the file: make feedback FILE=truths.csv")
    source = Path(given.file)
    tables.check_readable(source)
    counts = Counter[str]()
    with working("feedback"):
        model = open_registry(paths).load("champion")
        engine = database(log.url(paths))
        for chunk in tables.read_chunks(source):
            by = ID if ID in chunk.columns or not key else key
            truths = read_truths(chunk, source, by, model, counts)
            with log.connect(engine) as connection:
                if by != ID:
                    truths = find_ids(connection, by, truths, counts)
                write_truths(connection, truths, counts)
    print(f"{source}: {counts['written']:,} truths written.")
    for name, words in SENTENCES.items():
        if counts[name]:
            print(f"  {counts[name]:,} {words}.")


def read_truths(
    rows: pl.DataFrame, source: Path, by: str, model: Model, counts: Counter[str]
) -> Truths:
    """The truths of a table by id or key; rows without one are counted by the reason."""
    actual = ACTUAL if ACTUAL in rows.columns else model.target
    for name, words in ((by, "ids (monitoring.key names another)"), (actual, "truths")):
        if name not in rows.columns:
            raise UserError(
                f"{source}: there is no column {name} of {words}; `make label` writes such a file."
            )
    typed = conform(rows.select(actual), pl.Schema({actual: outcome_dtype(model)})).to_series()
    if model.classes:
        typed = typed.set(~typed.is_in(model.classes), None)
    empty = rows[actual].is_null() | (rows[actual].cast(pl.String).str.strip_chars() == "")
    counts["empty"] += int(empty.sum())
    counts["malformed"] += int((typed.is_null() & ~empty).sum())
    table = pl.DataFrame({"id": rows[by].cast(pl.String), "actual": typed})
    named = table.filter(typed.is_not_null())
    found = named.drop_nulls("id").unique("id", keep="last", maintain_order=True)
    unnamed = named["id"].null_count()
    counts["unknown"] += unnamed
    counts["twice"] += named.height - unnamed - found.height
    return dict(found.iter_rows())


def find_ids(connection: sql.Connection, key: str, truths: Truths, counts: Counter[str]) -> Truths:
    """The truths by the ids of predictions whose inputs have these keys, several of one key too."""
    query = sql.select(log.predictions.c.id, log.predictions.c.inputs[key].as_string())
    query = query.where(log.predictions.c.shown)
    rows = connection.execute(query, execution_options={"yield_per": 10_000})
    found = {id: str(value) for id, value in rows if str(value) in truths}
    counts["unknown"] += len(truths.keys() - set(found.values()))
    return {id: truths[value] for id, value in found.items()}


def write_truths(connection: sql.Connection, truths: Truths, counts: Counter[str]) -> None:
    """Log truths of known predictions, unless the log's latest truth is the same."""
    logged, told = log.predictions.c.id, log.feedback.c
    for start in range(0, len(truths), STEP):
        ids = list(truths)[start : start + STEP]
        there = set(connection.execute(sql.select(logged).where(logged.in_(ids))).scalars())
        query = sql.select(told.prediction_id, told.actual).where(told.prediction_id.in_(ids))
        rows = connection.execute(query.order_by(told.time, told.id))
        latest = {row.prediction_id: row.actual for row in rows}
        new = [id for id in ids if id in there and latest.get(id) != truths[id]]
        counts["unknown"] += len(set(ids) - there)
        counts["known"] += len(there) - len(new)
        counts["written"] += len(new)
        entries = [
            {"id": str(uuid.uuid4()), "prediction_id": id, "time": now(), "actual": truths[id]}
            for id in new
        ]
        if entries:
            log.insert(connection, log.feedback, entries)
