"""The prediction log: every prediction and every truth that came back, in a database."""

import os
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from ..project import Paths, UserError
from .spool import read

FORGET_SECONDS = 3_600
BATCH = 500
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"  # the states of a job
DELIVERY = "deliver"  # the request id of what `make deliver` asks: nobody's question
SHORT = re.compile("^postgres(ql)?://")  # by which others would mean another driver

# A server that is there and does not answer is as good as none; in seconds and milliseconds.
POSTGRESQL_WAITS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=30000",
}

tables = sql.MetaData()

predictions = sql.Table(
    "predictions",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("time", sql.DateTime, nullable=False, index=True),
    sql.Column("request_id", sql.String(64), nullable=False),
    sql.Column("version", sql.Integer, nullable=False),
    sql.Column("alias", sql.String(64), nullable=False),
    sql.Column("strategy", sql.String(16), nullable=False),
    sql.Column("unit", sql.BigInteger),
    sql.Column("shown", sql.Boolean, nullable=False),
    sql.Column("environment", sql.String(64), nullable=False),
    sql.Column("code_version", sql.String(64), nullable=False),
    sql.Column("inputs", sql.JSON, nullable=False),
    sql.Column("output", sql.JSON, nullable=False),
    sql.Column("latency_ms", sql.Float, nullable=False),
)

feedback = sql.Table(
    "feedback",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("prediction_id", sql.String(36), nullable=False, index=True),
    sql.Column("time", sql.DateTime, nullable=False, index=True),
    sql.Column("actual", sql.JSON, nullable=False),
)

jobs = sql.Table(
    "jobs",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("time", sql.DateTime, nullable=False, index=True),
    sql.Column("status", sql.String(8), nullable=False, index=True),
    sql.Column("taken", sql.DateTime),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("size", sql.Integer, nullable=False),
    sql.Column("explained", sql.Boolean, nullable=False),
    sql.Column("key", sql.Text),
    sql.Column("content", sql.LargeBinary),
    sql.Column("outcome", sql.LargeBinary),
)

SPOOLED = {table.name: table for table in (predictions, feedback)}

answered = sql.select(
    predictions.c.version, predictions.c.unit, predictions.c.output, feedback.c.actual
).join(feedback, feedback.c.prediction_id == predictions.c.id)


def url(paths: Paths) -> str:
    """Where the log is: DATABASE_URL, or a file of the project."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{paths.log}"


def database(url: str) -> sql.Engine:
    """The engine of a database, SQLite or PostgreSQL; nothing is opened yet.

    Raises UserError for an address of neither.
    """
    url = SHORT.sub("postgresql+psycopg://", url)
    waits = {} if url.startswith("sqlite") else POSTGRESQL_WAITS
    try:
        engine = sql.create_engine(url, pool_pre_ping=True, connect_args=waits)
    except (sql.exc.ArgumentError, ImportError) as error:
        raise UserError(
            "DATABASE_URL: no address of SQLite or PostgreSQL; write sqlite:///file or "
            "postgresql://user@host/database."
        ) from error
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _let_readers_read)
    return engine


def prepare(engine: sql.Engine) -> None:
    """Make the tables that are not there; raises SQLAlchemyError where no database answers."""
    engine.connect().close()
    try:
        tables.create_all(engine)
    except sql.exc.DBAPIError:  # another service has made one at the same moment
        tables.create_all(engine)


def _let_readers_read(connection: Any, _: Any) -> None:
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")


def insert(connection: sql.Connection, table: sql.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; those that are there already stay as they are, so draining can be repeated."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def drain(segments: Iterable[Path], engine: sql.Engine) -> int:
    """Move the records of spool files into the database; returns their number."""
    moved = 0
    for segment in segments:
        try:
            records = list(read(segment))
        except FileNotFoundError:  # another service has drained it meanwhile
            continue
        with engine.begin() as connection:
            for name, table in SPOOLED.items():
                rows = [_row(r) for r in records if r["table"] == name]
                for start in range(0, len(rows), BATCH):
                    insert(connection, table, rows[start : start + BATCH])
        segment.unlink(missing_ok=True)
        moved += len(records)
    return moved


def _row(record: dict[str, Any]) -> dict[str, Any]:
    columns = {key: value for key, value in record.items() if key != "table"}
    return {**columns, "time": datetime.fromisoformat(record["time"])}


def forget(engine: sql.Engine, days: int) -> int:
    """Delete what is older than `days`, but no job that waits; returns the number of rows."""
    limit = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
    over = [table.delete().where(table.c.time < limit) for table in SPOOLED.values()]
    over.append(jobs.delete().where(jobs.c.time < limit, jobs.c.status.in_((DONE, FAILED))))
    with engine.begin() as connection:
        return sum(connection.execute(deletion).rowcount for deletion in over)


def latest(engine: sql.Engine, number: int) -> list[dict[str, Any]]:
    """The predictions that were shown last, the newest first, without those of `make deliver`."""
    times = predictions.c.time.desc()
    asked = predictions.c.shown, predictions.c.request_id != DELIVERY
    query = predictions.select().where(*asked).order_by(times).limit(number)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


class Keeper:
    """Keeps the log: takes in what was spooled, and forgets what is old."""

    def __init__(self, engine: sql.Engine, retention_days: int) -> None:
        self.engine, self.retention_days = engine, retention_days
        self._forget_at = time.monotonic()

    def take(self, segments: list[Path]) -> None:
        """Drain spool files; the tables are made when the database first answers.

        Whatever it raises, the files that are left can be taken again.
        """
        prepare(self.engine)
        drain(segments, self.engine)
        if time.monotonic() >= self._forget_at:
            forget(self.engine, self.retention_days)
            self._forget_at = time.monotonic() + FORGET_SECONDS
