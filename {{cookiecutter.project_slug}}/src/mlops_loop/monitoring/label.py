"""`make label`: a sample of recent predictions without truths, for a person to fill in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sql

from ..commands.predict import check_free, write
from ..console import Arguments, parse
from ..database import database
from ..project import Paths, UserError
from ..serving import log_tables as log
from .feedback import ACTUAL, ID
from .log import SHOWN

RECENT = 20_000  # predictions that the sample is drawn from
PARTS = 4  # of the predictions of a day, by their size


def main(paths: Paths, arguments: Arguments) -> None:
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
        .outerjoin(log.feedback, log.feedback.c.prediction_id == log.predictions.c.id)
        .where(SHOWN, log.feedback.c.id.is_(None))
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
