"""Queue of records to predict later, in the database of the prediction log, and its workers.

Any number of workers empty it. The job of a crashed worker goes to another one: it may be predicted
twice, and only one result is kept.
"""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple, TypeVar

import orjson
import sqlalchemy as sql

from ..database import now
from . import telemetry
from .log_tables import DONE, FAILED, QUEUED, RUNNING
from .log_tables import jobs as table
from .log_tables import prepare
from .prediction_log import OutboxFull
from .predictor import Predictor, describe

MAX_ATTEMPTS = 3
CRASHED = orjson.dumps(f"failed after {MAX_ATTEMPTS} attempts: the worker crashed")
THREADS = 4
c = table.c
Result = TypeVar("Result")


class Job(NamedTuple):
    """The body of a request, its `X-Sticky-Key`, and when a worker took it."""

    id: str
    content: bytes
    key: str
    explained: bool
    taken: datetime


class Jobs:
    """The queue; every method raises SQLAlchemyError while the database does not respond."""

    lease = timedelta(minutes=1)  # then another worker takes the job; 1,000 rows take far less

    def __init__(self, engine: sql.Engine, max_bytes: int) -> None:
        self._engine, self._max_bytes = engine, max_bytes
        self._threads = ThreadPoolExecutor(THREADS)

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Call another method in a thread of the queue: scoring must not wait for a database."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, call, *arguments)

    @cached_property
    def _database(self) -> sql.Engine:
        prepare(self._engine)
        return self._engine

    def put(self, content: bytes, key: str, explained: bool = False) -> str | None:
        """Add a job and return its id; None where it would exceed the limit of waiting bytes."""
        job_id = str(uuid.uuid4())
        job = table.insert().values(
            id=job_id, time=now(), explained=explained, key=key, content=content
        )
        size = sql.func.sum(sql.func.length(c.content))
        waiting = sql.select(size).where(c.status.in_((QUEUED, RUNNING)))
        with self._database.begin() as connection:
            if (connection.scalar(waiting) or 0) + len(content) > self._max_bytes:
                return None
            connection.execute(job)
        return job_id

    def take(self) -> Job | None:
        """Lease the oldest free job to the caller; None where there is none.

        Jobs that crashed MAX_ATTEMPTS workers are marked failed.
        """
        taken = now()
        lost = (c.status == RUNNING) & ~c.taken.between(taken - self.lease, taken + self.lease)
        crashed = table.update().where(lost & (c.attempts >= MAX_ATTEMPTS))
        oldest = sql.select(c.id).where((c.status == QUEUED) | lost).order_by(c.time).limit(1)
        # PostgreSQL gives each of several workers another job; SQLite lets one write at a time.
        free = oldest.with_for_update(skip_locked=True).scalar_subquery()
        taking = {"status": RUNNING, "taken": taken, "attempts": c.attempts + 1}
        lease = table.update().where(c.id == free).values(taking)
        with self._database.begin() as connection:
            connection.execute(crashed.values(status=FAILED, key=None, outcome=CRASHED))
            row = connection.execute(lease.returning(*map(c.get, Job._fields))).first()
        return Job(*row) if row else None

    def give_back(self, job: Job) -> None:
        """Release a job to any worker; the attempt does not count."""
        self._update(job, status=QUEUED, attempts=c.attempts - 1)

    def finish(self, job: Job, status: str, outcome: bytes) -> None:
        """Keep the outcome, as JSON; the body is in the log, unless the job failed."""
        content = c.content if status == FAILED else None
        self._update(job, status=status, outcome=outcome, key=None, content=content)

    def _update(self, job: Job, **values: object) -> None:
        # Another worker may have it by now.
        ours = table.update().where(c.id == job.id, c.status == RUNNING, c.taken == job.taken)
        with self._database.begin() as connection:
            connection.execute(ours.values(**values))

    def find(self, job_id: str) -> bytes | None:
        """The state of a job and its outcome, as JSON; None where there is no such job."""
        query = sql.select(c.status, c.outcome).where(c.id == job_id)
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        found = {"job_id": job_id, "status": row.status}
        if row.outcome:
            key = "result" if row.status == DONE else "detail"
            found[key] = orjson.Fragment(row.outcome)
        return orjson.dumps(found)

    def wait_seconds(self) -> float:
        """The age of the oldest queued job; NaN while the database does not respond."""
        query = sql.select(sql.func.min(c.time)).where(c.status == QUEUED)
        try:
            with self._database.connect() as connection:
                oldest = connection.scalar(query)
        except sql.exc.SQLAlchemyError:
            return float("nan")
        return max(0.0, (now() - oldest).total_seconds()) if oldest else 0.0


async def process_next(jobs: Jobs, predictor: Predictor) -> bool:
    """Predict the oldest job; returns False where there is none or its outcome cannot be kept."""
    try:
        if (job := await jobs.run(jobs.take)) is None:
            return False
        try:
            outcome = await predictor.predict(job.content, job.id, job.key, job.explained)
            status = DONE
        except OutboxFull:
            await jobs.run(jobs.give_back, job)
            return False
        except Exception as error:
            telemetry.log("work", job=job.id, problem=type(error).__name__)
            status, outcome = FAILED, orjson.dumps(describe(error))
        await jobs.run(jobs.finish, job, status, outcome)
    except sql.exc.SQLAlchemyError as error:
        telemetry.log("work", problem=type(error).__name__)
        return False
    telemetry.log("work", job=job.id, status=status)
    return True
