"""Records that are answered later: a queue in the log's database, which any workers empty.

A worker that dies leaves its job to the next, so an answer may be made twice, and is kept once.
"""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import sqlalchemy as sql

from .prediction_log import DONE, FAILED, QUEUED, RUNNING
from .prediction_log import jobs as table
from .prediction_log import prepare

NAMES = {DONE: "answer", FAILED: "detail"}
MOST_ATTEMPTS, DEADLY = 3, b'"each worker that took it died"'
THREADS = 4
c = table.c
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """A body as `/predict` takes it, and whose it is, as `X-Sticky-Key` says."""

    id: str
    content: bytes
    key: str
    explained: bool
    taken: datetime


class Jobs:
    """The queue; whatever it does raises SQLAlchemyError where the database does not answer."""

    lease = timedelta(minutes=1)  # then a job is another worker's: a thousand rows take far less

    def __init__(self, engine: sql.Engine, max_bytes: int) -> None:
        self._engine, self._max_bytes = engine, max_bytes
        self._threads, self._is_prepared = ThreadPoolExecutor(THREADS), False

    async def aside(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Call one of the others in threads of their own: scoring does not wait for a database."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    @property
    def _database(self) -> sql.Engine:
        if not self._is_prepared:
            prepare(self._engine)
            self._is_prepared = True
        return self._engine

    def put(self, content: bytes, key: str, explained: bool = False) -> str | None:
        """Keep a job and return its id; None where too many bytes wait already."""
        job: dict[str, Any] = {"id": str(uuid.uuid4()), "content": content, "key": key}
        job["explained"] = explained
        job |= {"time": _now(), "status": QUEUED, "attempts": 0, "size": len(content) + len(key)}
        waiting = sql.select(sql.func.sum(c.size)).where(c.status.in_((QUEUED, RUNNING)))
        with self._database.begin() as connection:
            if (connection.scalar(waiting) or 0) + len(content) > self._max_bytes:
                return None
            connection.execute(table.insert().values(job))
        return str(job["id"])

    def take(self) -> Job | None:
        """The oldest job that nobody works on: it is the caller's until its lease ends.

        What has cost several workers their lives is failed instead.
        """
        now = _now()
        early, late = now - self.lease, now + self.lease  # clocks are put back, too
        lost = (c.status == RUNNING) & ((c.taken < early) | (c.taken > late))
        deadly = lost & (c.attempts >= MOST_ATTEMPTS)
        failed = table.update().where(deadly).values(status=FAILED, key=None, outcome=DEADLY)
        free = (c.status == QUEUED) | lost
        oldest = sql.select(c.id).where(free).order_by(c.time).limit(1)
        # Workers that ask PostgreSQL at once get one job each; SQLite lets one write at a time.
        mine = c.id == oldest.with_for_update(skip_locked=True).scalar_subquery()
        taken = (
            table.update().where(mine).values(status=RUNNING, taken=now, attempts=c.attempts + 1)
        )
        with self._database.begin() as connection:
            connection.execute(failed)
            row = connection.execute(
                taken.returning(*(c[each.name] for each in fields(Job)))
            ).first()
        return Job(*row) if row else None

    def give_back(self, job: Job) -> None:
        """Let another worker, or this one later, take it."""
        self._set(job, status=QUEUED, attempts=c.attempts - 1)

    def finish(self, job: Job, status: str, outcome: bytes) -> None:
        """Keep what came out, as JSON; the log has what was asked, but of a job that failed."""
        asked = {"content": None} if status == DONE else {}
        self._set(job, status=status, outcome=outcome, key=None, **asked)

    def _set(self, job: Job, **values: object) -> None:
        # It may be another worker's by now.
        ours = table.update().where(c.id == job.id, c.status == RUNNING, c.taken == job.taken)
        with self._database.begin() as connection:
            connection.execute(ours.values(**values))

    def find(self, job_id: str) -> bytes | None:
        """How far a job is, as JSON, with what came out; None where there is none."""
        query = sql.select(c.status, c.outcome).where(c.id == job_id)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        found = {"job_id": job_id, "status": row.status}
        if row.outcome:
            found[NAMES[row.status]] = orjson.Fragment(row.outcome)
        return orjson.dumps(found)

    def wait_seconds(self) -> float:
        """How long the oldest job waits already; not a number where nobody can tell."""
        query = sql.select(sql.func.min(c.time)).where(c.status == QUEUED)
        try:
            with self._database.connect() as connection:
                oldest = connection.scalar(query)
        except sql.exc.SQLAlchemyError:
            return float("nan")
        return max(0.0, (_now() - oldest).total_seconds()) if oldest else 0.0


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
