"""make stream: lines in, lines out, in their order."""

import asyncio
import io
import json
import os
import threading
from collections import Counter
from typing import Any

import pytest

from {{ cookiecutter.package_name }}.errors import UserError
from {{ cookiecutter.package_name }}.serving import stream
from {{ cookiecutter.package_name }}.serving.core import Core

from .conftest import Change, Service


def streamed(core: Core, *pieces: bytes) -> tuple[list[Any], Counter[str]]:
    """What comes out when these pieces go in, and how many lines were answered and refused."""
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
    assert seen == {"answered": 100}
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
    assert seen == {"answered": 2, "refused": 2}


def test_a_full_log_holds_the_stream_up_until_it_drains(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RETRY_SECONDS", 0.05)
    lines = (json.dumps(record()).encode() + b"\n") * 60
    _, seen = streamed(service.assemble(spool_bytes=10_000), lines)
    assert seen == {"answered": 60}
    assert len(service.logged()) == 60


def test_a_line_without_end_is_an_error(service: Service) -> None:
    with pytest.raises(UserError, match="longer than 2,000 bytes"):
        streamed(service.assemble(max_bytes=2_000), b"[" * 3_000)
