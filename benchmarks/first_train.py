"""The first `make train`, from a ready environment to a champion: by stage and by import."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .common import Rows, environment, fresh_project, package, publish, user_environment, workspace

MODULES = {
    "ingest": "data",
    "validate": "data",
    "prepare": "data",
    "featurize": "features",
    "train": "models",
    "evaluate": "models",
    "register": "models",
}
START = "make, start of DVC"
IMPORT = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\w+)", re.MULTILINE)
LARGEST = 3


def train(project: Path) -> Iterator[tuple[float, str]]:
    """The lines of `make train`, each with the time at which it came."""
    variables = {**user_environment(project), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        ["make", "train"],
        cwd=project,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            yield time.perf_counter(), line
    if process.returncode:
        sys.exit("make train failed")


def by_stage(project: Path) -> dict[str, float]:
    """Seconds from the start of each stage to that of the next."""
    stage, since, walls = START, time.perf_counter(), Counter[str]()
    for now, line in train(project):
        found = re.match(r"Running stage '(\w+)'", line)
        if found:
            walls[stage] += now - since
            stage, since = found[1], now
    walls[stage] += time.perf_counter() - since
    return dict(walls)


def imports(project: Path, stage: str) -> Counter[str]:
    """Seconds that a stage spends in importing, by top-level package, when it runs once more."""
    module = f"{package(project)}.{MODULES[stage]}.{stage}"
    done = subprocess.run(
        ["python", "-X", "importtime", "-m", module],
        cwd=project,
        env=user_environment(project),
        check=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    found: Counter[str] = Counter()
    for microseconds, name in IMPORT.findall(done.stderr):
        found[name] += int(microseconds) / 1e6
    return found


def measure(project: Path) -> Rows:
    """One training, stage by stage, and what each stage imports."""
    walls = by_stage(project)
    return table_rows(walls, {stage: imports(project, stage) for stage in MODULES})


def table_rows(walls: dict[str, float], found: dict[str, Counter[str]]) -> Rows:
    """A row for each stage, with the largest of its imports, and their sum."""
    rows = [_row(stage, wall, found.get(stage, Counter())) for stage, wall in walls.items()]
    return [*rows, _row("from `make train` to the champion", sum(walls.values()), Counter())]


def _row(name: str, wall: float, found: Counter[str]) -> dict[str, Any]:
    largest = (f"{library} {took:.2f}" for library, took in found.most_common(LARGEST))
    return {
        "stage": name,
        "seconds": wall,
        "of which imports": found.total() or "",
        "largest": ", ".join(largest),
    }


def main() -> None:
    """Measure the default sample."""
    venv = environment()
    with workspace() as folder:
        rows = measure(fresh_project(folder, venv))
    publish(
        "first_train",
        rows,
        "The default sample, 200,000 simulated rows, in a new project on a ready environment. "
        "Imports are those of a second run of the stage. Target: under 20 s on two cores.",
    )


if __name__ == "__main__":
    main()
