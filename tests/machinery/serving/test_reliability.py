"""Faults around a service: a full disk, a clock that is wrong."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlops_loop.database import database
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import telemetry
from services import Change, Service, wait


@contextmanager
def disk_full() -> Iterator[None]:
    """The kernel lets no file of this process grow, as a full disk would not."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_refuses_and_what_was_acknowledged_is_kept(
    service: Service, record: Change
) -> None:
    with service.running() as client:
        ask = lambda: client.post("/predict", json=record())
        answers = [ask() for _ in range(5)]
        with disk_full():
            refused = [ask() for _ in range(5)]
            assert client.get("/ready").status_code == 200
        answers += [ask() for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.status_code for answer in refused} == {503}
    assert "nothing was predicted" in refused[0].json()["detail"]
    assert {row["id"] for row in service.logged()} == {a.json()["prediction_id"] for a in answers}


def test_a_full_disk_drops_and_counts_where_that_is_allowed(
    service: Service, record: Change
) -> None:
    before = telemetry.dropped._value.get()
    with service.running(log_full="drop_counted") as client, disk_full():
        codes = [client.post("/predict", json=record()).status_code for _ in range(5)]
    assert set(codes) == {200}
    assert telemetry.dropped._value.get() == before + 5
    assert service.logged() == []


def test_a_log_that_nobody_can_read_fails_no_request(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - closing it fails, too
    with service.running() as client, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert client.post("/predict", json=record()).status_code == 200
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_an_unforeseen_error_does_not_end_the_shipping(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.running() as client:
        with monkeypatch.context() as patch:
            patch.setattr(log, "insert", lambda *_: 1 / 0)
            assert client.post("/predict", json=record()).status_code == 200
            wait(lambda: client.get("/ready").json()["log"] == "ZeroDivisionError")
        wait(lambda: client.get("/ready").json()["log"] is None)
    assert len(service.logged()) == 1


class Earlier(datetime):
    """A clock that somebody has put back by ten years."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        then = datetime.now(tz)
        return then.replace(year=then.year - 10, day=1)


def test_a_clock_that_is_put_back_loses_nothing(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.running() as client:
        ids = [client.post("/predict", json=record()).json()["prediction_id"]]
        wait(lambda: len(service.logged()) == 1)
        monkeypatch.setattr("mlops_loop.database.datetime", Earlier)
        ids += [client.post("/predict", json=record()).json()["prediction_id"] for _ in range(3)]
        wait(lambda: len(service.logged()) == 4)
        monkeypatch.undo()
        ids.append(client.post("/predict", json=record()).json()["prediction_id"])
    rows = service.logged()
    assert {row["id"] for row in rows} == set(ids)
    assert [row["id"] for row in rows[-2:]] == [ids[0], ids[-1]]
    assert all(row["latency_ms"] >= 0 for row in rows)
    engine = database(service.url)
    assert log.forget(engine, 400) == 3
    assert datetime.now(UTC).year == rows[-1]["time"].year
