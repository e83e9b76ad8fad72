"""Records on disk before the answer goes out: what was acknowledged survives a killed process.

Files of JSON lines, one record each. They lie in the kernel's memory until it writes them, so a
loss of power may take the last seconds. Services may share a folder: each holds the file that it
writes, and drains only what nobody holds.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

SEGMENT_BYTES = 1 << 20


class Full(Exception):
    """The spool has reached its limit, or the disk is full."""


class TooLarge(Exception):
    """The records alone are more than the spool may hold: waiting does not help."""


class Spool:
    """A queue of records in a folder: requests append, one thread drains."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.max_bytes, self._lock = folder, max_bytes, Lock()
        self._known = 0
        self._open(max((int(path.stem) for path in self._segments()), default=0) + 1)

    @property
    def waiting(self) -> int:
        """Bytes that wait to be drained."""
        return sum(map(_size, self._segments()))

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write records, all or none; raises Full or TooLarge."""
        content = b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records)
        if len(content) > self.max_bytes:
            raise TooLarge(f"{len(content):,} bytes are more than {self.folder} may hold")
        with self._lock:
            if self._known + len(content) > self.max_bytes:
                self._known = self.waiting  # what was drained meanwhile is gone
            if self._known + len(content) > self.max_bytes:
                raise Full(f"{self._known:,} bytes wait in {self.folder}")
            self._write(content)
            if self._size > SEGMENT_BYTES:
                self._rotate()

    def _write(self, content: bytes) -> None:
        try:
            if os.write(self._file, content) < len(content):
                raise OSError("no space for the whole of it")
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise Full(f"{self.folder}: {error}") from error
        self._size += len(content)
        self._known += len(content)

    def closed(self) -> list[Path]:
        """The files that can be drained and removed; what was written so far is among them."""
        with self._lock:
            if self._size:
                self._rotate()
            return [path for path in self._segments() if not _is_held(path)]

    def _rotate(self) -> None:
        old = self._file
        with suppress(OSError):  # no space for another file: this one grows, others are drained
            self._open(self._number + 1)
            os.close(old)

    def _open(self, number: int) -> None:
        unnamed = self.folder / f".{uuid.uuid4()}"
        file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Held before it has a name that others look for: they would drain and remove it.
            flock(file, LOCK_EX)
            number = self._name(unnamed, number)
        except OSError:
            os.close(file)
            raise
        finally:
            unnamed.unlink()
        self._file, self._number, self._size, self._known = file, number, 0, self.waiting

    def _name(self, unnamed: Path, number: int) -> int:
        """Give a file the first free number."""
        try:
            (self.folder / f"{number:012}.jsonl").hardlink_to(unnamed)
        except FileExistsError:
            return self._name(unnamed, number + 1)
        return number

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            flock(file, LOCK_SH | LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # a service writes it, or has drained it meanwhile
        return True
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # drained meanwhile
        return 0


def read(segment: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; a line that a kill or a loss of power left damaged is none."""
    with segment.open("rb") as file:
        for line in file:
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
