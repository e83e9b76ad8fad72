"""The service beside `mlflow models serve`: same model, same record, one worker, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from .common import (
    TEMPLATE,
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    user_environment,
    workspace,
)
from .load import Plan

LEVEL = "deployment"
CONNECTIONS, RATE, ROUNDS = 16, 300.0, 15
CHOSEN: list[tuple[str, str, Callable[..., float]]] = [
    ("p50", "median", median),
    ("p99", "median", median),
    ("p99", "calmest", min),
    ("p99", "worst", max),
]
OURS, THEIRS, NOTHING = "`make serve`", "`mlflow models serve`", "a server that does nothing"
ROW = """
import importlib, json, os, statistics, sys, time
os.environ["OMP_NUM_THREADS"] = "1"  # as `make serve` sets it
from mlops_loop.data.contract import load_contract
from mlops_loop.models.model import load
from mlops_loop.serving.follow import read_ref
from mlops_loop.serving.schema import RequestSchema
project = importlib.import_module(sys.argv[1]).PROJECT
copy = project.served / read_ref(project.served / "champion.json").folder
requests = RequestSchema(load_contract(copy / "contract.yaml"), 1)
rows = requests.frame([requests.example_record()])
model, spent = load(copy / "model"), []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    model.score_typed(rows)
    spent.append(time.perf_counter() - start)
print(json.dumps(statistics.median(spent) * 1e3))
"""


@dataclass(frozen=True)
class Server:
    """A way to serve: its command, where it says that it is ready, and where it is asked."""

    command: tuple[str, ...]
    ready: str
    path: str


def ours(project: Path) -> Server:
    """The service, as `make serve` runs it."""
    command = (".venv/bin/python", "-m", f"{package(project)}.serving", "serve")
    return Server(command, "/ready", "/predict")


def theirs(project: Path, port: int) -> Server:
    """MLflow's own service."""
    model = f"models:/{project.name}@champion"
    options = ("--env-manager", "local", "--workers", "1", "--port", str(port))
    command = (".venv/bin/mlflow", "models", "serve", "--model-uri", model, *options)
    return Server(command, "/ping", "/invocations")


def nothing() -> Server:
    """Latency of a server that does nothing."""
    return Server((sys.executable, str(Path(__file__).with_name("nothing.py"))), "/", "/")


@contextmanager
def serving(project: Path, server: Server, port: int) -> Iterator[float]:
    """The service, as long as the block lasts; yields the seconds from its start until ready."""
    variables = {"PORT": str(port), "MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}"}
    start = time.perf_counter()
    process = subprocess.Popen(
        server.command,
        cwd=project,
        env={**user_environment(project), **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not is_there(f"http://127.0.0.1:{port}{server.ready}"):
            if process.poll() is not None:
                sys.exit(f"{' '.join(server.command)} failed")
            time.sleep(0.02)
        yield time.perf_counter() - start
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def is_there(url: str) -> bool:
    """Return whether a server answers at an address."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def load(plan: Plan) -> dict[str, float]:
    """Measure in a process of its own."""
    command = (sys.executable, "-m", "benchmarks.load", json.dumps(asdict(plan)))
    return dict(json.loads(run(TEMPLATE, *command)))


def example(port: int) -> dict[str, Any]:
    """The record of the service's own documentation."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as answer:
        described = json.load(answer)["paths"]["/predict"]["post"]["requestBody"]
    return dict(described["content"]["application/json"]["schema"]["example"])


def measure(project: Path, duration: float, rate: float, rounds: int) -> Rows:
    """Both services, each loaded for so many seconds; ours also at a rate, in rounds."""
    mine, found = ours(project), {}
    with serving(project, mine, port := free_port()) as first_start:
        plan = Plan(port, mine.path, json.dumps(record := example(port)), duration, CONNECTIONS)
        load(replace(plan, seconds=duration / 4))
        found[OURS] = load(plan)
        with serving(project, nothing(), idle := free_port()):
            paced = replace(plan, rate=rate, seconds=duration * 0.4)
            plans = paced, replace(paced, port=idle, path="/")
            steady = [[load(plan) for plan in plans] for _ in range(rounds)]
    with serving(project, mine, free_port()) as start:
        pass
    other = theirs(project, port := free_port())
    with serving(project, other, port) as their_start:
        body = json.dumps({"dataframe_records": [record]})
        plan = Plan(port, other.path, body, duration, CONNECTIONS)
        load(replace(plan, seconds=duration / 4))
        found[THEIRS] = load(plan)
    one_row = float(run(project, "python", "-c", ROW, package(project), "1000"))
    a, b = found[OURS], found[THEIRS]
    return [
        row("requests a second", a["per second"], b["per second"]),
        row("median ms of a request", a["p50"], b["p50"]),
        row("p99 ms of a request", a["p99"], b["p99"]),
        *by_round(f"at {rate:.0f} a second", steady),
        row("median ms of the model for one row", one_row),
        row("seconds from start to ready, first time", first_start, their_start),
        row("seconds from start to ready, from the local copy", start),
    ]


def by_round(when: str, rounds: list[list[dict[str, float]]]) -> Rows:
    """Latency where requests arrive at a fixed rate, of the service and of doing nothing."""
    found = []
    for share, name, choose in CHOSEN:
        mine, idle = (choose(each[share] for each in of) for of in zip(*rounds, strict=True))
        found.append(row(f"{share} ms {when}, {name} round", mine, idle=idle))
    return found


def row(what: str, mine: float, their: float | str = "", idle: float | str = "") -> dict[str, Any]:
    """A row of the table."""
    better = "" if isinstance(their, str) else max(mine, their) / min(mine, their)
    return {"what": what, OURS: mine, THEIRS: their, "times better": better, NOTHING: idle}


def main() -> None:
    """Measure on the model of the default sample."""
    venv = environment(LEVEL)
    with workspace() as folder:
        project = fresh_project(folder, venv, LEVEL)
        run(project, "make", "train")
        rows = measure(project, 10, RATE, ROUNDS)
    publish(
        "serving",
        rows,
        f"One record a request, one worker each, {CONNECTIONS} connections that ask again at once, "
        "unless a rate is named: then requests arrive at fixed times, and a latency counts from "
        f"there, in {ROUNDS} rounds of four seconds on either server, so that what the machine "
        "itself delays is seen. The load comes from another process on the same cores; "
        "`make serve` writes its prediction log, MLflow writes none. Targets: 15 times as many "
        "requests a second, p99 under 10 ms at 300 a second, 0.5 ms for one row, ready in 5 s.",
    )


if __name__ == "__main__":
    main()
