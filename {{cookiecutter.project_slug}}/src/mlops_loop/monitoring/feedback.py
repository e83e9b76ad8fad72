"""`make feedback`: truths of predictions from a table, by their ids or by the user's own key.

`make label` draws such a table for a person to fill in.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql

from ..commands.predict import check_free, write
from ..console import Arguments, parse, working
from ..data import tables
from ..data.contract import conform
from ..database import database, now
from ..models.model import Model
from ..project import Paths, UserError
from ..serving import log_tables as log
from ..tracking import open_registry
from .log import LATEST, SHOWN, outcome_dtype

ID, ACTUAL = "prediction_id", "actual"
STEP = 500  # ids of one query
RECENT = 20_000  # predictions that a sample to label is drawn from
PARTS = 4  # of the predictions of a day, by their size
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
    logged = log.predictions.c.id
    for start in range(0, len(truths), STEP):
        ids = list(truths)[start : start + STEP]
        rows = connection.execute(sql.select(logged, LATEST).where(logged.in_(ids)))
        latest = dict(rows.tuples().all())
        new = [id for id, actual in latest.items() if actual != truths[id]]
        counts["unknown"] += len(ids) - len(latest)
        counts["known"] += len(latest) - len(new)
        counts["written"] += len(new)
        entries = [
            {"id": str(uuid.uuid4()), "prediction_id": id, "time": now(), "actual": truths[id]}
            for id in new
        ]
        if entries:
            log.insert(connection, log.feedback, entries)


def label(paths: Paths, arguments: Arguments) -> None:
    """Write N recent predictions without truths to OUTPUT, for `make feedback FILE=`.

    Each day, and in it each quarter of the predictions by size, has about as many. Raises UserError
    where there are none.
    """
    given = parse("label", arguments, n="50", output="to_label.csv")
    output = Path(given.output)
    if not given.n.isdigit() or output.suffix not in (".csv", ".parquet"):
        raise UserError("N is a number, OUTPUT a .csv or .parquet: make label N=50 OUTPUT=a.csv")
    query = (
        sql.select(log.predictions)
        .where(SHOWN, LATEST.is_(None))
        .order_by(log.predictions.c.time.desc())
        .limit(RECENT)
    )
    with log.connect(database(log.url(paths))) as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise UserError("no prediction waits for its truth.")
    inputs = pl.DataFrame([row.inputs for row in rows], infer_schema_length=None, strict=False)
    check_free(inputs.columns, [ID, "prediction", ACTUAL])
    outputs = [row.output for row in rows]
    table = inputs.select(
        pl.Series(ID, [row.id for row in rows]),
        pl.all(),
        pl.Series("prediction", [output["prediction"] for output in outputs]),
        pl.lit(None, pl.String).alias(ACTUAL),
    )
    # Sorted by the last class's probability, else by the value.
    scores = [[o["prediction"], *o.get("probabilities", {}).values()][-1] for o in outputs]
    places = choose([row.time.date() for row in rows], scores)
    wanted = places[: int(given.n)]
    write(table[wanted].lazy(), output)
    print(f"{output}: {len(wanted)} predictions; fill in column {ACTUAL}, then")
    print(f"  make feedback FILE={output}")


def choose(days: Sequence[Any], scores: Sequence[Any]) -> list[int]:
    """Places in the order of drawing: one of each day and part of its predictions, then another."""
    table = pl.DataFrame({"day": days, "score": pl.Series(scores, dtype=pl.Float64, strict=False)})
    rank = pl.col("score").rank("ordinal").over("day")
    part = (rank - 1) * PARTS // pl.len().over("day")
    table = table.with_row_index("place").with_columns(part=part)
    drawn = table.sample(fraction=1, shuffle=True, seed=0)
    turn = pl.int_range(pl.len()).over("day", "part")
    return drawn.sort(turn, maintain_order=True)["place"].to_list()
