"""data/raw to data/processed on ten months of simulated trips, against a pandas script."""

import os
from pathlib import Path
from typing import Any

from .common import (
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    seconds,
    set_params,
    wall_and_peak,
    workspace,
)

STAGES = ("data.validate", "data.prepare", "features.featurize")
MONTHS = [f"2023-{month:02}" for month in range(1, 11)]
Measured = tuple[float, float]
PANDAS = Path(__file__).with_name("pandas_pipeline.py")


def measure(project: Path, rows: int) -> Rows:
    """Time and peak memory of both, and of DVC's hashing of what ours wrote."""
    set_params(project, ingest__months=MONTHS, ingest__rows_per_month=rows // len(MONTHS))
    module = f"{package(project)}.{{}}".format
    run(project, "python", "-m", module("data.ingest"))
    script = ("python", PANDAS)
    pandas = wall_and_peak(project, *script, "at-once", "data/raw", "data/at-once")
    careful = wall_and_peak(project, *script, "by-month", "data/raw", "data/by-month")
    stages = [wall_and_peak(project, "python", "-m", module(stage)) for stage in STAGES]
    ours = sum(wall for wall, _ in stages), max(peak for _, peak in stages)
    hashing = seconds(lambda: run(project, "dvc", "commit", "--force", "prepare", "featurize"))
    return [
        _row("pandas script", pandas, pandas),
        _row("pandas script, month by month", careful, pandas),
        _row("validate + prepare + featurize", ours, pandas),
        *(_row(f"- {name}", of) for name, of in zip(STAGES, stages, strict=True)),
        _row("beside it: DVC hashes both outputs and fills its cache", (hashing, 0)),
    ]


def _row(name: str, of: Measured, pandas: Measured | None = None) -> dict[str, Any]:
    wall, peak = of
    return {
        "what": name,
        "seconds": wall,
        "times faster": pandas[0] / wall if pandas else "",
        "peak MiB": round(peak) or "",
        "share of pandas' peak": peak / pandas[1] if pandas else "",
    }


def main() -> None:
    """Measure ten million rows, or ROWS."""
    rows = int(os.environ.get("ROWS", "10_000_000"))
    venv = environment()
    with workspace() as folder:
        found = measure(fresh_project(folder, venv), rows)
    publish(
        "throughput",
        found,
        f"{rows:,} simulated rows in {len(MONTHS)} files, each stage a process of its own, from "
        "the same raw files. Targets: at least 5 times faster, at most a third of the peak.",
    )


if __name__ == "__main__":
    main()
