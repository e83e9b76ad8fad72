"""Level `deployment`, lived in: served for real, killed, its champion exchanged under load."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

import pytest
from helpers import BIN, Factory, check_tree, run, shell
from image import Build

from benchmarks.serving import free_port

RECORD = {
    "VendorID": 1,
    "lpep_pickup_datetime": "2023-05-01T10:00:00",
    "PULocationID": 74,
    "DOLocationID": 75,
    "trip_distance": 2.5,
}
PYTHON = ".venv/bin/python"
POINT = """
import sys, time
from mlops_loop.project import load_settings
from mlops_loop.tracking.registry import connect
from my_project import PROJECT
registry = connect(PROJECT, load_settings(PROJECT))
for version in sys.argv[2:]:
    registry.point(sys.argv[1], version)
    time.sleep(0.15)
"""

WORKER = """
from datetime import timedelta
from mlops_loop.serving import jobs
from my_project.serving.__main__ import VERBS
jobs.Jobs.lease = timedelta(seconds=0.5)
VERBS["work"]()
"""


@pytest.fixture(scope="module")
def project(make_project: Factory, environment: Path) -> Path:
    """A project of this level on the shared environment, with two versions of its model."""
    created = make_project(level="deployment")
    locks = ("-r", "requirements/serving.txt", "-r", "requirements/app.txt")
    install = ("pip", "install", "--require-hashes", "--python", PYTHON, *locks)
    run(created, environment / "bin/uv", *install)
    params = created / "params.yaml"
    text = params.read_text().replace("_month: 50000", "_month: 1500")
    text = text.replace("refresh_seconds: 2 ", "refresh_seconds: 0.05 ")
    params.write_text(text.replace("seconds: 5\n    p99_ms: 50 ", "seconds: 1\n    p99_ms: 2000 "))
    run(created, "make", "train")
    params.write_text(params.read_text().replace("num_leaves: 127", "num_leaves: 15"))
    assert ": version 2 is the" in run(created, "make", "train").stdout
    point(created, "champion", "1")
    return created


def point(project: Path, alias: str, *versions: str) -> None:
    """Let an alias name these versions, one after the other."""
    run(project, PYTHON, "-c", POINT, alias, *versions)


class Service:
    """A running `make serve`."""

    def __init__(
        self, project: Path, process: "subprocess.Popen[Any]", port: int, key: str = ""
    ) -> None:
        self.project, self.process, self.address = project, process, f"http://127.0.0.1:{port}"
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}

    def ask(self, path: str, content: Any = None) -> Any:
        """The JSON that comes back."""
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.address + path, body, self.headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def wait(self) -> None:
        """Until it is ready."""
        until = time.monotonic() + 60
        while True:
            assert self.process.poll() is None and time.monotonic() < until
            try:
                self.ask("/ready")
                return
            except urllib.error.URLError:
                time.sleep(0.1)

    def kill(self) -> None:
        """As if the machine had run out of memory."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(project: Path) -> Iterator[Service]:
    """The service on a free port, ended by an interrupt."""
    port = free_port()
    process = subprocess.Popen(
        ["make", "serve", f"PORT={port}"],
        cwd=project,
        env={**shell(), "PYTHONPATH": str(project / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    service = Service(project, process, port)
    try:
        service.wait()
        yield service
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
    finally:
        if process.poll() is None:
            service.kill()
        if process.stderr:
            process.stderr.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; ten seconds at most."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


class Load:
    """Requests one after the other from some threads, as long as the block lasts."""

    def __init__(self, service: Service, threads: int = 4) -> None:
        self.service, self.over = service, threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _ask(self) -> None:
        while not self.over.is_set():
            try:
                self.answers.append(self.service.ask("/predict", RECORD))
            except (OSError, HTTPException) as error:
                self.failures.append(error)


def logged(project: Path) -> set[str]:
    """The predictions of the log."""
    with sqlite3.connect(project / ".serving/predictions.db") as database:
        return {row[0] for row in database.execute("select id from predictions")}


def test_a_prediction_is_the_champions(project: Path) -> None:
    with serving(project) as service:
        answer = service.ask("/predict", RECORD)
        assert answer["model_version"] == 1
        assert answer["interval"][0] < answer["prediction"] < answer["interval"][1]
        assert service.ask("/model")["lineage"]["model_hash"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            service.ask("/predict", {**RECORD, "trip_distance": -1})
        problems = json.load(refused.value)["detail"]
        assert [problem["field"] for problem in problems] == ["trip_distance"]
    assert answer["prediction_id"] in logged(project)


def test_a_killed_service_loses_nothing_that_it_acknowledged(project: Path) -> None:
    with serving(project) as service, Load(service) as load:
        time.sleep(2)
        service.kill()
    acknowledged = {answer["prediction_id"] for answer in load.answers}
    assert len(acknowledged) > 100
    with serving(project):
        pass
    assert acknowledged <= logged(project)


def test_a_moved_alias_is_followed_without_a_failed_request(project: Path) -> None:
    with serving(project) as service:
        with Load(service, threads=2) as load:
            point(project, "champion", *"12" * 8)
            wait_for(lambda: service.ask("/ready")["version"] == 2)
        assert load.failures == []
        assert {answer["model_version"] for answer in load.answers} == {1, 2}
        point(project, "champion", "1")


def test_a_challenger_answers_some_until_it_is_promoted_and_rolled_back(project: Path) -> None:
    params = project / "params.yaml"
    before = params.read_text()
    point(project, "challenger", "2")
    params.write_text(before.replace("strategy: single ", "strategy: ab "))
    with serving(project) as service:
        assert service.ask("/ready")["versions"] == {"champion": 1, "challenger": 2}
        with Load(service, threads=2) as load:
            time.sleep(1)
            said = run(project, "make", "rollout").stdout
            promote_and_roll_back(project, service)
    params.write_text(before)
    assert "the champion has 0 and the challenger 0 of 500 labelled units" in said
    for alias, number in (("champion", 1), ("challenger", 2)):
        [requests] = re.findall(rf"^  {alias} +{number} +(\d+)", said, re.MULTILINE)
        assert int(requests) > 0
    assert load.failures == []
    with sqlite3.connect(project / ".serving/predictions.db") as database:
        rows = database.execute("select strategy, version from predictions").fetchall()
    versions = [version for strategy, version in rows if strategy.startswith("ab:")]
    assert 0.2 < versions.count(2) / len(versions) < 0.8


def promote_and_roll_back(project: Path, service: Service) -> None:
    """Make version 2 the champion, then 1 again, which first fails its golden requests."""
    run(project, "make", "promote", "VERSION=2", "REASON=a test")
    wait_for(lambda: service.ask("/ready")["versions"] == {"champion": 2})
    [first] = (project / ".serving/models").glob("1-*/version.json")
    known = first.read_text()
    changed = json.loads(known)
    changed["golden"]["scores"][0] = -1.0
    first.write_text(json.dumps(changed))
    run(project, "make", "rollback", "REASON=a test")
    wait_for(lambda: "golden request 1 scores" in str(service.ask("/ready")["registry"]))
    assert service.ask("/predict", RECORD)["model_version"] == 2, "the old one stays"
    first.write_text(known)
    point(project, "champion", "2")  # else the refused version is tried again in a minute
    wait_for(lambda: "golden" not in str(service.ask("/ready")["registry"]))
    point(project, "champion", "1")
    wait_for(lambda: service.ask("/ready")["versions"] == {"champion": 1})


def test_without_its_registry_it_serves_the_last_good_copy_unless_that_is_damaged(
    project: Path,
) -> None:
    with serving(project):
        pass
    store, away = project / "mlflow.db", project / "mlflow.db.away"
    store.rename(away)
    with serving(project) as service:
        assert service.ask("/predict", RECORD)["model_version"] == 1
        assert "No such file or directory: " in service.ask("/ready")["registry"]
    for booster in (project / ".serving/models").glob("*/model/booster.txt"):
        booster.write_bytes(b"damaged")
    with serving(project) as service:
        assert service.ask("/predict", RECORD)["fallback"] == "baseline"
    shutil.rmtree(project / ".serving/models")
    said = run(project, "make", "serve", f"PORT={free_port()}", succeeds=False).stdout
    away.rename(store)
    assert "error: there is no model to serve" in said
    assert "Traceback" not in said
    with serving(project) as service:
        assert service.ask("/predict", RECORD)["model_version"] == 1


def test_jobs_are_answered_though_a_worker_is_killed(project: Path) -> None:
    with serving(project) as service:
        ids = [service.ask("/jobs", [RECORD] * 20)["job_id"] for _ in range(200)]
        state = lambda job: service.ask(f"/jobs/{job}")["status"]
        with working(project, "make", "work") as worker:
            wait_for(lambda: state(ids[0]) == "done")
            os.killpg(worker.pid, signal.SIGKILL)
        assert state(ids[-1]) == "queued"
        with working(project, PYTHON, "-m", "my_project.serving", "work"):
            wait_for(lambda: state(ids[20]) == "done")
        unfinished = [state(job) for job in ids]
        assert unfinished.count("running") <= 1, "that of the killed one; the other ended its own"
        port = str(free_port())
        with working(project, PYTHON, "-c", WORKER, METRICS_PORT=port):
            wait_for(lambda: {state(job) for job in ids} == {"done"})
            with urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer:
                assert 'predictions_total{version="1"}' in answer.read().decode()
        answers = service.ask(f"/jobs/{ids[-1]}")["result"]
        expected = service.ask("/predict", RECORD)["prediction"]
    assert [answer["prediction"] for answer in answers] == [expected] * 20
    assert {answer["prediction_id"] for answer in answers} <= logged(project)


@contextmanager
def working(project: Path, *command: str, **variables: str) -> Iterator["subprocess.Popen[Any]"]:
    """A worker, as long as the block lasts; a signal ends it in good order."""
    variables |= {**shell(), "PYTHONPATH": str(project / "src")}
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=project, env=variables, stdout=nowhere, start_new_session=True
    )
    try:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        code = process.wait(timeout=30)
        assert code == 0 or command[0] == "make", "make itself ends as the signal says"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_stream_is_answered_line_by_line(project: Path) -> None:
    lines = [RECORD, {**RECORD, "trip_distance": -1}, [RECORD, RECORD]]
    piped = subprocess.run(
        ["make", "stream"],
        cwd=project,
        env={**shell(), "PYTHONPATH": str(project / "src")},
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    one, refused, two = map(json.loads, piped.stdout.splitlines())
    assert [problem["field"] for problem in refused["detail"]] == ["trip_distance"]
    assert {answer["prediction"] for answer in two} == {one["prediction"]}
    assert {answer["prediction_id"] for answer in [one, *two]} <= logged(project)
    assert "lines predicted: 2, refused: 1." in piped.stderr


def test_a_batch_is_a_table_of_the_database(project: Path) -> None:
    source = next((project / "data/raw").glob("*.parquet"))
    said = run(project, "make", "batch", f"INPUT={source}", "TABLE=scores", "BATCH=monday").stdout
    assert "rows scored by version 1" in said and "scores: 1,500 rows as batch monday in" in said
    count = "select count(*), count(prediction), max(model_version) from scores"
    with sqlite3.connect(project / ".serving/batches/tables.db") as database:
        [row] = database.execute(f"{count} where batch = 'monday'")
    assert row == (1500, 1500, 1)


def test_the_page_opens_beside_a_running_service(project: Path) -> None:
    port = str(free_port())
    health = f"http://127.0.0.1:{port}/_stcore/health"
    with serving(project) as service:
        page = ("make", "app", f"PORT={port}")
        with working(project, *page, SERVICE_URL=service.address):
            until = time.monotonic() + 180  # Streamlit is installed first
            while True:
                with suppress(urllib.error.URLError):
                    assert urllib.request.urlopen(health).read() == b"ok"
                    break
                assert time.monotonic() < until
                time.sleep(0.1)


def test_a_port_that_is_taken_is_said_in_a_sentence(project: Path) -> None:
    with serving(project) as service:
        port = service.address.rpartition(":")[2]
        said = run(project, "make", "serve", f"PORT={port}", succeeds=False).stdout
        assert f"error: PORT={port} is in use by another program" in said
        assert "Traceback" not in said and "{" not in said
        assert service.ask("/predict", RECORD)["model_version"] == 1


def test_others_may_ask_only_with_a_key(project: Path) -> None:
    said = run(project, "make", "serve", "HOST=0.0.0.0", succeeds=False).stdout
    assert "error: HOST=0.0.0.0 is open to others: set API_KEY_HASHES" in said
    key, digest = (line.split()[1] for line in run(project, "make", "key").stdout.splitlines())
    assert len(key) > 30 and len(digest) == 64


def test_a_service_imports_no_mlflow(project: Path) -> None:
    code = "import sys, mlops_loop.serving.server; print('mlflow' in sys.modules)"
    assert run(project, PYTHON, "-c", code).stdout.strip() == "False"


def test_a_version_is_delivered_only_where_the_environment_before_passed(project: Path) -> None:
    with serving(project) as service:
        said = run(project, "make", "deliver", f"URL={service.address}").stdout
        assert "  9  a failing staging blocks" in said
    report = json.loads((project / "reports/delivery-test.json").read_text())
    assert [check["passed"] for check in report["checks"]] == [True] * 6 + [None] * 3
    go = ("ENVIRONMENT=production", "APPROVED_BY=Ana")
    said = run(project, "make", "deliver", *go, succeeds=False).stdout
    assert "delivery-staging.json reports no passed delivery of version 1: first run" in said


def test_the_images_own_steps_serve_a_prediction(
    project: Path, environment: Path, tmp_path: Path
) -> None:
    # No engine is here: what it would be told is said instead.
    said = run(project, "make", "image", "IMAGE=name:tag", "ENGINE=echo").stdout
    assert "build --file deploy/Dockerfile --tag name:tag" in said
    image = Build(project, tmp_path, environment / "bin/uv").stage("baked")
    assert not list(image.at("/opt/venv").glob("lib/*/site-packages/mlflow"))
    secret = hashlib.sha256(b"key").hexdigest()
    port = str(free_port())
    variables = image.environment() | {"API_KEY_HASHES": secret, "PORT": port}
    process = subprocess.Popen(image.command("CMD"), cwd=image.at("."), env=variables)
    service = Service(image.at("."), process, int(port), key="key")
    try:
        service.wait()
        assert service.ask("/ready")["registry"] is None
        answer = service.ask("/predict", RECORD)
        subprocess.run(image.command("HEALTHCHECK"), env=variables, check=True)
    finally:
        process.terminate()
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)
    with serving(project) as service:
        same = service.ask("/predict", RECORD)
    assert answer["prediction"] == same["prediction"]
    assert answer["prediction_id"] in logged(image.at("."))


def test_what_openapi_allows_is_answered_as_it_says(project: Path, tmp_path: Path) -> None:
    with serving(project) as service, working(project, "make", "work"):
        said = run(
            tmp_path,
            BIN / "schemathesis",
            "run",
            f"{service.address}/openapi.json",
            "--phases=coverage,fuzzing,stateful",
            "--max-examples=10",
            "--exclude-checks=positive_data_acceptance",  # JSON Schema has no range of times
            "--generation-database=none",
            "--seed=1",
        ).stdout
    assert "Tested: 8" in said and "No issues found" in said


def test_the_readme_draws_the_levels_tree(project: Path) -> None:
    check_tree(project / "README.md", project)


EXPORTED = """
import json, sys
import numpy as np, onnxruntime
from my_project.models.predict import load_champion
folder, rng = sys.argv[1], np.random.default_rng(0)
features = json.load(open(f"{folder}/encoding.json"))["features"]
rows = rng.uniform(0, 300, (500, len(features)))
for column, feature in enumerate(features):
    if feature["categories"]:
        rows[:, column] = rng.integers(0, len(feature["categories"]), 500)
rows[rng.random(rows.shape) < 0.1] = np.nan
session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
[scores] = session.run(None, {"features": rows})
expected = load_champion().score_matrix(rows)
print(np.ptp(expected) > 1, np.allclose(scores[:, 0], expected, rtol=1e-6))
"""


def test_an_exported_version_answers_as_the_model(project: Path) -> None:
    said = run(project, "make", "export").stdout
    assert "export/version-1: model.onnx" in said and "largest relative difference" in said
    assert run(project, PYTHON, "-c", EXPORTED, "export/version-1").stdout.strip() == "True True"
