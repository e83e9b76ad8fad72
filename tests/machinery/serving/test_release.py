"""The delivery checklist: what it finds in a service, and where it lets a version go."""

import json
import re
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient
from mlops_loop.files import read_json
from mlops_loop.models.bootstrap import Scores
from mlops_loop.models.slices import failed_bars
from mlops_loop.project import UserError
from mlops_loop.serving import release
from mlops_loop.serving.params import Deliver
from mlops_loop.tracking import history
from mlops_loop.tracking import registry as tracking
from project.models.metrics import SCORING
from services import Service

LIMITS = Deliver(rate=40, seconds=2, p99_ms=2_000)


def deliver(service: Service, *arguments: str) -> None:
    """Run `make deliver`."""
    release.main(service.project, service.options(deliver=LIMITS), misses, arguments)


def misses(scores: Scores, **bars: float) -> list[str]:
    """The bars that a regression misses."""
    return failed_bars(SCORING["regression"], scores, bars)


def deliver_to(
    environment: str, service: Service, patch: pytest.MonkeyPatch, *arguments: str
) -> dict[str, Any]:
    """`make deliver` against the service, in-process; returns the report."""
    service.environment = environment
    with service.running() as client:
        patch.setattr(release.httpx, "Client", lambda **_: nullcontext(client))
        deliver(service, "--environment", environment, *arguments)
    report: dict[str, Any] = read_json(release.report_path(service.project, environment))
    return report


def test_a_version_goes_from_test_over_staging_to_production(
    registry: tracking.Registry,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = deliver_to("test", service, monkeypatch)
    assert (report["passed"], report["version"]) == (True, 1)
    assert [check["point"] for check in report["checks"]] == list(range(1, 10))
    assert [check["passed"] for check in report["checks"]] == [True] * 6 + [None] * 3
    assert "  2  golden requests             passed" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"staging: APPROVED_BY=name"):
        deliver_to("staging", service, monkeypatch)
    staged = deliver_to("staging", service, monkeypatch, "--approved-by", "Ana")
    assert staged["checks"][6] == {
        "point": 7,
        "name": "to staging on approval",
        "passed": True,
        "found": "Ana",
    }
    live = deliver_to("production", service, monkeypatch, "--approved-by", "Ana")
    assert live["passed"]
    assert live["checks"][2]["found"] == "not in production; staging passed it"
    assert live["checks"][8]["found"] == f"staging passed {staged['time']}"
    for place in ("staging", "production"):
        assert registry.find(place).number == 1
        registry.unpoint(place)  # other tests share this registry
    told = [
        (entry.version, entry.by, entry.reason)
        for entry in history.read(service.project, "deliver")
    ]
    assert told[1:] == [(1, "Ana", "staging: passed"), (1, "Ana", "production: passed")]
    assert told[0][2] == "test: passed"


@pytest.mark.usefixtures("registry")
def test_to_ask_is_not_to_deliver_and_nobody_at_the_address_is_said(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(service, "--ask", "1")
    assert capsys.readouterr().out == "version 1 may go to test.\n"
    with pytest.raises(UserError, match=re.escape("URL=http://127.0.0.1:1: ")):
        deliver(service, "--url", "http://127.0.0.1:1")
    assert not release.report_path(service.project, "test").exists()


@pytest.mark.parametrize("change", [None, {"passed": False}, {"model_hash": "other"}])
def test_a_failing_staging_blocks_production(
    change: dict[str, Any] | None, service: Service, registry: tracking.Registry
) -> None:
    project, version = service.project, registry.find("champion")
    report = {"passed": True, "model_hash": version.tags["model_hash"], "time": ""}
    if change is not None:
        release.report_path(project, "staging").write_text(json.dumps(report | change))
    message = r"delivery-staging.json reports no passed delivery of version 1: first run `make del"
    with pytest.raises(UserError, match=message):
        release.check_way(project, "production", version, "Ana")


def told(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/model").json()
    return found


def test_another_model_contract_or_library_is_not_compatible(client: TestClient) -> None:
    tags = told(client)["lineage"]
    assert release.check_compatible(told(client), tags, "test").passed
    other = told(client)
    other["runtime"]["polars"] = "0.20.1"
    changed = tags | {"model_hash": "other", "contract_hash": "other"}
    check = release.check_compatible(other, changed, "staging")
    assert not check.passed
    for words in (
        "another model_hash; another contract_hash; ",
        "its ENVIRONMENT is test; ",
        "0.20.1",
    ):
        assert words in check.found


def test_an_answer_that_changed_is_named() -> None:
    one: list[Any] = [{"model_version": 1, "prediction": value} for value in (2.0, 3.0)]
    assert release.check_golden(1, one, [2.0, 3.0 + 1e-9]).passed
    assert release.check_golden(1, one, [2.0, 3.1]).found == "request 2 differs"
    other = [{"model_version": 2, "prediction": 0.0}, one[1]]
    assert release.check_golden(1, other, [2.0, 3.0]).found == "1 predicted as expected"
    assert not release.check_golden(3, one, [2.0, 3.0]).passed
    shares = {"prediction": "b", "probabilities": {"a": 0.25, "b": 0.75}}
    assert release.check_golden(1, [{"model_version": 1, **shares}], [0.75]).passed


def test_a_slow_or_failing_service_does_not_bear_its_load() -> None:
    limits = Deliver(rate=100, seconds=0.5, p99_ms=2_000)
    found = release.check_load(lambda: True, limits)
    assert found.passed
    assert int(found.found.split()[0]) == pytest.approx(100, rel=0.2)
    slow = release.check_load(lambda: True, limits.model_copy(update={"p99_ms": 0.001}))
    assert slow.passed is False
    assert slow.found.endswith(" of 0.001 ms")
    failing = release.check_load(lambda: False, limits).found
    assert failing.startswith("0 of 100 requests a second, 50 failed")


def test_a_service_that_takes_anything_is_found_out(client: TestClient, service: Service) -> None:
    good = client.get("/model").json()["example"]
    assert release.check_validation(client, good).passed
    unknown = {f"{name}_": value for name, value in good.items()}
    check = release.check_validation(client, unknown)
    assert check.passed is False and "wrong size_" in check.found


def test_a_version_below_its_bar_or_on_hold_is_not_fit(client: TestClient) -> None:
    assert release.check_targets(told(client), misses).passed
    held = told(client)
    held["lineage"]["decision"] = "hold"
    check = release.check_targets(held, partial(misses, r2=0.9999))
    assert "is below the bar of 0.9999; the gate's decision is hold" in check.found
