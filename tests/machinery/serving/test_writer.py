"""The process that writes the log: what it cannot do is said, and done when it can be."""

from datetime import datetime
from pathlib import Path

import sqlalchemy as sql
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving.spool import Spool
from mlops_loop.serving.writer import Beside
from projects import Project


def logged(url: str) -> list[str]:
    """The ids in the log."""
    with log.database(url).connect() as connection:
        return list(connection.execute(sql.select(log.feedback.c.id)).scalars())


def test_it_writes_what_is_spooled_and_comes_back_when_it_is_killed(
    project: Project, elsewhere: Path
) -> None:
    url, spool = f"sqlite:///{elsewhere}/new/log.db", Spool(project.root / "spool", 10_000)
    record = {"table": "feedback", "prediction_id": "p", "time": "2024-01-01T00:00:00", "actual": 1}
    beside = Beside(url, retention_days=100_000)
    spool.append([{**record, "id": "one"}])
    assert beside.take(spool.closed()) == "OperationalError"
    (elsewhere / "new").mkdir()
    assert beside.take(spool.closed()) is None
    assert beside._process is not None
    beside._process.kill()
    beside._process.wait()
    spool.append([{**record, "id": "two"}])
    assert beside.take(spool.closed()) is None
    assert logged(url) == ["one", "two"]


def test_it_forgets_what_is_old_but_no_job_that_waits(project: Project, elsewhere: Path) -> None:
    engine = log.database(url := f"sqlite:///{elsewhere}/log.db")
    log.tables.create_all(engine)
    job = {"time": datetime(2000, 1, 1), "attempts": 0, "size": 1, "explained": False}
    old = [
        {**job, "id": "done", "status": "done", "content": None},
        {**job, "id": "waiting", "status": "queued", "content": b"{}"},
    ]
    with engine.begin() as connection:
        connection.execute(log.jobs.insert(), old)
    assert Beside(url, retention_days=1).take([]) is None
    with engine.connect() as connection:
        assert list(connection.execute(sql.select(log.jobs.c.id)).scalars()) == ["waiting"]


def test_it_ends_with_the_service(project: Project, elsewhere: Path) -> None:
    beside = Beside(f"sqlite:///{elsewhere}/log.db", retention_days=1)
    assert beside.take([]) is None
    process = beside._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0
