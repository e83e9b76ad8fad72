"""`make deliver`: the delivery checklist against a running service, and how far it may go."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ..console import aligned, working
from ..data.contract import Contract, load_contract
from ..files import read_json, write_json
from ..models.bootstrap import Scores
from ..project import Paths, UserError, load_settings
from ..tracking.gate import now
from . import checklist
from . import prediction_log as log
from . import schema
from .checklist import Check
from .params import Serving

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

BEFORE = {"test": "", "staging": "test", "production": "staging"}
WAYS = {"test": "automatically", "staging": "on approval", "production": "by hand"}
MARKS = {True: "passed", False: "FAILED", None: "-"}


def report_path(paths: Paths, environment: str) -> Path:
    """The report of a delivery to an environment."""
    return paths.root / "reports" / f"delivery-{environment}.json"


def permitted(paths: Paths, environment: str, version: "Version", approved_by: str) -> list[Check]:
    """Points 6 to 9: how the version may get to where it goes.

    Raises UserError where it may not.
    """
    if environment != "test" and not approved_by.strip():
        raise UserError(f"say who lets it into {environment}: APPROVED_BY=name.")
    before = BEFORE[environment]
    passed_there = before and _passed(paths, before, version)
    by = f"by {approved_by}" if approved_by else ""
    ways = [
        Check(point, f"to {name} {way}", *((True, by) if name == environment else (None, "")))
        for point, (name, way) in enumerate(WAYS.items(), 6)
    ]
    found = f"{before} passed {passed_there}" if before else ""
    return [*ways, Check(9, "a failing staging blocks", bool(before) or None, found)]


def _passed(paths: Paths, environment: str, version: "Version") -> str:
    """When the version passed in an environment; raises UserError if it did not."""
    path = report_path(paths, environment)
    if not path.exists():
        raise UserError(f"{path.name}: missing; run `make deliver ENVIRONMENT={environment}`.")
    report = read_json(path)
    if report["model_hash"] != version.tags["model_hash"]:
        raise UserError(
            f"{path.name} is of version {report['version']}, not of {version}; "
            f"run `make deliver ENVIRONMENT={environment}`."
        )
    if not report["passed"]:
        raise UserError(f"{version} failed in {environment} ({path.name}): mend it there first.")
    return str(report["time"])


def inspect(
    client: httpx.Client,
    paths: Paths,
    options: Serving,
    failed: Callable[[Scores], list[str]],
    environment: str,
    registry: "Registry",
    version: "Version",
) -> list[Check]:
    """Points 1 to 5, asked of the service."""
    contract = load_contract(paths.contract)
    told = client.get("/model").raise_for_status().json()
    records, scores = golden_requests(registry, version, contract)
    limits = options.deliver
    if environment == "production":  # users are there
        load = Check(3, "load test", None, "not in production; staging passed it")
    else:
        load = checklist.loaded(client, schema.example(contract), limits)
    return [
        checklist.compatible(told, version.tags, contract, environment),
        checklist.golden(checklist.asked(client, version.number, records), scores),
        load,
        checklist.refused(client, contract),
        checklist.targets(told, failed),
    ]


def golden_requests(
    registry: "Registry", version: "Version", contract: Contract
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Records, and the version's own scores of them."""
    if stored := registry.golden(version):
        return stored["records"], stored["scores"]
    scores = registry.load(version.name).score(schema.example_frame(contract))
    return [schema.example(contract)], scores.tolist()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What make was told."""
    parser = argparse.ArgumentParser(prog="make deliver")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--environment", choices=BEFORE, default="test")
    parser.add_argument("--version", default="champion")
    parser.add_argument("--approved-by", default="")
    parser.add_argument("--ask", default="")
    return parser.parse_args(arguments)


def tell(report: dict[str, Any], checks: list[Check]) -> None:
    """Print a line for each point."""
    print(f"version {report['version']} in {report['environment']} at {report['url']}")
    rows = [(str(c.point), c.name, MARKS[c.passed], c.found) for c in checks]
    print("\n".join(aligned(rows)))


def main(
    paths: Paths,
    options: Serving,
    failed: Callable[[Scores], list[str]],
    arguments: Sequence[str],
) -> None:
    """Write reports/delivery-<environment>.json, or with --ask only say whether it may go there.

    Raises UserError where a point is failed.
    """
    asked, settings = parse(arguments), load_settings(paths)
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, settings)
    version = registry.find(asked.version)
    checks = permitted(paths, asked.environment, version, asked.approved_by)
    if asked.ask:
        print(f"{version} may go to {asked.environment}.")
        return
    headers = {"X-API-Key": os.environ.get("API_KEY", ""), "X-Request-Id": log.DELIVERY}
    try:
        with httpx.Client(base_url=asked.url, headers=headers) as client, working("asking"):
            checks = (
                inspect(client, paths, options, failed, asked.environment, registry, version)
                + checks
            )
    except httpx.ConnectError as error:
        raise UserError(f"URL={asked.url}: no service answers; `make serve` starts one.") from error
    except httpx.HTTPError as error:
        raise UserError(f"URL={asked.url}: {error} (is API_KEY right?)") from error
    passed = all(check.passed is not False for check in checks)
    report = {
        "environment": asked.environment,
        "version": version.number,
        "model_hash": version.tags["model_hash"],
        "url": asked.url,
        "time": now(),
        "approved_by": asked.approved_by,
        "passed": passed,
        "checks": [asdict(check) for check in checks],
    }
    write_json(report_path(paths, asked.environment), report)
    tell(report, checks)
    if not passed:
        raise UserError(f"{version} is not fit for {asked.environment}.")
