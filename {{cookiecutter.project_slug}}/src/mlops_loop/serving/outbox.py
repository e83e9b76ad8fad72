"""Records on disk before a response goes out: a killed process loses nothing that it acknowledged.

An SQLite file that the services of a machine share. The kernel writes it to disk in its own time,
so a power failure may take the last seconds.
"""

import sqlite3
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

BATCH = 500  # records that are shipped in one transaction
MAX_WAL_BYTES = 8 << 20


class OutboxFull(Exception):
    """The outbox has reached its limit, or the disk is full."""


class TooLarge(Exception):
    """The records alone exceed the limit of the outbox: waiting does not help."""


class Outbox:
    """A queue of records in a folder: requests append, one thread ships and deletes."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self.max_bytes = folder / "outbox.db", max_bytes
        self.file.touch(mode=0o600)
        self._lock = Lock()
        self._requests, self._shipping = self._connect(), self._connect()
        # No id is used twice: another service may have shipped what this one is about to delete.
        self._requests.execute(
            "create table if not exists outbox "
            "(id integer primary key autoincrement, records blob not null)"
        )
        self.measure()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma wal_autocheckpoint = 0")  # a request would wait for the disk
        return connection

    def measure(self) -> None:
        """Count the bytes that wait, also those of other services, as `waiting`."""
        query = "select coalesce(sum(length(records)), 0) from outbox"
        with self._lock:
            self.waiting: int = self._requests.execute(query).fetchone()[0]

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write records, all or none; raises OutboxFull or TooLarge."""
        content = b"\n".join(map(orjson.dumps, records))
        if len(content) > self.max_bytes:
            raise TooLarge(f"{len(content):,} bytes exceed the limit of {self.file}")
        with self._lock:
            if self.waiting + len(content) > self.max_bytes:
                raise OutboxFull(f"{self.waiting:,} bytes wait in {self.file}")
            try:
                self._requests.execute("insert into outbox (records) values (?)", [content])
            except sqlite3.OperationalError as error:
                raise OutboxFull(f"{self.file}: {error}") from error
            self.waiting += len(content)

    def read(self) -> tuple[int, list[dict[str, Any]]]:
        """The id up to which `delete` takes the oldest records, and these, about BATCH of them."""
        last, found = 0, list[dict[str, Any]]()
        rows = self._shipping.execute("select id, records from outbox order by id")
        while len(found) < BATCH and (row := rows.fetchone()):
            last = row[0]
            found += map(orjson.loads, row[1].split(b"\n"))
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
