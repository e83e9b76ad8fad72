"""Routing between champion and challenger by strategy, and versions that are never served."""

import asyncio
import time
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from mlops_loop.database import database
from mlops_loop.files import read_json, write_json
from mlops_loop.models.model import Model
from mlops_loop.project import UserError
from mlops_loop.serving import predictor, router, telemetry, versions
from mlops_loop.serving.params import Canary
from projects import Project
from services import Change, Service, ask, counter, wait

BOTH = ("champion", "challenger")


def served_by(service: Service, strategy: str, **options: Any) -> router.Router:
    """The router of a strategy, with some of its options changed."""
    chosen = service.options(strategy=strategy, **options)
    return router.Router(chosen, versions.Versions(service.project.served, chosen), Random(0))


def chosen_by(some: router.Router, key: str) -> router.Assignment:
    """The assignment of a record with this key."""
    return some.assign(some.versions.served, [{}], key)


def slow(patch: pytest.MonkeyPatch, service: Service, seconds: float) -> None:
    """Make the challenger slow, or fail where `seconds` are negative."""
    score, trees = Model.score_typed, read_json(service.project.training)["trees"]

    def scored(model: Model, rows: Any) -> Any:
        if model.estimator.trees != trees:
            time.sleep(seconds)
        return score(model, rows)

    patch.setattr(Model, "score_typed", scored)


def test_a_shadow_is_logged_and_never_shown(service: Service, record: Change) -> None:
    with service.running(strategy="shadow") as client:
        answers = ask(client, [record(size=size) for size in (1.0, 50.0, 90.0)])
        wait(lambda: len(service.logged()) == 6)
        assert {answer["model_version"] for answer in answers} == {1}
        assert client.get("/ready").json()["versions"] == {"champion": 1, "challenger": 2}
    shown = [row for row in service.logged() if row["shown"]]
    unseen = [row for row in service.logged() if not row["shown"]]
    assert [row["output"] for row in shown] == answers
    assert {(row["version"], row["alias"]) for row in unseen} == {(2, "challenger")}
    assert {(row["strategy"], row["request_id"]) for row in service.logged()} == {
        ("shadow", shown[0]["request_id"])
    }
    assert [row["inputs"] for row in unseen] == [row["inputs"] for row in shown]
    assert [row["output"]["prediction"] for row in unseen] != [a["prediction"] for a in answers]


@pytest.mark.parametrize("seconds", [0.5, -1])
def test_a_slow_or_failing_shadow_costs_no_answer(
    seconds: float, service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "MAX_SHADOW", 1)
    slow(monkeypatch, service, seconds)
    before = telemetry.unshown._value.get()
    with service.running(strategy="shadow") as client:
        started = time.monotonic()
        for _ in range(4):
            assert ask(client, record())["model_version"] == 1
        assert time.monotonic() - started < 0.5
        wait(lambda: telemetry.unshown._value.get() >= before + 2)


def test_a_canary_gets_its_share_and_keeps_it(service: Service) -> None:
    keys = [f"customer {number}" for number in range(10_000)]
    chosen = {}
    for percent in (10, 30):
        some = served_by(service, "canary", canary=Canary(percent=percent))
        chosen[percent] = {key for key in keys if chosen_by(some, key).alias == "challenger"}
        assert chosen[percent] == {
            key for key in keys if chosen_by(some, key).alias == "challenger"
        }
        deviation = np.sqrt(len(keys) * percent / 100 * (1 - percent / 100))
        assert abs(len(chosen[percent]) - len(keys) * percent / 100) < 4 * deviation
    assert chosen[10] < chosen[30], "who had the challenger keeps it"


def test_equal_keys_are_answered_by_one_version(service: Service, record: Change) -> None:
    def versions_of(client: TestClient, key: str) -> set[int]:
        answers = [
            client.post("/predict", json=record(), headers={"x-sticky-key": key}).json()
            for _ in range(3)
        ]
        return {answer["model_version"] for answer in answers}

    half = {"strategy": "canary", "canary": Canary(percent=50)}
    with service.running(**half) as client:
        found = [versions_of(client, f"customer {number}") for number in range(12)]
        assert {1} in found
        assert {2} in found
        assert all(len(each) == 1 for each in found)
        assert counter(client, 'scoring_seconds_count{version="2"}') > 0
    with service.running(**half, sticky_by="size") as client:
        sizes = [float(size) for size in range(40)] * 2
        answers = [ask(client, record(size=size)) for size in sizes]
        several = client.post("/predict", json=[record(), record(size=1.0)])
        assert several.status_code == 422
        assert several.json()["detail"].startswith("send one record: serving.sticky_by")
        chosen = [answer["model_version"] for answer in answers]
        assert chosen[:40] == chosen[40:]
        assert 5 < chosen[:40].count(2) < 35
    logged = {row["id"]: row for row in service.logged()}
    for answer, size in zip(answers, sizes, strict=True):
        row = logged[answer["prediction_id"]]
        assert (row["version"], row["inputs"]["size"]) == (answer["model_version"], size)
        assert row["alias"] == BOTH[row["version"] - 1]
    with pytest.raises(UserError, match=r"serving\.sticky_by: note is none of .*'size'"):
        served_by(service, "canary", sticky_by="note")


def broken(project: Project, version: int, **changes: Any) -> dict[str, Any]:
    """Change what the copy of a version knows; returns what it was."""
    [note] = project.served.glob(f"{version}-*/version.json")
    known: dict[str, Any] = read_json(note)
    write_json(note, {**known, **changes})
    return known


def test_without_a_challenger_that_will_do_the_champion_answers(
    service: Service, record: Change
) -> None:
    half = {"strategy": "canary", "canary": Canary(percent=100)}
    golden = {"records": [record()], "scores": [-1.0]}
    broken(service.project, 2, golden=golden)
    with service.running(**half) as client:
        ready = client.get("/ready").json()
        assert (ready["strategy"], ready["versions"]) == ("single", {"champion": 1})
        assert "golden request 1 scores" in ready["registry"]
        assert "instead of -1" in ready["registry"]
        assert 'model_refused{alias="challenger"} 1.0' in client.get("/metrics").text
        assert ask(client, record())["model_version"] == 1
    assert service.logged()[0]["strategy"] == "single"


def test_a_challenger_that_is_withdrawn_no_longer_answers(service: Service) -> None:
    some = served_by(service, "canary", canary=Canary(percent=100))
    assert chosen_by(some, "key").served.version == 2
    note = service.project.served / "challenger.json"
    challenger = note.read_text()
    note.unlink()
    some.versions.refresh()
    assert chosen_by(some, "key").served.version == 1
    assert some.versions.problem is None
    assert some.versions.refused == {"champion": False, "challenger": False}
    note.write_text(challenger)
    some.versions.refresh()
    assert some.versions.served["challenger"].version == 2, "named once more it is served again"
    (service.project.served / "champion.json").unlink()
    some.versions.refresh()
    assert some.versions.champion.version == 1, "without an alias the champion stays"


def test_a_challenger_that_no_longer_answers_the_champions_question_is_dropped(
    service: Service,
) -> None:
    some = served_by(service, "canary", canary=Canary(percent=100)).versions
    champion = some.served["champion"]
    other = replace(champion, model=replace(champion.model, target="cents"))
    some.served = {**some.served, "champion": other}
    some.refresh()
    assert set(some.served) == {"champion"}
    assert "it predicts euros (regression), the champion cents" in str(some.problem)
    assert some.refused == {"champion": False, "challenger": True}


def test_a_look_that_fails_is_not_the_last(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some, looks = served_by(service, "canary", refresh_seconds=0.01), []

    def fail() -> None:
        looks.append(1)
        raise ZeroDivisionError("of nobody's business")

    monkeypatch.setattr(some.versions, "refresh", fail)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(some.watch(database(service.url)), 1))
    assert len(looks) > 2
    said = capsys.readouterr().out
    assert '"problem":"ZeroDivisionError"' in said
    assert "business" not in said


def name(project: Project, alias: str, version: int) -> None:
    """Let an alias name a version, as the copy of the registry has it."""
    for note in project.served.glob("*/version.json"):
        if read_json(note)["version"] == version:
            ref = {"version": version, "model_hash": note.parent.name.partition("-")[2]}
            write_json(project.served / f"{alias}.json", ref)


def test_a_champion_that_answers_otherwise_is_not_taken(
    service: Service, record: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = broken(service.project, 2, golden={"records": [record()], "scores": [-1.0]})
    found = versions.Versions(service.project.served, service.options())
    name(service.project, "champion", 2)
    found.refresh()
    assert found.champion.version == 1
    problem = found.problem
    assert problem is not None
    assert problem.startswith("champion: version 1 stays: golden request 1 scores")
    broken(service.project, 2, golden=known["golden"])
    found.refresh()
    assert (found.champion.version, found.problem) == (1, problem), "not again at every refresh"
    later = time.monotonic() + versions.RETRY_SECONDS
    monkeypatch.setattr(versions.time, "monotonic", lambda: later)
    found.refresh()
    assert (found.champion.version, found.problem) == (2, None)


def test_a_promoted_versions_contract_is_the_services_and_a_rollback_brings_the_old_one_back(
    service: Service, record: Change
) -> None:
    service.edit_contract(2, "min: 0, max: 100", "min: 0, max: 500")
    service.edit_contract(2, "[north, south, east]", "[north, south, east, west]")
    unknown = 'unknown_categories_total{column="shop"}'
    with service.running(refresh_seconds=0.05) as client:
        for version, most in ((1, 100), (2, 500), (1, 100)):
            name(service.project, "champion", version)
            wait(lambda version=version: client.get("/ready").json()["version"] == version)
            large = client.post("/predict", json=record(size=300.0))
            assert large.status_code == (422 if version == 1 else 200)
            described = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
            body = described["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0]
            assert body["properties"]["size"]["maximum"] == most
            columns = client.get("/model").json()["contract"]["columns"]
            assert next(c["max"] for c in columns if c["name"] == "size") == most
            before = counter(client, unknown)
            assert ask(client, record(shop="west"))["model_version"] == version
            assert counter(client, unknown) == before + (version == 1)


URGENT = (
    "columns:\n  - {name: urgent, dtype: Boolean, role: input, nullable: false, description: x}"
)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("max: 100", "max: 50", "size has the max 100 there and 50 here"),
        ("nullable: true, min: 1", "nullable: false, min: 1", "items may be null there"),
        ("size, dtype: Float64", "size, dtype: Int64", "size is Float64 there and Int64 here"),
        ("columns:", URGENT, "urgent is missing there"),
    ],
)
def test_a_challenger_whose_contract_refuses_the_champions_requests_is_not_served(
    old: str, new: str, reason: str, service: Service
) -> None:
    service.edit_contract(2, old, new)
    some = served_by(service, "canary", canary=Canary(percent=100)).versions
    assert set(some.served) == {"champion"}
    assert reason in str(some.problem)


def test_a_challenger_of_a_wider_contract_scores_the_champions_requests(
    service: Service, record: Change
) -> None:
    more = (
        "columns:\n  - {name: more, dtype: Float64, role: input, nullable: true, description: ''}"
    )
    service.edit_contract(2, "columns:", more)
    service.edit_contract(2, "max: 100", "max: 500")
    with service.running(strategy="canary", canary=Canary(percent=100)) as client:
        predictions = ask(client, [record(), record(size=1.0)])
    assert [each["model_version"] for each in predictions] == [2, 2]


def test_a_refused_version_is_tried_again_when_its_alias_moves(
    service: Service, record: Change
) -> None:
    known = broken(service.project, 2, golden={"records": [record()], "scores": [-1.0]})
    some = served_by(service, "canary").versions
    broken(service.project, 2, golden=known["golden"])
    name(service.project, "challenger", 1)
    some.refresh()
    assert some.served["challenger"].version == 1
    name(service.project, "challenger", 2)
    some.refresh()
    assert (some.served["challenger"].version, some.problem) == (2, None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strategy": "blue_green"}, "serving.strategy: Input should be 'single', 'shadow'"),
        ({"canary": {"percent": 101}}, "serving.canary.percent: .* 100"),
        ({"ab": {"size": 0}}, "serving.ab.size: "),
        ({"ab": {"metric": "correct"}}, "serving.ab.metric: unknown key"),
    ],
)
def test_a_wrong_option_is_named(wrong: dict[str, Any], words: str, service: Service) -> None:
    project = service.project
    edits = {
        f"serving__{key}__{name}" if isinstance(value, dict) else f"serving__{key}": inner
        for key, value in wrong.items()
        for name, inner in (value.items() if isinstance(value, dict) else [("", value)])
    }
    project.edit(**edits)
    with pytest.raises(UserError, match=words):
        service.options()
