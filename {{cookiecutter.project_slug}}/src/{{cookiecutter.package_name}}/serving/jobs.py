"""Records that are answered later: a queue in the log's database, which any workers empty.

A worker that dies leaves its job to the next, so an answer may be made twice, and is kept once.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import orjson
import sqlalchemy as sql

from .log import tables

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
table = sql.Table(
    "jobs",
    tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("time", sql.DateTime, nullable=False, index=True),
    sql.Column("status", sql.String(8), nullable=False, index=True),
    sql.Column("taken", sql.DateTime),
    sql.Column("size", sql.Integer, nullable=False),
    sql.Column("key", sql.Text),
    sql.Column("content", sql.LargeBinary),
    sql.Column("outcome", sql.LargeBinary),
)
c = table.c


@dataclass(frozen=True)
class Job:
    """A body as `/predict` takes it, and whose it is, as `X-Sticky-Key` says."""

    id: str
    content: bytes
    key: str


class Jobs:
    """The queue; whatever it does raises SQLAlchemyError where the database does not answer."""

    lease = timedelta(minutes=1)  # then a job is another worker's: a thousand rows take far less

    def __init__(self, engine: sql.Engine, most_bytes: int) -> None:
        self._engine, self._most_bytes = engine, most_bytes

    @cached_property
    def _database(self) -> sql.Engine:
        tables.create_all(self._engine)
        return self._engine

    def put(self, content: bytes, key: str) -> str | None:
        """Keep a job and return its id; None where too many bytes wait already."""
        job = {"id": str(uuid.uuid4()), "time": _now(), "status": QUEUED, "size": len(content)}
        waiting = sql.select(sql.func.sum(c.size)).where(c.status.in_((QUEUED, RUNNING)))
        with self._database.begin() as connection:
            if (connection.scalar(waiting) or 0) + len(content) > self._most_bytes:
                return None
            connection.execute(table.insert(), {**job, "key": key, "content": content})
        return str(job["id"])

    def take(self) -> Job | None:
        """The oldest job that nobody works on: it is the caller's until its lease ends."""
        now = _now()
        free = (c.status == QUEUED) | ((c.status == RUNNING) & (c.taken < now - self.lease))
        oldest = sql.select(c.id).where(free).order_by(c.time).limit(1)
        # Workers that ask PostgreSQL at once get one job each; SQLite lets one write at a time.
        mine = c.id == oldest.with_for_update(skip_locked=True).scalar_subquery()
        taken = table.update().where(mine).values(status=RUNNING, taken=now)
        with self._database.begin() as connection:
            row = connection.execute(taken.returning(c.id, c.content, c.key)).first()
        return Job(*row) if row else None

    def give_back(self, job: Job) -> None:
        """Let another worker, or this one later, take it."""
        self._set(job, status=QUEUED)

    def finish(self, job: Job, status: str, outcome: bytes) -> None:
        """Keep what came out, as JSON, instead of what was asked: the log has that."""
        self._set(job, status=status, outcome=outcome, content=None, key=None)

    def _set(self, job: Job, **values: object) -> None:
        running = table.update().where(c.id == job.id, c.status == RUNNING)
        with self._database.begin() as connection:
            connection.execute(running.values(**values))

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


NAMES = {DONE: "answer", FAILED: "detail"}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
