"""The prediction log: nothing that was acknowledged is lost, and a full log is seen."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from mlops_loop.project import UserError
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import telemetry as observe
from mlops_loop.serving.spool import Full, Spool, read
from projects import Project
from services import Change, Service, wait


def test_a_database_that_is_down_only_lets_the_spool_grow(
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
        assert waiting["spool_bytes"] > 500
        assert f"spool_bytes {float(waiting['spool_bytes'])}" in client.get("/metrics").text
        folder.mkdir()
        wait(lambda: client.get("/ready").json()["spool_bytes"] == 0)
        wait(lambda: client.get("/ready").json()["log"] is None)
        assert len(service.logged()) == 5


def test_a_full_spool_refuses_or_drops_and_counts(
    service: Service, record: Change, elsewhere: Path
) -> None:
    service.url = f"sqlite:///{elsewhere}/not there/log.db"
    with service.running(spool_bytes=10_000) as client:
        codes = [client.post("/predict", json=record()).status_code for _ in range(40)]
        assert codes[0] == 200
        assert codes[-1] == 503
        assert "nothing was predicted" in client.post("/predict", json=record()).json()["detail"]
    before = observe.dropped._value.get()
    with service.running(spool_bytes=10_000, log_full="drop_counted") as client:
        assert client.post("/predict", json=record()).status_code == 200
    assert observe.dropped._value.get() == before + 1


def test_what_a_killed_process_left_is_drained_by_the_next(
    service: Service, record: Change
) -> None:
    spool = Spool(service.spool, 10_000)
    common = {"table": "feedback", "prediction_id": "p", "time": datetime.now()}
    spool.append([{**common, "id": str(number), "actual": number} for number in range(3)])
    [segment] = service.spool.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + b'{"table": "feedba')
    os.close(spool._file)
    with service.running():
        pass
    assert [row["actual"] for row in service.logged(log.feedback)] == [0, 1, 2]


def test_two_services_share_a_folder_and_lose_nothing(project: Project) -> None:
    project.root.mkdir(exist_ok=True)
    engine = log.database(f"sqlite:///{project.root}/log.db")
    log.tables.create_all(engine)
    spools = [Spool(project.root / "spool", 10_000) for _ in range(2)]
    record = {"table": "feedback", "prediction_id": "p", "time": "2024-01-01T00:00:00", "actual": 1}
    for number in range(4):
        spools[number % 2].append([{**record, "id": str(number)}])
        log.drain(spools[0].closed(), engine)
    assert log.drain(spools[1].closed(), engine) == 2
    with engine.connect() as connection:
        found = connection.execute(log.feedback.select().order_by(log.feedback.c.id)).all()
    assert [row.id for row in found] == ["0", "1", "2", "3"]


def test_draining_again_doubles_nothing(project: Project) -> None:
    project.root.mkdir(exist_ok=True)
    engine = log.database(f"sqlite:///{project.root}/log.db")
    log.tables.create_all(engine)
    record = {"table": "feedback", "prediction_id": "p", "time": "2024-01-01T00:00:00"}
    for _ in range(2):
        spool = Spool(project.root / "spool", 10_000)
        spool.append([{**record, "id": "one", "actual": 1}])
        assert log.drain(spool.closed(), engine) == 1
    assert log.forget(engine, 10**5) == 0
    assert log.forget(engine, 1) == 1


def test_records_are_written_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.append([{"number": 1}])
    with monkeypatch.context() as patch:
        # A disk that takes half and is full then.
        write = os.write
        patch.setattr("os.write", lambda file, content: write(file, content[: len(content) // 2]))
        with pytest.raises(Full):
            spool.append([{"number": 2}] * 9)
    spool.append([{"number": 3}])
    [segment] = spool.closed()
    assert [record["number"] for record in read(segment)] == [1, 3]


@pytest.mark.parametrize("url", ["predictions.db", "oracle9://host/predictions", ""])
def test_an_address_of_no_database_is_said_in_a_sentence(url: str) -> None:
    with pytest.raises(UserError, match="DATABASE_URL: no address of SQLite or PostgreSQL"):
        log.database(url)


def test_the_short_address_of_postgresql_means_the_driver_that_is_there() -> None:
    for short in ("postgres", "postgresql", "postgresql+psycopg"):
        assert log.database(f"{short}://user@host/predictions").driver == "psycopg"


def test_what_a_delivery_asks_is_not_among_the_latest(service: Service, record: Change) -> None:
    with service.running() as client:
        client.post("/predict", json=record(), headers={"x-request-id": log.DELIVERY})
        kept = client.post("/predict", json=record()).json()["prediction_id"]
    assert [row["id"] for row in log.latest(log.database(service.url), 5)] == [kept]
    assert len(service.logged()) == 2
