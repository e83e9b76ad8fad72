"""`make tune` on the default sample, against a plain Optuna script in the same folds."""

import json
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .common import Rows, environment, fresh_project, publish, run, seconds, workspace

TRIALS = 30
SCRIPT = Path(__file__).with_name("plain_optuna.py")
BEST = re.compile(r"of the best (\d+\.\d+), of the current (\d+\.\d+)")
GAIN = re.compile(r"on validation \w+ improves by (\S+) \((\S+) to (\S+)\)")


def measure(project: Path, trials: int) -> Rows:
    """Both searches, each as the whole command that a user waits for."""
    run(project, "make", "data")
    run(project, "make", "tune", "TRIALS=1")  # the first use installs Optuna
    (project / "tuning.db").unlink()
    columns = YAML(typ="safe").load(project / "contract.yaml")["columns"]
    [time] = [column["name"] for column in columns if column["role"] == "time"]
    said: list[str] = []
    ours = seconds(lambda: said.append(run(project, "make", "tune", f"TRIALS={trials}")))
    script = seconds(lambda: said.append(run(project, "python", SCRIPT, time, str(trials))))
    [(best, current)] = BEST.findall(said[0])
    gain = "".join(f"{better} ({low} to {high})" for better, low, high in GAIN.findall(said[0]))
    plain = f"{json.loads(said[1].splitlines()[-1]):.4g}"
    return [
        _row("`make tune`", ours, 1.0, best, current, gain),
        _row("plain Optuna script", script, script / ours, plain, "", ""),
    ]


def _row(
    name: str, wall: float, ratio: float, best: str, current: str, gain: str
) -> dict[str, Any]:
    return {
        "search": name,
        "seconds": wall,
        "times as long": ratio,
        "RMSE of the folds, best": best,
        "current parameters": current,
        "on validation better by": gain,
    }


def main() -> None:
    """Measure the default sample."""
    venv = environment()
    with workspace() as folder:
        rows = measure(fresh_project(folder, venv), TRIALS)
    publish(
        "tuning",
        rows,
        f"{TRIALS} trials each, three folds in time order, on the train split of the default sample, "
        "136,392 simulated rows. The script, `benchmarks/plain_optuna.py`, searches the same space "
        "with the same threads and early stopping; it bins every fold again for each trial, gives no "
        "trial up, tracks nothing and does not look at validation. Target: under 120 s on two cores.",
    )


if __name__ == "__main__":
    main()
