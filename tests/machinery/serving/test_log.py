"""The prediction log: nothing that was acknowledged is lost, and a full log is seen."""

import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from mlops_loop.database import database
from mlops_loop.project import UserError
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import telemetry
from mlops_loop.serving.prediction_log import Outbox
from mlops_loop.tracking import history
from services import Change, Service, counter, wait


def test_a_database_that_is_down_only_lets_the_outbox_grow(
    service: Service, record: Change, elsewhere: Path
) -> None:
    folder = elsewhere / "not yet"
    service.url = f"sqlite:///{folder}/log.db"
    with service.running() as client:
        for _ in range(5):
            assert client.post("/predict", json=record()).status_code == 200
        wait(lambda: client.get("/ready").json()["log"] is not None)
        waiting = client.get("/ready").json()
        assert waiting["log"] == "OperationalError"
        assert waiting["outbox_bytes"] > 500
        assert f"outbox_bytes {float(waiting['outbox_bytes'])}" in client.get("/metrics").text
        folder.mkdir()
        wait(lambda: client.get("/ready").json()["outbox_bytes"] == 0)
        wait(lambda: client.get("/ready").json()["log"] is None)
        assert len(service.logged()) == 5


def test_a_full_outbox_refuses_or_drops_and_counts(
    service: Service, record: Change, elsewhere: Path
) -> None:
    service.url = f"sqlite:///{elsewhere}/not there/log.db"
    with service.running(outbox_bytes=10_000) as client:
        codes = [client.post("/predict", json=record()).status_code for _ in range(40)]
        assert codes[0] == 200
        assert codes[-1] == 503
        assert "nothing was predicted" in client.post("/predict", json=record()).json()["detail"]
    before = telemetry.dropped._value.get()
    with service.running(outbox_bytes=10_000, log_full="drop_counted") as client:
        assert client.post("/predict", json=record()).status_code == 200
    assert telemetry.dropped._value.get() == before + 1


def feedback(*ids: str) -> list[dict[str, Any]]:
    """Records of feedback, as the service writes them to its outbox."""
    time = datetime(2024, 1, 1)
    common = {"prediction_id": "p", "time": time, "actual": 1}
    return [{**common, "id": id} for id in ids]


def ids(engine: sql.Engine) -> list[str]:
    """The feedback in the log."""
    with engine.connect() as connection:
        return sorted(connection.execute(sql.select(log.feedback.c.id)).scalars())


WRITE_AND_DIE = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from mlops_loop.serving import prediction_log as log
outbox = log.Outbox(Path(sys.argv[1]), 10_000)
record = {"prediction_id": "p", "time": datetime.now(), "actual": 1}
for number in range(3):
    outbox.append(log.feedback, [{**record, "id": str(number)}])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_shipped_by_the_next(service: Service) -> None:
    command = [sys.executable, "-c", WRITE_AND_DIE, str(service.outbox)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    with service.running():
        pass
    assert [row["id"] for row in service.logged(log.feedback)] == ["0", "1", "2"]


def test_two_services_share_an_outbox_and_lose_nothing(tmp_path: Path) -> None:
    engine = database(f"sqlite:///{tmp_path}/log.db")
    boxes = [Outbox(tmp_path, 10_000) for _ in range(2)]
    shippers = [log.Shipper(box, engine, 10**5) for box in boxes]
    boxes[0].append(log.feedback, feedback("a"))
    boxes[1].append(log.feedback, feedback("b", "c"))
    last, records = boxes[0].read()  # both read the same, and only one is quick
    assert [record["id"] for record in records["feedback"]] == ["a", "b", "c"]
    shippers[1].ship()
    boxes[1].append(log.feedback, feedback("d"))
    boxes[0].delete(last)
    shippers[0].ship()
    assert ids(engine) == ["a", "b", "c", "d"]
    assert boxes[0].waiting == 0
    boxes[1].measure()
    assert boxes[1].waiting == 0


def test_shipping_again_doubles_nothing_and_what_is_old_is_forgotten(tmp_path: Path) -> None:
    engine, outbox = database(f"sqlite:///{tmp_path}/log.db"), Outbox(tmp_path, 10_000)
    for _ in range(2):
        outbox.append(log.feedback, feedback("one"))
        log.Shipper(outbox, engine, 10**5).ship()
    assert ids(engine) == ["one"]
    job = {"time": datetime(2000, 1, 1), "attempts": 0, "explained": False}
    old = [
        {**job, "id": "done", "status": "done", "content": None},
        {**job, "id": "waiting", "status": "queued", "content": b"{}"},
    ]
    with engine.begin() as connection:
        connection.execute(log.jobs.insert(), old)
    log.Shipper(outbox, engine, retention_days=1).ship()
    assert ids(engine) == []
    with engine.connect() as connection:
        assert list(connection.execute(sql.select(log.jobs.c.id)).scalars()) == ["waiting"]


def test_many_records_are_shipped_in_batches_and_the_log_of_sqlite_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_WAL_BYTES", 1)
    engine, outbox = database(f"sqlite:///{tmp_path}/log.db"), Outbox(tmp_path, 10**6)
    for number in range(1_200):
        outbox.append(log.feedback, feedback(str(number)))
    assert len(outbox.read()[1]["feedback"]) == log.BATCH
    log.Shipper(outbox, engine, 10**5).ship()
    assert len(ids(engine)) == 1_200
    assert (tmp_path / "outbox.db-wal").stat().st_size == 0
    assert outbox.file.stat().st_mode & 0o077 == 0, "records may be personal"


@pytest.mark.parametrize("url", ["predictions.db", "oracle9://host/predictions", ""])
def test_an_address_of_no_database_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(UserError, match="DATABASE_URL: no address of SQLite or PostgreSQL"):
        database(url)


def test_the_short_address_of_postgresql_means_the_driver_that_is_there() -> None:
    for short in ("postgres", "postgresql", "postgresql+psycopg"):
        assert database(f"{short}://user@host/predictions").driver == "psycopg"


WRONG_TYPE = 'refused_total{field="size",rule="float_type"}'


def refusals(service: Service) -> dict[tuple[str, str], int]:
    """The counts of refused requests in the log."""
    with database(service.url).connect() as connection:
        rows = connection.execute(sql.select(log.refusals)).all()
    assert len({(row.field, row.rule) for row in rows}) == len(rows), "a row a day"
    return {(row.field, row.rule): row.count for row in rows}


def test_refused_requests_are_counted_by_field_and_rule(service: Service, record: Change) -> None:
    with service.running() as client:
        before = counter(client, WRONG_TYPE)
        for number in range(3):
            wrong = record(size="x") | {f"secret {number}": 1}
            assert client.post("/predict", json=wrong).status_code == 422
        client.post("/predict", json=[record(), record(size=...)])
        client.post("/predict", json=record(size=...), headers={"X-Request-Id": "deliver"})
        client.post("/feedback", json={"prediction_id": "p", "actual": 1})
        metrics = client.get("/metrics").text
        assert counter(client, WRONG_TYPE) == before + 3
    assert 'refused_total{field="other",rule="extra_forbidden"}' in metrics
    assert "secret" not in metrics, "a field that nobody knows is no label"
    assert refusals(service) == {
        ("size", "float_type"): 3,
        ("other", "extra_forbidden"): 3,
        ("size", "missing"): 1,
        ("prediction_id", "string_pattern_mismatch"): 1,
    }
    with service.running() as client:
        client.post("/predict", json=record(size="x"))
    assert refusals(service)["size", "float_type"] == 4


def test_the_latest_check_of_the_monitor_is_a_gauge(service: Service) -> None:
    with service.running() as client:
        assert "monitor_status{" not in client.get("/metrics").text
    known = {"status": "watch", "observed_over_expected": 1.2, "alarms": 2}
    history.append(service.project, "check", by="loop", reason="", version=3, **known)
    with service.running() as client:
        metrics = client.get("/metrics").text
    assert 'monitor_status{version="3"} 1.0' in metrics
    assert 'monitor_loss_ratio{version="3"} 1.2' in metrics
    assert "monitor_loss_estimate{" not in metrics
