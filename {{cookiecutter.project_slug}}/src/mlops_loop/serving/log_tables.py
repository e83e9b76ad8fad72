"""The tables of the prediction log: predictions, their feedback, and jobs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from .. import database
from ..files import Content
from ..project import Paths, UserError

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"  # the states of a job
BATCH = "batch"  # the strategy of predictions of `make batch`
DELIVERY = "deliver"  # the request id of `make deliver`, which asks for the same rows many times

Refusal = tuple[date, str, str]  # the day, the field and the rule of a refused request

tables, column = sql.MetaData(), partial(sql.Column, nullable=False)

predictions = sql.Table(
    "predictions",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    column("time", sql.DateTime, index=True),
    column("request_id", sql.String(64)),
    column("version", sql.Integer),
    column("alias", sql.String(64)),
    column("strategy", sql.String(16)),
    sql.Column("unit", sql.BigInteger),
    column("shown", sql.Boolean),
    column("environment", sql.String(64)),
    column("code_version", sql.String(64)),
    column("inputs", sql.JSON),
    column("output", sql.JSON),
    column("latency_ms", sql.Float),
)

feedback = sql.Table(
    "feedback",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    column("prediction_id", sql.String(36), index=True),
    column("time", sql.DateTime, index=True),
    column("actual", sql.JSON),
)

jobs = sql.Table(
    "jobs",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    column("time", sql.DateTime, index=True),
    column("status", sql.String(8), index=True, default=QUEUED),
    sql.Column("taken", sql.DateTime),
    column("attempts", sql.Integer, default=0),
    column("explained", sql.Boolean),
    sql.Column("key", sql.Text),
    sql.Column("content", sql.LargeBinary),
    sql.Column("outcome", sql.LargeBinary),
)

# A count for each day, field and rule: a flood of bad requests adds no rows.
refusals = sql.Table(
    "refusals",
    tables,
    sql.Column("day", sql.Date, primary_key=True),
    sql.Column("field", sql.String(256), primary_key=True),
    sql.Column("rule", sql.String(64), primary_key=True),
    column("count", sql.BigInteger),
)

answered = sql.select(
    predictions.c.version, predictions.c.unit, predictions.c.output, feedback.c.actual
).join(feedback, feedback.c.prediction_id == predictions.c.id)


def measure(
    connection: sql.Connection, query: sql.Select[Any], task: str
) -> Iterator[tuple[sql.Row[Any], float]]:
    """Yield labelled predictions, each with its absolute error, or 1 for the right class, else 0.

    A regression's label that is no number is left out.
    """
    for row in connection.execute(query):
        prediction, actual = row.output["prediction"], row.actual
        if task != "regression":
            yield row, float(prediction == actual)
        elif is_number(prediction) and is_number(actual):
            yield row, abs(prediction - actual)


def is_number(value: Any) -> bool:
    """Return True for an int or a float, False for anything else, also a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def url(paths: Paths) -> str:
    """The address of the log: DATABASE_URL, or a file of the project."""
    return database.url(paths.log)


def prepare(engine: sql.Engine) -> None:
    """Create missing tables; raises SQLAlchemyError where the database does not answer."""
    database.prepare(engine, tables)


@contextmanager
def connect(engine: sql.Engine, create: bool = True) -> Iterator[sql.Connection]:
    """Open a transaction on the log, whose missing tables it may create.

    Raises UserError where the database does not respond, or lacks a table.
    """
    try:
        if create:
            prepare(engine)
        with engine.begin() as connection:
            yield connection
    except sql.exc.SQLAlchemyError as error:
        raise UserError(
            f"the prediction log does not respond ({type(error).__name__}): is DATABASE_URL right, "
            "and did `make serve` ever run?"
        ) from error


def insert(connection: sql.Connection, table: sql.Table, rows: list[Content]) -> None:
    """Insert rows; rows that exist stay as they are, so shipping can be repeated."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def add_refusals(connection: sql.Connection, counts: Mapping[Refusal, int]) -> None:
    """Add to the counts of refused requests."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    insertion = dialect.insert(refusals)
    total = refusals.c.count + insertion.excluded.count
    keys = [refusals.c.day, refusals.c.field, refusals.c.rule]
    added = insertion.on_conflict_do_update(index_elements=keys, set_={"count": total})
    rows = [dict(zip(refusals.c.keys(), (*key, n), strict=True)) for key, n in counts.items()]
    connection.execute(added, rows)
