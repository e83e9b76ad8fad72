"""The prediction log: predictions and feedback in a database, by way of an outbox on this disk."""

import sqlite3
import time
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread

import orjson
import sqlalchemy as sql

from ..database import now, use_wal
from ..files import Content
from . import telemetry
from .log_tables import (
    DONE,
    FAILED,
    Refusal,
    add_refusals,
    feedback,
    insert,
    jobs,
    predictions,
    prepare,
    refusals,
    tables,
)

SHIP_SECONDS, STOP_SECONDS, FORGET_SECONDS = 0.5, 20, 3_600
BATCH = 500  # records that are shipped in one transaction
MAX_WAL_BYTES = 8 << 20


def forget(engine: sql.Engine, days: int) -> int:
    """Delete rows older than `days`, but no job that waits; returns the number of rows."""
    limit = now() - timedelta(days=days)
    over = [table.delete().where(table.c.time < limit) for table in (predictions, feedback)]
    over.append(refusals.delete().where(refusals.c.day < limit.date()))
    over.append(jobs.delete().where(jobs.c.time < limit, jobs.c.status.in_((DONE, FAILED))))
    with engine.begin() as connection:
        return sum(connection.execute(deletion).rowcount for deletion in over)


class OutboxFull(Exception):
    """The outbox has reached its limit, or the disk is full."""


class TooLarge(Exception):
    """The records alone exceed the limit of the outbox: waiting does not help."""


class Outbox:
    """Records on disk before a response goes out: a killed process loses none that it acknowledged.

    An SQLite file that the services of a machine share: requests append, one thread ships and
    deletes. The kernel writes it to disk in its own time, so a power failure may take the last
    seconds.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.max_bytes = folder / "outbox.db", max_bytes
        self.file.touch(mode=0o600)
        self._lock = Lock()
        self._requests, self._shipping = self._connect(), self._connect()
        # No id is used twice: another service may have shipped what this one is about to delete.
        self._requests.execute(
            "create table if not exists outbox "
            "(id integer primary key autoincrement, name text not null, records blob not null)"
        )
        self.measure()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        use_wal(connection)
        connection.execute("pragma wal_autocheckpoint = 0")  # a request would wait for the disk
        return connection

    def measure(self) -> None:
        """Count the bytes that wait, also those of other services, as `waiting`."""
        query = "select coalesce(sum(length(records)), 0) from outbox"
        with self._lock:
            self.waiting: int = self._requests.execute(query).fetchone()[0]

    def append(self, table: sql.Table, records: list[Content]) -> None:
        """Write records of a table, all or none; raises OutboxFull or TooLarge."""
        content = orjson.dumps(records)
        if len(content) > self.max_bytes:
            raise TooLarge(f"{len(content):,} bytes exceed the limit of {self.file}")
        with self._lock:
            if self.waiting + len(content) > self.max_bytes:
                raise OutboxFull(f"{self.waiting:,} bytes wait in {self.file}")
            try:
                values = [table.name, content]
                self._requests.execute("insert into outbox (name, records) values (?, ?)", values)
            except sqlite3.OperationalError as error:
                raise OutboxFull(f"{self.file}: {error}") from error
            self.waiting += len(content)

    def read(self) -> tuple[int, dict[str, list[Content]]]:
        """The id up to which `delete` takes the oldest records, and about BATCH of these."""
        last, found = 0, defaultdict[str, list[Content]](list)
        rows = self._shipping.execute("select id, name, records from outbox order by id")
        while sum(map(len, found.values())) < BATCH and (row := rows.fetchone()):
            last, name, records = row
            found[name] += orjson.loads(records)
        rows.close()  # an open cursor would keep the write-ahead log from being emptied
        return last, found

    def delete(self, last: int) -> None:
        """Delete records that were shipped."""
        with self._lock:
            self._shipping.execute("delete from outbox where id <= ?", [last])

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file; requests wait for its end, if it is large."""
        self._shipping.execute("pragma wal_checkpoint(passive)")
        if self.file.with_name(f"{self.file.name}-wal").stat().st_size > MAX_WAL_BYTES:
            with self._lock:
                self._shipping.execute("pragma wal_checkpoint(truncate)")


class Shipper(Thread):
    """Ships the outbox to the database; while that is down, the outbox grows.

    `refusals` takes the day, field and rule of refused requests, which are shipped as counts.
    """

    def __init__(self, outbox: Outbox, engine: sql.Engine, retention_days: int) -> None:
        super().__init__(daemon=True)
        self.outbox, self.engine, self.retention_days = outbox, engine, retention_days
        self.problem: str | None = None
        self.refusals, self._refused = SimpleQueue[Refusal](), Counter[Refusal]()
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
        while not self.refusals.empty():
            self._refused[self.refusals.get()] += 1
        try:
            if not self._is_prepared:
                prepare(self.engine)
                self._is_prepared = True
            while (batch := self.outbox.read())[0]:
                last, records = batch
                with self.engine.begin() as connection:
                    for name, rows in records.items():
                        for row in rows:
                            row["time"] = datetime.fromisoformat(row["time"])
                        insert(connection, tables.tables[name], rows)
                self.outbox.delete(last)
            self.outbox.measure()
            if self._refused:
                with self.engine.begin() as connection:
                    add_refusals(connection, self._refused)
                self._refused.clear()
        finally:
            self.outbox.checkpoint()
        if time.monotonic() >= self._forget_at:
            forget(self.engine, self.retention_days)
            self._forget_at = time.monotonic() + FORGET_SECONDS
