"""Cost of a training beyond the fit: tracking, metrics, slices, explanations, plots, gate, card."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from .common import (
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    set_params,
    user_environment,
    workspace,
)

SAMPLES = {"default sample": 50_000, "a million rows": 250_000}  # rows of each of four months
FIT, START, GATE = "fitting", "start, imports, files", "gate"
APART = {START, GATE}  # the processes, and a decision that scores another model
# What is timed inside each stage: a name, and the function where the stage finds it.
PARTS = {
    "train": {FIT: "{package}.models.train.fit"},
    "evaluate": {
        "metrics": "{package}.models.evaluate.evaluate",
        "slices": "mlops_loop.models.slices.report",
        "explanations": "{package}.models.evaluate.explanation",
        "plots": "{package}.models.evaluate.draw_all",
    },
    "register": {
        GATE: "{package}.models.register.gate",
        "model card": "mlops_loop.models.model_card.write",
        "tracking": "mlops_loop.tracking.registry.ensure_run",
        "tracking of reports": "mlops_loop.tracking.registry.log_evaluation",
    },
}
CLOCK = """
import importlib, json, sys, time
name, stage, parts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
main, spent = importlib.import_module(f"{name}.models.{stage}").main, {}
def timed(part, call):
    def timing(*args, **options):
        start = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            spent[part] = spent.get(part, 0) + time.perf_counter() - start
    return timing
for part, place in parts.items():
    module, function = place.rsplit(".", 1)
    module = importlib.import_module(module.replace("{package}", name))
    setattr(module, function, timed(part, getattr(module, function)))
main(importlib.import_module(name).PROJECT)
print(json.dumps(spent))
"""


def stage_seconds(project: Path, stage: str) -> dict[str, float]:
    """Wall seconds of a stage by part; `rest` is start, imports, reading and writing files."""
    start = time.perf_counter()
    done = subprocess.run(
        ["python", "-c", CLOCK, package(project), stage, json.dumps(PARTS[stage])],
        cwd=project,
        env=user_environment(project),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    spent: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**spent, START: time.perf_counter() - start - sum(spent.values())}


def measure(project: Path, sample: str) -> Rows:
    """A training that has a champion to beat: its parts, and what is not fitting in sum."""
    run(project, "make", "train")
    set_params(project, train__learning_rate=0.11)
    spent = {stage: stage_seconds(project, stage) for stage in PARTS}
    fitting = spent["train"].pop(FIT)
    rows = [_row(sample, "train", FIT, fitting, fitting)]
    rows += [_row(sample, s, part, t, fitting) for s in spent for part, t in spent[s].items()]
    flat = [(part, seconds) for parts in spent.values() for part, seconds in parts.items()]
    beyond = sum(seconds for part, seconds in flat if part not in APART)
    rows.append(_row(sample, "", "beyond fitting: tracking, reports, plots, card", beyond, fitting))
    everything = sum(seconds for _, seconds in flat)
    return [*rows, _row(sample, "", "the same with gate and starts", everything, fitting)]


def _row(sample: str, stage: str, part: str, took: float, fitting: float) -> dict[str, Any]:
    return {
        "sample": sample,
        "stage": stage,
        "part": part,
        "seconds": took,
        "times the fit": took / fitting,
    }


def main() -> None:
    """Measure both sizes."""
    venv, rows = environment(), []
    for sample, size in SAMPLES.items():
        with workspace() as folder:
            project = fresh_project(folder, venv, ingest__rows_per_month=size)
            rows += measure(project, sample)
    publish(
        "lean",
        rows,
        "Simulated rows; the stages train, evaluate and register of a second training, one after "
        "the other, with a champion to compare with. Target for tracking, reports, plots and card: "
        "at most 10 s on the default sample, and a quarter of the fit at a million rows.",
    )


if __name__ == "__main__":
    main()
