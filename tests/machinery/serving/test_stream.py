"""make stream: lines in, lines out, in their order."""

import asyncio
import io
import json
import os
import threading
from collections import Counter
from typing import Any

import pytest
from mlops_loop.serving import prediction_log as log
from mlops_loop.serving import service as serving
from mlops_loop.serving import stream
from services import Change, Service

from .test_jobs import worked


def streamed(core: serving.Service, *pieces: bytes) -> tuple[list[Any], Counter[str]]:
    """Stream these pieces; returns the output, and the numbers of predicted and refused lines."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    target = io.BytesIO()
    threading.Thread(target=write).start()
    try:
        seen = asyncio.run(stream.stream(core, reading, target))
    finally:
        os.close(reading)
    return [json.loads(line) for line in target.getvalue().splitlines()], seen


def test_each_line_is_answered_as_the_service_answers_it(service: Service, record: Change) -> None:
    records = [record(size=size / 2, shop=shop) for size in range(50) for shop in ("north", None)]
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in records)
    answers, seen = streamed(service.assemble(), lines[:7], lines[7:5_000], lines[5_000:])
    with service.running() as client:
        direct = client.post("/predict", json=records).json()
    numbers = [answer["prediction"] for answer in answers]
    assert numbers == pytest.approx([answer["prediction"] for answer in direct], abs=0)
    assert seen == {"predicted": 100}
    logged = {row["id"]: row["inputs"] for row in service.logged()}
    assert [logged[answer["prediction_id"]] for answer in answers] == records


def test_a_wrong_line_is_answered_with_its_problems_and_the_next_is_served(
    service: Service, record: Change
) -> None:
    good, wrong = json.dumps(record()).encode(), json.dumps(record(size="x")).encode()
    several = b"[%s, %s]" % (good, good)
    given = b"\n".join([wrong, b"", b"no json", several, good])
    answers, seen = streamed(service.assemble(), given)
    refused, unread, two, last = answers
    assert [problem["field"] for problem in refused["detail"]] == ["size"]
    assert "Invalid JSON" in unread["detail"][0]["rule"]
    assert len(two) == 2
    assert last["prediction"] == two[0]["prediction"], "the last line needs no end"
    assert seen == {"predicted": 2, "refused": 2}


def test_a_full_log_pauses_the_stream_until_it_drains(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RETRY_SECONDS", 0.05)
    lines = (json.dumps(record()).encode() + b"\n") * 60
    _, seen = streamed(service.assemble(outbox_bytes=10_000), lines)
    assert seen == {"predicted": 60}
    assert len(service.logged()) == 60


def test_a_line_that_is_too_long_is_refused_and_the_next_is_served(
    service: Service, record: Change
) -> None:
    good, long = json.dumps(record()).encode(), b"[" * 300_000
    core = service.assemble(max_bytes=2_000)
    answers, seen = streamed(core, long + b"\n" + good + b"\n" + long)
    assert answers[0] == answers[2] == {"detail": "a line holds at most 2,000 bytes"}
    assert answers[1]["model_version"] == 1
    assert seen == {"predicted": 1, "refused": 2}


def test_what_no_log_could_hold_is_refused(service: Service, record: Change) -> None:
    line = json.dumps([record()] * 100).encode()
    [refused], seen = streamed(service.assemble(outbox_bytes=10_000), line)
    assert "exceed what the prediction log may hold" in refused["detail"]
    assert seen == {"refused": 1}
    with service.running(outbox_bytes=10_000) as client:
        answer = client.post("/predict", json=[record()] * 100)
        assert (answer.status_code, answer.json()) == (413, refused)
        client.post("/jobs", json=[record()] * 100)
    assert worked(service.assemble(outbox_bytes=10_000)) == 1
    [job] = service.logged(log.jobs)
    assert (job["status"], json.loads(job["outcome"])) == ("failed", refused["detail"])
    assert job["content"] == line.replace(b", ", b",").replace(b": ", b":"), "it can be sent again"
