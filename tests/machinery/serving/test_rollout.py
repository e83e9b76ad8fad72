"""Decisions by feedback: the result of an A/B test, and the version that a bandit prefers."""

import re
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import comb
from random import Random
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sql
from mlops_loop.database import database
from mlops_loop.project import UserError
from mlops_loop.serving import log_tables as log
from mlops_loop.serving import rollout, router
from services import Change, Service, ask

pytestmark = pytest.mark.usefixtures("registry")

START = datetime(2024, 1, 1)
BLANK = {"request_id": "r", "alias": "a", "shown": True, "environment": "e", "code_version": "c"}
BLANK |= {"inputs": {}, "latency_ms": 1.0}


@pytest.fixture
def engine(service: Service) -> sql.Engine:
    """The log of a service that runs an A/B test of 100 units each."""
    service.project.edit(serving__strategy="ab", serving__ab__size=100)
    engine = database(log.url(service.project))
    log.tables.create_all(engine)
    return engine


Row = tuple[int, int, Any, Any]  # version, unit, answer, truth


def add(engine: sql.Engine, strategy: str, rows: Iterable[Row], start: int = 0) -> None:
    """Put predictions and their truths into the log, a second after each other."""
    made, told = [], []
    for second, (version, unit, answer, actual) in enumerate(rows, start):
        known = {"id": str(uuid.uuid4()), "time": START + timedelta(seconds=second)}
        of_this = {"version": version, "unit": unit, "output": {"prediction": answer}}
        made.append({**BLANK, **known, **of_this, "strategy": strategy})
        told.append({**known, "prediction_id": known["id"], "actual": actual})
    with engine.begin() as connection:
        log.insert(connection, log.predictions, made)
        log.insert(connection, log.feedback, told)


def errors(version: int, mean: float, units: range) -> list[Row]:
    """Answers of a version whose absolute errors have this mean."""
    sizes = np.random.default_rng(version).gamma(4, mean / 4, len(units))
    return [(version, unit, 10 + float(size), 10) for unit, size in zip(units, sizes, strict=True)]


def said(service: Service, capsys: pytest.CaptureFixture[str]) -> str:
    """The output of `make rollout`."""
    rollout.main(service.project, service.options())
    return capsys.readouterr().out


def test_nothing_is_said_before_both_have_their_size(
    service: Service, engine: sql.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    design = service.options().logged_strategy
    add(engine, design, errors(1, 5, range(100)) + errors(2, 1, range(100, 199)))
    # A customer who comes back, and a truth that is no number, do not count.
    add(engine, design, [(2, 100, 11.0, 10), (2, 500, 11.0, "ten")], start=500)
    assert said(service, capsys).endswith(
        "The test is not finished: the champion has 100 and the challenger 99 of 100 labelled "
        "units.\n"
    )
    add(engine, design, [(2, 199, 11.0, 10)], start=600)
    assert "The challenger is better" in said(service, capsys)


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (3.0, "The challenger is better: make promote VERSION=2"),
        (5.0, "No significant difference: keep the champion."),
        (8.0, "The challenger is worse: keep the champion."),
    ],
)
def test_the_verdict_is_welchs_of_the_first_units(
    mean: float,
    words: str,
    service: Service,
    engine: sql.Engine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    design = service.options().logged_strategy
    ours, theirs = errors(1, 5, range(100)), errors(2, mean, range(100, 200))
    add(engine, design, ours + theirs)
    text = said(service, capsys).partition("absolute_error ")[2]
    assert words in text
    difference = np.mean([row[2] for row in theirs]) - np.mean([row[2] for row in ours])
    found, low, high = map(float, re.findall(r"[+-]\d[\d.e-]*", text)[:3])
    assert found == pytest.approx(difference, rel=1e-3)
    assert low < found < high
    assert (low < 0 < high) == ("No significant" in text)
    later = errors(1, 90, range(300, 400)) + errors(2, 90, range(400, 500))
    add(engine, design, later, start=1_000)
    assert said(service, capsys).endswith(text), "what comes later changes nothing"


def test_rates_are_held_against_each_other(service: Service) -> None:
    options = service.options().model_copy(update={"task": "binary"})
    low, high, p_value = rollout.compare(
        options, np.repeat([1.0, 0], [48, 32]), np.repeat([1.0, 0], [56, 14])
    )
    # The example (a) of Newcombe (1998), by his method 10.
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=0.02)
    chances = [comb(104, ones) * comb(46, 70 - ones) / comb(150, 70) for ones in range(24, 71)]
    extreme = sum(chance for chance in chances if chance <= chances[56 - 24] * (1 + 1e-9))
    assert p_value == pytest.approx(extreme, abs=0.01), "as by Fisher's exact test"


@pytest.mark.parametrize("strategy", ["shadow", "canary", "bandit"])
def test_a_rollout_shows_requests_answers_and_errors(
    strategy: Any, service: Service, registry: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    service.project.edit(serving__strategy=strategy)
    engine = database(log.url(service.project))
    log.tables.create_all(engine)
    add(engine, strategy, [(1, 0, 10.0, 12.0), (1, 1, 20.0, 20.0), (2, 2, 18.0, 18.5)])
    add(engine, "another", [(1, 0, 99.0, 12.0), (2, 0, 99.0, 12.0)])
    with engine.begin() as connection:
        connection.execute(log.feedback.delete().where(log.feedback.c.actual == 20.0))
    text = said(service, capsys)
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["strategy", strategy]
    assert lines[2:4] == [
        ["champion", "1", "1", "15", "2", "1"],
        ["challenger", "2", "1", "18", "0.5", "1"],
    ]
    assert lines[4][-1] == "3"


def test_without_a_challenger_the_champions_traffic_is_shown(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = database(log.url(service.project))
    log.tables.create_all(engine)
    add(engine, "single", [(1, 0, 10.0, 12.0)])
    text = said(service, capsys)
    assert text.startswith("strategy single")
    assert "challenger  " not in text
    [row] = [line.split() for line in text.splitlines() if line.startswith("  champion")]
    assert row == ["champion", "1", "1", "10", "2", "1"]


def test_where_no_value_differs_nothing_is_better(service: Service) -> None:
    options, same = service.options(), np.ones(20)
    for theirs in (same, np.zeros(20)):
        text = rollout.summary(options, (1, 2), same, theirs)
        is_significant = rollout.compare(options, same, theirs)[2] < 0.05
        assert ("The challenger is better" in text) == is_significant


def test_a_design_that_changes_begins_another_test(
    service: Service, engine: sql.Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    design, both = service.options().logged_strategy, errors(1, 5, range(50))
    add(engine, design, both + errors(2, 5, range(50, 100)))
    assert "champion has 50 and" in said(service, capsys)
    service.project.edit(serving__ab__confidence=0.9)
    assert "champion has 0 and" in said(service, capsys)


@pytest.mark.parametrize(("share", "lost"), [(0.5, 90), (0.2, 50)])
def test_units_that_are_missing_on_one_side_leave_no_verdict(
    share: float,
    lost: int,
    service: Service,
    engine: sql.Engine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service.project.edit(serving__ab__share=share, serving__ab__size=50)
    design, theirs = service.options().logged_strategy, int(400 * share)
    add(engine, design, errors(1, 5, range(theirs, 400)) + errors(2, 3, range(theirs - lost)))
    counts = f"{400 - theirs} units of the champion and {theirs - lost} of the challenger, whose"
    with pytest.raises(UserError, match=rf"ratio mismatch.* {counts} share is {share} \(p = \d"):
        said(service, capsys)
    add(engine, design, errors(2, 3, range(theirs - lost, theirs)))
    assert "The challenger is better" in said(service, capsys)
    # Who comes back is no other unit.
    add(engine, design, errors(2, 3, range(theirs)) * 4)
    assert "The challenger is better" in said(service, capsys)


def test_without_a_log_nothing_is_said(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.project.edit(serving__strategy="ab")
    with pytest.raises(UserError, match="the prediction log does not respond"):
        said(service, capsys)


def test_a_running_test_is_logged_by_its_design_and_units(
    service: Service, record: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    service.project.edit(serving__strategy="ab", serving__ab__size=10)
    design = service.options().logged_strategy
    with service.running() as client:
        for number in range(60):
            answer = ask(client, record(size=float(number)))
            told = {"prediction_id": answer["prediction_id"], "actual": 50.0}
            assert client.post("/feedback", json=told).status_code == 202
    rows = service.logged()
    assert {row["strategy"] for row in rows} == {design}
    assert len({row["unit"] for row in rows}) == 60, "each request by itself"
    assert {row["alias"] for row in rows} == {"champion", "challenger"}
    assert re.search(r"challenger +2 +\d", said(service, capsys))


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("better", [1, 2])
def test_a_bandit_comes_to_prefer_the_better(
    task: str, better: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "LATEST", 100)
    engine, noise = database(f"sqlite:///{tmp_path}/log.db"), Random(1)
    arm = router.Bandit(task, Random(0))
    log.tables.create_all(engine)
    chosen: list[int] = []
    for turn in range(20):
        now = [arm.choose([1, 2]) for _ in range(60)]
        add(engine, "bandit", [answer(v, v == better, task, noise) for v in now], turn * 60)
        arm.refresh(engine, [1, 2])
        chosen += now
    assert 10 < chosen[:60].count(better) < 50, "at first by a coin"
    # The worse is not forgotten when the latest rewards are all the better's.
    assert all(chosen[start : start + 120].count(better) > 100 for start in range(480, 1200, 120))


def answer(version: int, is_better: bool, task: str, noise: Random) -> Row:
    """An answer that is good more often, or nearer to the truth, where it is the better's."""
    if task == "binary":
        return version, 0, noise.random() < (0.9 if is_better else 0.6), True
    return version, 0, noise.gauss(10, 1 if is_better else 3), 10
