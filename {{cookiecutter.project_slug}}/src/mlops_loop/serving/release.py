"""`make deliver`: the delivery checklist against a running service, and how far it may go."""

import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import numpy as np

from ..console import Arguments, aligned, parse, working
from ..files import read_json, write_json
from ..lineage import author, runtime
from ..models.bootstrap import Scores
from ..models.golden import TOLERANCE
from ..project import Paths, UserError
from ..tracking import history, open_registry
from ..tracking.gate import now
from .log_tables import DELIVERY
from .params import Deliver, Serving
from .schema import Record, Records

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

PREVIOUS = {"test": "", "staging": "test", "production": "staging"}
WAYS = {"test": "automatically", "staging": "on approval", "production": "by hand"}
MARKS = {True: "passed", False: "FAILED", None: "-"}
SAME = ("model_hash", "contract_hash", "params_hash", "data_version", "git_commit")
THREADS = 16  # of the load test
Misses = Callable[[Scores], list[str]]  # the bars that test metrics miss, as the gate says


class Check(NamedTuple):
    """A point of the checklist, and what was found; None where it does not apply."""

    name: str
    passed: bool | None
    found: str


def check(name: str, problems: list[str], found: str) -> Check:
    """A point that is passed unless there are problems."""
    return Check(name, not problems, "; ".join(problems) or found)


def report_path(paths: Paths, environment: str) -> Path:
    """The report of a delivery to an environment."""
    return paths.root / "reports" / f"delivery-{environment}.json"


def check_way(paths: Paths, environment: str, version: "Version", approved_by: str) -> list[Check]:
    """Points 6 to 9: the way to an environment; raises UserError where it is closed."""
    found = ""
    if previous := PREVIOUS[environment]:
        if not approved_by.strip():
            raise UserError(f"name the person who approves it for {environment}: APPROVED_BY=name.")
        path = report_path(paths, previous)
        report = read_json(path) if path.exists() else {"passed": False}
        if not report["passed"] or report["model_hash"] != version.tags["model_hash"]:
            raise UserError(
                f"{path.name} reports no passed delivery of {version}: first run "
                f"`make deliver ENVIRONMENT={previous}`."
            )
        found = f"{previous} passed {report['time']}"
    ways = [
        Check(f"to {name} {way}", name == environment or None, approved_by * (name == environment))
        for name, way in WAYS.items()
    ]
    return [*ways, Check("a failing staging blocks", bool(found) or None, found)]


def check_compatible(info: Record, tags: dict[str, str], place: str) -> Check:
    """Point 1: lineage, contract, libraries and, from staging on, environment of the service."""
    made = info["lineage"]
    problems = [f"another {key}" for key in SAME if made.get(key) != tags.get(key)]
    if place != "test" and info["environment"] != place:
        problems.append(f"its ENVIRONMENT is {info['environment']}")
    libraries = runtime() | {"python": tags.get("python", "none")}
    for name, version in libraries.items():
        there = info["runtime"].get(name, "none")
        if there.split(".")[:2] != version.split(".")[:2]:
            problems.append(f"{name} {there} instead of {version}")
    found = ", ".join(f"{name} {version}" for name, version in info["runtime"].items())
    return check("compatible with its target", problems, f"version {info['version']}, {found}")


def check_golden(version: int | None, predicted: Records, expected: Sequence[Any]) -> Check:
    """Point 2: golden requests that the version predicts have the scores of the registration."""
    problems, number = [], 0
    for place, (record, score) in enumerate(zip(predicted, expected, strict=True), 1):
        if record["model_version"] != version:
            continue
        number += 1
        shares = list(record.get("probabilities", {}).values())
        found = shares[1] if len(shares) == 2 else shares or record["prediction"]
        if not np.allclose(found, score, rtol=TOLERANCE, atol=TOLERANCE):
            problems.append(f"request {place} differs")
    if not number:
        problems.append("the version predicts none of them")
    return check("golden requests", problems, f"{number} predicted as expected")


def check_load(send: Callable[[], bool], limits: Deliver) -> Check:
    """Point 3: the rate and latency of `serving.deliver`; `send` returns true on success.

    Requests are sent at a steady rate, however long earlier ones take, and waiting for a free
    connection counts as latency.
    """
    start = time.perf_counter()

    def work(number: int) -> tuple[bool, float]:
        due = start + number / limits.rate
        time.sleep(max(0.0, due - time.perf_counter()))
        return send(), time.perf_counter() - due

    with ThreadPoolExecutor(THREADS) as pool:
        sent = list(pool.map(work, range(math.ceil(limits.rate * limits.seconds))))
    failed = sum(not succeeded for succeeded, _ in sent)
    per_second = (len(sent) - failed) / (time.perf_counter() - start)
    p99 = np.quantile([latency for _, latency in sent], 0.99) * 1e3
    is_enough = not failed and per_second >= 0.95 * limits.rate and p99 <= limits.p99_ms
    found = (
        f"{per_second:.0f} of {limits.rate:g} requests a second, {failed} failed, "
        f"p99 {p99:.1f} of {limits.p99_ms:g} ms"
    )
    return Check("load test", bool(is_enough), found)


def check_validation(client: httpx.Client, good: Record) -> Check:
    """Point 4: a record with one invalid field gets status 422 and the name of the field."""
    problems = []
    fields = ["unknown_field", *good]
    for field in fields:
        response = client.post("/predict", json={**good, field: {"not": "a value"}})
        named = response.json()["detail"] if response.status_code == 422 else []
        if [problem["field"] for problem in named] != [field]:
            problems.append(f"wrong {field}: {response.status_code}")
    return check("data are validated", problems, f"{len(fields)} invalid requests refused")


def check_targets(info: Record, misses: Misses) -> Check:
    """Point 5: the version reaches the bars, and the gate or a person promoted it."""
    metrics = info["metrics"]["test"]
    decision = info["lineage"].get("decision")
    problems = misses(metrics)
    if decision != "promote":
        problems.append(f"the gate's decision is {decision}")
    reached = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    found = f"{reached}; promoted: {info['lineage'].get('reason', '')}"
    return check("predictive targets", problems, found)


def inspect(
    client: httpx.Client,
    registry: "Registry",
    version: "Version",
    environment: str,
    limits: Deliver,
    misses: Misses,
) -> list[Check]:
    """Points 1 to 5, by requests to the service."""
    golden = registry.golden(version)
    example = golden["records"][0]

    def send() -> bool:
        try:
            return client.post("/predict", json=example).is_success
        except httpx.HTTPError:
            return False

    info = client.get("/model").raise_for_status().json()
    responses = [client.post("/predict", json=record) for record in golden["records"]]
    predicted = [response.raise_for_status().json() for response in responses]
    if environment == "production":  # users are there
        load = Check("load test", None, "not in production; staging passed it")
    else:
        load = check_load(send, limits)
    return [
        check_compatible(info, version.tags, environment),
        check_golden(version.number, predicted, golden["scores"]),
        load,
        check_validation(client, example),
        check_targets(info, misses),
    ]


def main(paths: Paths, options: Serving, misses: Misses, arguments: Arguments) -> None:
    """Write reports/delivery-<environment>.json; ASK=1 only reports whether that is allowed.

    Raises UserError where a point is failed.
    """
    known = {"url": "http://127.0.0.1:8000", "environment": "test", "version": "champion"}
    args = parse("deliver", arguments, **known, approved_by="", ask="")
    place = args.environment
    if place not in PREVIOUS:
        raise UserError(f"ENVIRONMENT={place}: choose one of {', '.join(PREVIOUS)}.")
    registry = open_registry(paths)
    version = registry.find(args.version)
    checks = check_way(paths, place, version, args.approved_by)
    if args.ask:
        print(f"{version} may go to {place}.")
        return
    headers = {"X-API-Key": os.environ.get("API_KEY", ""), "X-Request-Id": DELIVERY}
    try:
        with httpx.Client(base_url=args.url, headers=headers) as client, working("deliver"):
            limits = options.deliver
            found = inspect(client, registry, version, place, limits, misses)
    except httpx.HTTPError as error:
        remedy = "start it with `make serve`, or set API_KEY to its key"
        raise UserError(f"URL={args.url}: {error}; {remedy}.") from error
    checks = [*found, *checks]
    passed = all(each.passed is not False for each in checks)
    report = {
        "environment": place,
        "version": version.number,
        "model_hash": version.tags["model_hash"],
        "url": args.url,
        "time": now(),
        "approved_by": args.approved_by,
        "passed": passed,
        "checks": [{"point": n, **each._asdict()} for n, each in enumerate(checks, 1)],
    }
    write_json(report_path(paths, place), report)
    print(f"version {version.number} in {place} at {args.url}")
    rows = [(str(n), name, MARKS[mark], found) for n, (name, mark, found) in enumerate(checks, 1)]
    print("\n".join(aligned(rows)))
    failed = "; ".join(f"{each.name}: {each.found}" for each in checks if each.passed is False)
    reason = f"{place}: {failed or 'passed'}"
    by, at = args.approved_by or author(paths.root), {"url": args.url, "passed": passed}
    history.append(paths, "deliver", by=by, reason=reason, version=version.number, **at)
    if passed and version.number and place != "test":
        registry.point(place, version.number)
    if not passed:
        raise UserError(f"{version} is not fit for {place}.")
