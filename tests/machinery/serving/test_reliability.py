"""What goes wrong around a service: a full disk, a clock that is wrong, a registry with a key."""

import json
import os
import resource
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlops_loop.project import load_settings
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import predictor as predict
from mlops_loop.serving import registry
from mlops_loop.serving import telemetry as observe
from mlops_loop.serving.spool import Spool, read
from mlops_loop.tracking import store as tracking_store
from services import Change, Service, ask, wait



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
    before = observe.dropped._value.get()
    with service.running(log_full="drop_counted") as client, disk_full():
        codes = [client.post("/predict", json=record()).status_code for _ in range(5)]
    assert set(codes) == {200}
    assert observe.dropped._value.get() == before + 5
    assert service.logged() == []


def test_where_no_file_can_be_made_the_old_one_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, 10**6)
    spool.append([{"number": 1}])
    with monkeypatch.context() as patch:
        patch.setattr("os.open", lambda *_: (_ for _ in ()).throw(OSError("no inode")))
        assert spool.closed() == []
        spool.append([{"number": 2}])
    [segment] = spool.closed()
    assert [entry["number"] for entry in read(segment)] == [1, 2]


def test_a_log_that_nobody_can_read_fails_no_request(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - closing it fails, too
    with service.running() as client, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert client.post("/predict", json=record()).status_code == 200
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_a_damaged_line_and_an_unforeseen_error_do_not_end_the_writer(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.spool.mkdir(parents=True, exist_ok=True)
    (service.spool / f"{7:012}.jsonl").write_bytes(b"\0\0\0\n\n{\n")
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
        for module in (predict, log):
            monkeypatch.setattr(module, "datetime", Earlier)
        ids += [client.post("/predict", json=record()).json()["prediction_id"] for _ in range(3)]
        wait(lambda: len(service.logged()) == 4)
        monkeypatch.undo()
        ids.append(client.post("/predict", json=record()).json()["prediction_id"])
    rows = service.logged()
    assert {row["id"] for row in rows} == set(ids)
    assert [row["id"] for row in rows[-2:]] == [ids[0], ids[-1]]
    assert all(row["latency_ms"] >= 0 for row in rows)
    engine = log.database(service.url)
    assert log.forget(engine, 400) == 3
    assert datetime.now(UTC).year == rows[-1]["time"].year


class Registry(BaseHTTPRequestHandler):
    """A tracking server that answers only who has its key, and one that names another."""

    seen: list[str | None]
    key: str

    def do_GET(self) -> None:
        """Answer a question for an alias or a version, or refuse it."""
        self.seen.append(self.headers["Authorization"])
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/elsewhere"))
            self.end_headers()
            return
        if self.path.startswith("/proxy"):
            self.send_error(404)
            return
        allowed = self.headers["Authorization"] == self.key
        self.send_response(200 if allowed else 401)
        self.end_headers()
        tags = [{"key": "model_hash", "value": "abc"}]
        self.wfile.write(json.dumps({"model_version": {"version": "3", "tags": tags}}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def guarded(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, str]]:
    """A project whose tracking server wants a key."""
    Registry.seen = []
    with HTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name in ("USERNAME", "PASSWORD", "TOKEN"):
            monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
        yield service, f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


BASIC = f"Basic {b64encode(b'ann:s3cret').decode()}"


@pytest.mark.parametrize(
    ("variables", "user", "key"),
    [
        ({"USERNAME": "ann", "PASSWORD": "s3cret", "TOKEN": "t"}, "", BASIC),
        ({}, "ann:s3cret@", BASIC),
        ({"TOKEN": "t0ken"}, "", "Bearer t0ken"),
    ],
    ids=["user of the environment", "user of the address", "token"],
)
def test_the_registry_is_asked_with_its_credentials(
    guarded: tuple[Service, str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    user: str,
    key: str,
) -> None:
    service, address = guarded
    for name, value in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{user}{address}")
    Registry.key = key
    settings = load_settings(service.project)
    assert registry.find(service.project, settings, "champion") == registry.Pointer(3, "abc")
    Registry.key = "another"
    with pytest.raises(registry.Unreachable, match="401") as refused:
        registry.find(service.project, settings, "champion")
    assert "s3cret" not in str(refused.value)


def test_a_404_that_is_not_the_registrys_says_nothing_of_an_alias(
    guarded: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, address = guarded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}/proxy")
    with pytest.raises(registry.Unreachable, match="404"):
        registry.find(service.project, load_settings(service.project), "challenger")


def test_another_server_does_not_see_the_credentials(
    guarded: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address = guarded
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    with pytest.raises(OSError, match="401"):
        tracking_store.ask_server(f"http://{address}/elsewhere", "model-versions/get", 5)
    assert Registry.seen == ["Bearer t0ken", None]
    assert os.environ["MLFLOW_TRACKING_TOKEN"]
