"""The points of the delivery checklist that a running service answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from ..data.contract import Contract, request_columns
from ..lineage import runtime
from ..models.bootstrap import Scores
from ..models.golden import TOLERANCE
from . import load, schema
from .params import Deliver

SAME = ("model_hash", "features_hash", "params_hash", "data_version", "git_commit")
TURNS = 20  # of asking, for a version that answers only some
WRONG = {"not": "a value"}
Record = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A point of the checklist, and what was found; None where it does not apply."""

    point: int
    name: str
    passed: bool | None
    found: str


def judged(point: int, name: str, problems: list[str], found: str) -> Check:
    """A point that is passed if there are no problems."""
    return Check(point, name, not problems, "; ".join(problems) or found)


def compatible(told: Record, tags: dict[str, str], contract: Contract, environment: str) -> Check:
    """Whether the service says of itself what the registry and this project say.

    Before staging there is no place that it must say it is in.
    """
    ours = contract.model_dump(mode="json")
    problems = [f"another {key}" for key in SAME if told["lineage"].get(key) != tags.get(key)]
    problems += ["another contract"] if told["contract"] != ours else []
    if environment != "test" and told["environment"] != environment:
        problems.append(f"its ENVIRONMENT is {told['environment']}")
    here = runtime() | {"python": tags.get("python", "none")}
    for name, version in here.items():
        there = told["runtime"].get(name, "none")
        if _minor(version) != _minor(there):
            problems.append(f"{name} {there} instead of {version}")
    found = ", ".join(f"{name} {version}" for name, version in told["runtime"].items())
    return judged(1, "compatible with its target", problems, f"version {told['version']}, {found}")


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def asked(client: httpx.Client, version: int | None, records: list[Record]) -> list[Record | None]:
    """The version's answer to each record; None where a rollout lets only others answer it."""
    return [_asked(client, version, record) for record in records]


def _asked(client: httpx.Client, version: int | None, record: Record) -> Record | None:
    for turn in range(TURNS):
        headers = {"x-sticky-key": f"golden {turn}"}
        answer = client.post("/predict", json=record, headers=headers).raise_for_status()
        found: Record = answer.json()
        if found["model_version"] == version:
            return found
    return None


def golden(answers: list[Record | None], expected: list[Any]) -> Check:
    """Whether golden requests are answered as when the version was registered."""
    right = [
        bool(np.allclose(_score(answer), score, rtol=TOLERANCE, atol=TOLERANCE))
        for answer, score in zip(answers, expected, strict=True)
        if answer is not None
    ]
    problems = [f"request {number} differs" for number, same in enumerate(right, 1) if not same]
    problems += [] if right else ["the version answers none of them"]
    return judged(2, "golden requests", problems, f"{len(right)} answered as expected")


def _score(answer: Record) -> Any:
    shares = list(answer.get("probabilities", {}).values())
    return shares[1] if len(shares) == 2 else shares or answer["prediction"]


def loaded(client: httpx.Client, record: Record, limits: Deliver) -> Check:
    """Whether the service bears the rate that it is built for."""

    def send() -> bool:
        try:
            return client.post("/predict", json=record).is_success
        except httpx.HTTPError:
            return False

    seen = load.steady(send, limits.rate, limits.seconds)
    problems = [f"{seen.failed} failed"] if seen.failed else []
    if seen.per_second < 0.95 * limits.rate:
        problems.append(f"{seen.per_second:.0f} of {limits.rate:g} requests a second")
    if seen.p99_ms > limits.p99_ms:
        problems.append(f"p99 {seen.p99_ms:.1f} ms is above {limits.p99_ms:g}")
    found = f"{seen.per_second:.0f} requests a second, p99 {seen.p99_ms:.1f} ms"
    return judged(3, "load test", problems, found)


def refused(client: httpx.Client, contract: Contract) -> Check:
    """Whether wrong input is answered by 422 and the name of the field."""
    problems, wrong = [], list(broken(contract))
    for field, record in wrong:
        answer = client.post("/predict", json=record)
        named = answer.text if answer.status_code == 422 else ""
        if f'"{field}"' not in named:
            problems.append(f"wrong {field}: {answer.status_code}")
    return judged(4, "data are validated", problems, f"{len(wrong)} wrong requests refused")


def broken(contract: Contract) -> Iterator[tuple[str, Record]]:
    """Records that break one rule each, with the field that does."""
    good = schema.example(contract)
    yield "unknown_field", {**good, "unknown_field": 1}
    for column in request_columns(contract):
        yield column.name, {**good, column.name: WRONG}
        if not column.nullable:
            yield column.name, {name: v for name, v in good.items() if name != column.name}
        if isinstance(column.max, int | float):
            yield column.name, {**good, column.name: column.max + 1}


def targets(told: Record, failed: Callable[[Scores], list[str]]) -> Check:
    """Whether the version reaches the bars, and the gate or a person promoted it."""
    metrics = told["metrics"]["test"]
    problems = failed(metrics)
    decision = told["lineage"].get("decision")
    problems += [] if decision == "promote" else [f"the gate's decision is {decision}"]
    reached = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    found = f"{reached}; promoted: {told['lineage'].get('reason', '')}"
    return judged(5, "predictive targets", problems, found)
