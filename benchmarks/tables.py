"""The tables of scikit-learn, adopted and trained, against a plain LightGBM script."""

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .common import Rows, environment, fresh_project, publish, run, seconds, workspace

TABLES = ("diabetes", "breast_cancer", "wine", "iris", "digits")
SCRIPT = Path(__file__).with_name("plain_lightgbm.py")
LOSSES = ("rmse", "mae", "log_loss")
EXPORT = """
import sys
from sklearn import datasets
load = getattr(datasets, "load_" + sys.argv[1])
load(as_frame=True).frame.to_csv(sys.argv[2], index=False)
"""


def measure(project: Path, name: str, data: Path) -> Rows:
    """Test metrics of both on one table, and how long each took; the project is new."""
    csv = data / f"{name}.csv"
    run(project, "python", "-c", EXPORT, name, csv)
    adopt = seconds(lambda: run(project, "make", "adopt", f"DATA={csv}", "TARGET=target"))
    train = seconds(lambda: run(project, "make", "train"))
    task = YAML().load(project / "params.yaml")["task"]
    said: list[str] = []
    script = seconds(lambda: said.append(run(project, "python", SCRIPT, "target", task)))
    report = json.loads((project / "reports" / "metrics.json").read_text())
    rows = [_row(metric, value, report) for metric, value in json.loads(said[0]).items()]
    times = {"`make adopt`, s": adopt, "`make train`, s": train, "script, s": script}
    sizes = {"table": name, "task": task, "rows": sum(report["rows"].values())}
    return [
        {**_first(sizes, number), **row, **_first(times, number)} for number, row in enumerate(rows)
    ]


def _first(values: dict[str, Any], number: int) -> dict[str, Any]:
    return values if not number else dict.fromkeys(values, "")


def _row(metric: str, script: float, report: dict[str, Any]) -> dict[str, Any]:
    """A metric of both; the interval of ours says how much of a difference is chance."""
    ours, (low, high) = report["test"][metric], report["intervals"][metric]
    gain = (script - ours if metric in LOSSES else ours - script) / script
    return {
        "test rows": report["rows"]["test"],
        "metric": metric,
        "ours": f"{ours:.3f}",
        "95 % interval": f"{low:.3f} to {high:.3f}",
        "script": f"{script:.3f}",
        "ours is better by": f"{gain:+.1%}",
    }


def main() -> None:
    """Measure every table in a project of its own."""
    venv = environment()
    rows: Rows = []
    with workspace() as folder:
        for name in TABLES:
            rows += measure(fresh_project(folder / name, venv), name, folder)
    publish(
        "tables",
        rows,
        "The tables bundled with scikit-learn, each adopted as CSV in a new project; the script, "
        "`benchmarks/plain_lightgbm.py`, fits LightGBM's defaults on the same rows and is "
        "judged on the same test rows. These are few: where the interval is wide, a difference is "
        "chance, for us or against us; one wine is 4 % of accuracy. Seconds are whole commands, and "
        "`make train` also checks, judges and registers. Target: within 2 % of the script, or "
        "better.",
    )


if __name__ == "__main__":
    main()
