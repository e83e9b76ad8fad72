"""The log, the queue and a batch's table in a real PostgreSQL, where one is installed."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest
import sqlalchemy as sql
from mlops_loop.data.contract import load_contract
from mlops_loop.database import POSTGRESQL_WAITS, database
from mlops_loop.models import profile
from mlops_loop.models.model import load
from mlops_loop.monitoring import decide, feedback
from mlops_loop.monitoring import log as reader
from mlops_loop.monitoring.batch import Champion
from mlops_loop.project import UserError
from mlops_loop.serving import batch, jobs
from mlops_loop.serving import prediction_log as log
from mlops_loop.tracking import history
from project.data import ingest
from project.models.metrics import SCORING
from projects import DEFINITIONS
from services import Change, Service, wait

from .test_jobs import put, worked

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of our own; PostgreSQL refuses to run as root."""
    if not INSTALLED:
        pytest.skip("no PostgreSQL is installed")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder = Path(mkdtemp())
    if user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = [INSTALLED[-1] / "initdb", "--auth=trust", "--username=mlops", "--no-sync", folder]
    subprocess.run([*user, *make], cwd="/", check=True, stdout=subprocess.DEVNULL)
    serve = [INSTALLED[-1] / "postgres", "-D", folder, "-p", str(port), "-k", folder, "-F"]
    process = subprocess.Popen([*user, *serve], stderr=subprocess.DEVNULL, cwd="/")
    url = f"postgresql+psycopg://mlops@127.0.0.1:{port}/postgres"
    try:
        wait(lambda: is_there(url))
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def is_there(url: str) -> bool:
    """Return whether the server answers."""
    try:
        sql.create_engine(url).connect().close()
    except sql.exc.OperationalError:
        return False
    return True


def test_a_query_is_a_source_that_grows(
    server: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, engine = service.project, sql.create_engine(server)
    monkeypatch.setenv("SOURCE_URL", server.replace("+psycopg", ""))
    query = "select *, at::date as day from sales where note <> ' :x%'"
    project.edit(ingest__source="sql", ingest__query=query, ingest__increment="at")
    table = "note text, price numeric(8, 2), at timestamptz, key uuid default gen_random_uuid()"
    row = "insert into sales values ('a', 1.25, '2026-01-0{} 10:00+02')"
    with engine.begin() as connection:
        for statement in (f"create table sales ({table})", row.format(1), row.format(2)):
            connection.exec_driver_sql(statement)
    ingest.main(project)
    with engine.begin() as connection:
        connection.exec_driver_sql(row.format(3))
    time.sleep(1.1)
    ingest.main(project)
    first, second = (pl.read_parquet(path) for path in sorted(project.raw.glob("*.parquet")))
    assert first["price"].cast(pl.Float64).to_list() == [1.25, 1.25]
    assert second["at"].cast(pl.Datetime).to_list() == [datetime(2026, 1, 3, 8)]
    assert len(second["key"].item()) == 36
    project.edit(ingest__query="select nope from sales")
    with pytest.raises(UserError, match=r'of SOURCE_URL: .*column "nope" does not exist'):
        ingest.main(project)


def test_predictions_feedback_and_jobs_are_kept(
    server: str, service: Service, record: Change
) -> None:
    service.url = server
    with service.running() as client:
        answers = client.post("/predict", json=[record(), record()]).json()
        told = {"prediction_id": answers[0]["prediction_id"], "actual": 1.5}
        assert client.post("/feedback", json=told).status_code == 202
        place = put(client, record())
        assert worked(service.assemble()) == 1
        done = client.get(place).json()
    rows = {row["id"]: row for row in service.logged()}
    assert {answer["prediction_id"] for answer in [*answers, done["result"]]} == set(rows)
    assert rows[told["prediction_id"]]["output"] == answers[0]
    assert [row["actual"] for row in service.logged(log.feedback)] == [1.5]
    assert log.forget(database(server), -1) == 5


def test_the_monitor_reads_what_the_service_logged(
    server: str, service: Service, record: Change
) -> None:
    service.url = server
    project = service.project
    with service.running() as client:
        before = database(server)
        log.prepare(before)
        log.forget(before, -1)
        answers = client.post("/predict", json=[record(items=n) for n in (1, 2, None)]).json()
        for actual in (5.0, 9.0):
            told = {"prediction_id": answers[0]["prediction_id"], "actual": actual}
            assert client.post("/feedback", json=told).status_code == 202
        stranger = {"prediction_id": "0" * 36, "actual": 1}
        assert client.post("/feedback", json=stranger).status_code == 202
        for _ in range(2):
            assert client.post("/predict", json=record(size="x")).status_code == 422
    champion = Champion(
        model=load(project.candidate),
        contract=load_contract(project.contract),
        profile=profile.load(project.profile),
        scoring=SCORING["regression"],
        target=DEFINITIONS["TARGET"],
        keep=DEFINITIONS["KEEP_ROWS"],
    )
    read = reader.watch_log(champion, database(server), project.root / "profiles")
    [day] = read.watched.days.iter_rows(named=True)
    assert (str(day["day"]), day["rows"]) == ("2024-02-01", 3)
    losses = read.watched.losses.filter(pl.col("slice") == "")
    assert losses["rows"].to_list() == [1]
    expected = abs(answers[0]["prediction"] - 9)
    assert losses["loss"].to_list() == pytest.approx([expected]), "the latest truth counts"
    [truths] = read.truths.values()
    assert (truths["unknown"], truths["ids"]) == (1, ["0" * 36])
    assert read.refused == [{"field": "size", "rule": "float_type", "count": 2}]
    again = reader.watch_log(champion, database(server), project.root / "profiles")
    assert again.days == read.days
    assert feedback.find_ids(
        database(server).connect(), "items", {"2": 7.0, "8": 1.0}, counts := Counter()
    ) == {answers[1]["prediction_id"]: 7.0}
    assert counts == {"unknown": 1}


def test_workers_that_ask_at_once_get_a_job_each(server: str) -> None:
    queue = jobs.Jobs(database(server), 10**6)
    ids = {queue.put(b"{}", "") for _ in range(100)}
    taken: list[str] = []

    def work() -> None:
        while job := queue.take():
            time.sleep(0.001)
            taken.append(job.id)

    workers = [threading.Thread(target=work) for _ in range(5)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(taken) == 100
    assert set(taken) == ids
    assert json.loads(queue.find(taken[0]) or "")["status"] == "running"


def test_a_batch_is_written_whole_or_not_at_all(server: str) -> None:
    engine, now = database(server), datetime.now(UTC).replace(tzinfo=None)
    rows = pl.DataFrame({"size": [1.0, 2.0], "items": [1, None]})
    known = {"batch": "monday", "model_version": 1, "scored_at": now}
    for _ in range(2):
        assert batch.publish([rows, rows], engine, "scores", known) == 4
    wrong = rows.with_columns(items=pl.lit("many"))
    with pytest.raises(UserError, match="TABLE=scores cannot take the rows"):
        batch.publish([rows, wrong], engine, "scores", known)
    with engine.connect() as connection:
        assert connection.scalar(sql.text("select count(*) from scores")) == 4
    with ThreadPoolExecutor(3) as together:
        done = [together.submit(batch.publish, [rows], engine, "scores", known) for _ in range(6)]
    assert [each.result() for each in done] == [2] * 6
    with engine.connect() as connection:
        assert connection.scalar(sql.text("select count(*) from scores")) == 2


def test_the_history_is_kept(
    server: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server)
    for event in ("freeze", "unfreeze"):
        history.append(service.project, event, by="Ada", reason="“audit”", ratio=float("nan"))
    first, second = history.read(service.project)  # that of the file has others
    assert (first.event, first.reason, first.content) == ("freeze", "“audit”", {"ratio": None})
    assert first.id < second.id and decide.find_freeze(service.project) is None


def test_a_server_that_hangs_holds_nothing_else_up(
    server: str, service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(POSTGRESQL_WAITS, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts and never answers
        port = silent.getsockname()[1]
        service.url = f"postgresql+psycopg://mlops@127.0.0.1:{port}/postgres"
        with service.running() as client:
            with ThreadPoolExecutor(8) as crowd:
                jobs_sent = [crowd.submit(client.post, "/jobs", json=record()) for _ in range(4)]
                begun = time.monotonic()
                several = client.post("/predict", json=[record()] * 100)
                explained = client.post("/predict?explain=true", json=record())
                assert time.monotonic() - begun < 2, "they wait for no database"
            assert {several.status_code, explained.status_code} == {200}
            assert {sent.result().status_code for sent in jobs_sent} == {503}
            wait(lambda: client.get("/ready").json()["log"] == "OperationalError")
            service.url = server
