"""The prediction log: predictions and feedback in a database, by way of an outbox on this disk."""

import os
import re
import time
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from ..project import Paths, UserError
from . import telemetry
from .outbox import Outbox

SHIP_SECONDS, STOP_SECONDS, FORGET_SECONDS = 0.5, 20, 3_600
QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"  # the states of a job
DELIVERY = "deliver"  # the request id of the requests of `make deliver`
SHORT = re.compile("^postgres(ql)?://")  # which names no driver

# A server that accepts connections may still not answer; in seconds and milliseconds.
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

SHIPPED = {table.name: table for table in (predictions, feedback)}

answered = sql.select(
    predictions.c.version, predictions.c.unit, predictions.c.output, feedback.c.actual
).join(feedback, feedback.c.prediction_id == predictions.c.id)


def url(paths: Paths) -> str:
    """The address of the log: DATABASE_URL, or a file of the project."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{paths.log}"


def database(url: str) -> sql.Engine:
    """The engine of a database, SQLite or PostgreSQL; nothing is opened yet.

    Raises UserError for any other address.
    """
    url = SHORT.sub("postgresql+psycopg://", url)
    waits = {} if url.startswith("sqlite") else POSTGRESQL_WAITS
    try:
        engine = sql.create_engine(
            url,
            pool_pre_ping=True,
            connect_args=waits,
            json_serializer=lambda value: orjson.dumps(value).decode(),
        )
    except (sql.exc.ArgumentError, ImportError) as error:
        raise UserError(
            "DATABASE_URL: no address of SQLite or PostgreSQL; write sqlite:///file or "
            "postgresql://user@host/database."
        ) from error
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _use_wal)
    return engine


def _use_wal(connection: Any, _: Any = None) -> None:
    connection.execute("pragma journal_mode = wal")  # readers do not wait for writers
    connection.execute("pragma synchronous = normal")


def prepare(engine: sql.Engine) -> None:
    """Create missing tables; raises SQLAlchemyError where the database does not answer."""
    engine.connect().close()
    try:
        tables.create_all(engine)
    except sql.exc.DBAPIError:  # another service created one at the same moment
        tables.create_all(engine)


def insert(connection: sql.Connection, table: sql.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; rows that exist stay as they are, so shipping can be repeated."""
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def forget(engine: sql.Engine, days: int) -> int:
    """Delete rows older than `days`, but no job that waits; returns the number of rows."""
    limit = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
    over = [table.delete().where(table.c.time < limit) for table in SHIPPED.values()]
    over.append(jobs.delete().where(jobs.c.time < limit, jobs.c.status.in_((DONE, FAILED))))
    with engine.begin() as connection:
        return sum(connection.execute(deletion).rowcount for deletion in over)


def latest(engine: sql.Engine, number: int) -> list[dict[str, Any]]:
    """The latest predictions that were shown, newest first, without those of `make deliver`."""
    shown = predictions.c.shown, predictions.c.request_id != DELIVERY
    query = predictions.select().where(*shown).order_by(predictions.c.time.desc()).limit(number)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


class Shipper(Thread):
    """Ships the outbox to the database; while that is down, the outbox grows."""

    def __init__(self, outbox: Outbox, engine: sql.Engine, retention_days: int) -> None:
        super().__init__(daemon=True)
        self.outbox, self.engine, self.retention_days = outbox, engine, retention_days
        self.problem: str | None = None
        self._is_prepared, self._forget_at, self._over = False, time.monotonic(), Event()

    def stop(self) -> None:
        """Ship once more and end; records that a slow database does not take stay on disk."""
        self._over.set()
        self.join(STOP_SECONDS)

    def run(self) -> None:
        """Ship until `stop`; an error is reported, and the next turn tries again."""
        is_last = False
        while not is_last:
            is_last = self._over.wait(SHIP_SECONDS)
            try:
                self.ship()
                problem = None
            except Exception as error:
                self._is_prepared, problem = False, type(error).__name__
            if problem != self.problem:
                telemetry.log("log", problem=problem)
            self.problem = problem

    def ship(self) -> None:
        """Move all records to the database and apply the retention; may be repeated if it fails."""
        try:
            if not self._is_prepared:
                prepare(self.engine)
                self._is_prepared = True
            while (batch := self.outbox.read())[0]:
                rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SHIPPED}
                for record in batch[1]:
                    table = rows[record.pop("table")]
                    table.append({**record, "time": datetime.fromisoformat(record["time"])})
                with self.engine.begin() as connection:
                    for name in filter(rows.get, SHIPPED):
                        insert(connection, SHIPPED[name], rows[name])
                self.outbox.delete(batch[0])
            self.outbox.measure()
        finally:
            self.outbox.checkpoint()
        if time.monotonic() >= self._forget_at:
            forget(self.engine, self.retention_days)
            self._forget_at = time.monotonic() + FORGET_SECONDS
