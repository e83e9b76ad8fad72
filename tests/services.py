"""A service on the small project's champion, asked in-process."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sql
from fastapi.testclient import TestClient
from helpers import SOURCE
from mlops_loop.database import database
from mlops_loop.project import load_settings
from mlops_loop.serving import api as app
from mlops_loop.serving import follow, jobs
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import predictor as predict
from mlops_loop.serving import service as core
from mlops_loop.serving import telemetry
from mlops_loop.serving.params import Serving, serving_options
from mlops_loop.serving.prediction_log import Outbox
from mlops_loop.serving.router import Router
from mlops_loop.serving.versions import Versions
from mlops_loop.tracking import registry as tracking
from project.models import register
from project.params import load_params
from projects import Project, clone, isolate

RECORD = {"sold_at": "2024-02-01T10:00:00", "shop": "north", "size": 20.0, "items": 2}
RECORD |= {"express": False}

AB = {"share": 0.5, "size": 500, "confidence": 0.95, "started": None}


def wait(condition: Callable[[], bool]) -> None:
    """Wait until it holds; a minute at most."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def ask(client: TestClient, content: Any) -> Any:
    """The answer to a request that must succeed."""
    answer = client.post("/predict", json=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counter(client: TestClient, line: str) -> float:
    """The value of a counter of /metrics, 0 before it is first counted."""
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
    return float(found[0].split()[-1]) if found else 0.0


class Service:
    """A project whose champion is served."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.outbox = project.root / ".serving" / "outbox"
        self.url = f"sqlite:///{project.log}"
        self.keys: tuple[str, ...] = ()
        self.environment = "test"

    def options(self, **changes: Any) -> Serving:
        """Section `serving` of the project's params.yaml, with some values changed."""
        params = load_params(self.project.params)
        return serving_options(params.serving, params.task).model_copy(update=changes)

    def edit_contract(self, version: int, old: str, new: str) -> None:
        """Replace words of the contract of a version's copy."""
        [contract] = self.project.served.glob(f"{version}-*/contract.yaml")
        text = contract.read_text()
        assert old in text
        contract.write_text(text.replace(old, new))

    def assemble(self, **options: Any) -> core.Service:
        """The service with some of its options changed; one thread ships its log."""
        serving = self.options(**options)
        versions = Versions(self.project.served, serving)
        router = Router(serving, versions, Random(0))
        outbox = Outbox(self.outbox, serving.outbox_bytes)
        context = {"environment": self.environment, "code_version": "abc"}
        predictor = predict.Predictor(serving, router, outbox, context)
        engine = database(self.url)
        shipper = log.Shipper(outbox, engine, serving.retention_days)
        queue = jobs.Jobs(engine, serving.queue_bytes)
        checks = telemetry.LatestCheck(self.project)
        return core.Service("shop", serving, predictor, shipper, queue, engine, checks)

    @contextmanager
    def running(self, **options: Any) -> Iterator[TestClient]:
        """The service, as long as the block lasts."""
        made = app.create_app(self.assemble(**options), self.keys)
        with TestClient(made, raise_server_exceptions=False) as client:
            yield client

    def logged(self, table: sql.Table = log.predictions) -> list[dict[str, Any]]:
        """The rows of the prediction log, the oldest first."""
        engine = database(self.url)
        log.tables.create_all(engine)
        with engine.connect() as connection:
            rows = connection.execute(table.select().order_by(table.c.time)).mappings()
            return [dict(row) for row in rows]


@pytest.fixture(scope="session")
def served_once(trained_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
        project = clone(trained_once, tmp_path_factory.mktemp("served") / "project")
        register.main(project)
        project.edit(serving__strategy="single", serving__sticky_by=None, serving__ab=AB)
        project.put_model("worse")
        register.main(project)
        registry = tracking.connect(project, load_settings(project))
        registry.point("challenger", 2)
        follow.sync(registry, project.served, {})
        project.put_model("better")
    return project


@pytest.fixture
def service(served_once: Project, tmp_path: Path) -> Service:
    """The small project's champion, 1, and its worse challenger, 2, copied from the registry."""
    project = Project(tmp_path / "project")
    shutil.copytree(served_once.root, project.root)
    return Service(project)


@pytest.fixture
def registry(served_once: Project, monkeypatch: pytest.MonkeyPatch) -> tracking.Registry:
    """The registry of the project that the service's was copied from: stores know their place."""
    found = tracking.connect(served_once, load_settings(served_once))
    monkeypatch.setattr(tracking, "connect", lambda *_: found)
    return found


@pytest.fixture(autouse=True)
def machinery_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that machinery starts import it from the template folder, too."""
    monkeypatch.setenv("PYTHONPATH", str(SOURCE / "src"))


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    """The running service."""
    with service.running() as client:
        yield client


Change = Callable[..., dict[str, Any]]


@pytest.fixture
def record() -> Change:
    """A record of a request, with some fields changed and those that are ... left out."""

    def make(**changes: Any) -> dict[str, Any]:
        changed = RECORD | changes
        return {name: value for name, value in changed.items() if value is not ...}

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder beside the project."""
    return tmp_path
