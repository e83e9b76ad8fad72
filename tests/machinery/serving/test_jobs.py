"""POST /jobs: records that a worker answers later, as /predict would have."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from mlops_loop.database import database
from mlops_loop.serving import jobs
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import service as serving
from mlops_loop.serving.jobs import Jobs, process_next
from mlops_loop.serving.prediction_log import OutboxFull
from mlops_loop.serving.predictor import InvalidScore, Predictor
from services import Change, Service


def put(client: TestClient, content: Any, **headers: str) -> str:
    """Send a job that must be taken; returns where it is found."""
    answer = client.post("/jobs", json=content, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    return answer.headers["location"]


def worked(core: serving.Service) -> int:
    """Answer what waits; returns the number of jobs."""

    async def work() -> int:
        done = 0
        async with core.running():
            while await process_next(core.jobs, core.predictor):
                done += 1
        return done

    return asyncio.run(work())


def without_ids(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in each.items() if k != "prediction_id"} for each in answers]


def test_a_job_waits_until_a_worker_gives_the_services_answer(
    service: Service, client: TestClient, record: Change
) -> None:
    several = [record(size=size) for size in (1.0, 50.0)]
    places = put(client, record()), put(client, several)
    assert [client.get(place).json()["status"] for place in places] == ["queued"] * 2
    assert float(_metric(client, "job_wait_seconds")) > 0
    assert worked(service.assemble()) == 2
    one, two = (client.get(place).json() for place in places)
    assert (one["status"], two["status"]) == ("done", "done")
    direct = client.post("/predict", json=[record(), *several]).json()
    assert without_ids([one["result"], *two["result"]]) == without_ids(direct)
    assert float(_metric(client, "job_wait_seconds")) == 0
    ids = {answer["prediction_id"] for answer in [one["result"], *two["result"]]}
    rows = [row for row in service.logged() if row["id"] in ids]
    assert {row["request_id"] for row in rows} == {one["job_id"], two["job_id"]}


def _metric(client: TestClient, name: str) -> str:
    lines = client.get("/metrics").text.splitlines()
    [line] = [line for line in lines if line.startswith(f"{name} ")]
    return line.split()[1]


def test_a_job_is_explained_on_request(
    service: Service, client: TestClient, record: Change
) -> None:
    place = client.post("/jobs?explain=true", json=record()).headers["location"]
    worked(service.assemble())
    answer = client.get(place).json()["result"]
    added = sum(answer["explanation"]["contributions"].values())
    assert answer["explanation"]["base"] + added == pytest.approx(answer["prediction"])


def test_what_was_asked_is_gone_once_it_is_answered(
    service: Service, client: TestClient, record: Change
) -> None:
    put(client, record(), **{"x-sticky-key": "Ana"})
    [waiting] = service.logged(log.jobs)
    assert waiting["key"] == "Ana"
    worked(service.assemble())
    [done] = service.logged(log.jobs)
    assert (done["key"], done["content"]) == (None, None)
    assert log.forget(database(service.url), -1) >= 1
    assert service.logged(log.jobs) == []


def test_a_wrong_record_is_refused_at_once_and_an_unknown_job_is_not_found(
    service: Service, client: TestClient, record: Change
) -> None:
    refused = client.post("/jobs", json=record(size=-1))
    assert refused.status_code == 422
    assert [problem["field"] for problem in refused.json()["detail"]] == ["size"]
    assert client.get("/jobs/00000000-0000-0000-0000-000000000000").status_code == 404
    assert client.get("/jobs/..%2Fmodel").status_code == 404
    assert client.get("/jobs/one").status_code == 422
    assert service.logged(log.jobs) == []


def test_the_queue_is_bounded_until_jobs_are_answered(service: Service, record: Change) -> None:
    with service.running(queue_bytes=250) as client:
        codes = [client.post("/jobs", json=record()).status_code for _ in range(5)]
        assert codes == [202] * 2 + [503] * 3
        assert worked(service.assemble()) == 2
        assert client.post("/jobs", json=record()).status_code == 202


def test_a_database_that_is_down_takes_no_job_and_says_so(service: Service, record: Change) -> None:
    service.url = f"sqlite:///{service.project.root}/missing/log.db"
    with service.running() as client:
        for refused in (client.post("/jobs", json=record()), client.get(f"/jobs/{'0' * 32}")):
            assert refused.status_code == 503
            assert refused.json() == {"detail": "the database does not answer"}
        assert _metric(client, "job_wait_seconds") == "NaN"
        assert client.post("/predict", json=record()).status_code == 200
    assert worked(service.assemble()) == 0


ERRORS = {
    "no number": (InvalidScore(), "failed", "the model's score for this input is not finite"),
    "an error of ours": (ZeroDivisionError("secret"), "failed", "internal error"),
    "a full log": (OutboxFull("/secret/folder"), "queued", None),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_answered_says_why_or_waits(
    case: str, service: Service, client: TestClient, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, status, detail = ERRORS[case]

    async def fail(*_: object) -> bytes:
        raise error

    place = put(client, record())
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict", fail)
        worked(service.assemble())
    found = client.get(place).json()
    assert (found["status"], found.get("detail")) == (status, detail)
    assert worked(service.assemble()) == int(status == "queued")


@pytest.fixture
def queue(service: Service) -> Iterator[Jobs]:
    """The queue of a service that does not run."""
    engine = database(service.url)
    yield Jobs(engine, 10**6)
    engine.dispose()


def test_workers_that_ask_at_once_get_a_job_each(queue: Jobs) -> None:
    ids = [queue.put(b"{}", "") for _ in range(40)]
    taken: list[str] = []

    def work() -> None:
        while job := queue.take():
            taken.append(job.id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(taken) == 40
    assert set(taken) == set(ids)


def test_a_job_of_a_dead_worker_is_anothers_and_its_first_answer_stays(queue: Jobs) -> None:
    queue.put(b"{}", "")
    first = queue.take()
    assert first is not None
    assert queue.take() is None, "it is being answered"
    queue.lease = timedelta(0)
    second = queue.take()
    assert second is not None
    assert second.id == first.id
    queue.give_back(first)
    queue.finish(first, jobs.FAILED, b"2")
    queue.finish(second, jobs.DONE, b"1")
    found = json.loads(queue.find(first.id) or "")
    assert found == {"job_id": first.id, "status": "done", "result": 1}
    assert queue.take() is None


def test_a_clock_that_is_put_back_leaves_no_job(queue: Jobs, service: Service) -> None:
    queue.put(b"{}", "")
    assert queue.take() is not None
    tomorrow = datetime.now() + timedelta(days=1)
    with database(service.url).begin() as connection:
        connection.execute(log.jobs.update().values(taken=tomorrow))
    assert queue.take() is not None


def test_a_job_that_costs_every_worker_its_life_is_failed(queue: Jobs) -> None:
    queue.put(b"{}", "")
    queue.lease = timedelta(0)
    taken = [queue.take() for _ in range(jobs.MAX_ATTEMPTS + 1)]
    assert [job is not None for job in taken] == [True] * jobs.MAX_ATTEMPTS + [False]
    assert taken[0] is not None
    found = json.loads(queue.find(taken[0].id) or "")
    assert (found["status"], found["detail"]) == (
        "failed",
        "failed after 3 attempts: the worker crashed",
    )
