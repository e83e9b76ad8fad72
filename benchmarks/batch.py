"""`make predict` on tables of two sizes, beside the model alone on the same rows in memory."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .common import (
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    wall_and_peak,
    workspace,
)

FORMATS = ("parquet", "csv")
TABLES = """
import sys
import polars as pl
rows = pl.read_parquet("data/raw/*.parquet")
for size in map(int, sys.argv[1:]):
    table = pl.concat([rows] * -(-size // rows.height)).head(size)
    table.write_parquet(f"{size}.parquet")
    table.write_csv(f"{size}.csv")
"""
# The rate of what is left when reading, checking and writing are taken away.
BARE = """
import sys, time
import polars as pl
from {package}.models.predict import load_champion
model, rows = load_champion(), pl.read_parquet(sys.argv[1])
start = time.perf_counter()
model.predict(rows)
print(rows.height / (time.perf_counter() - start))
"""


def measure(project: Path, rows: int, formats: Sequence[str] = FORMATS) -> Rows:
    """Rate and peak memory by format; the rate is that of the rows which the larger table adds."""
    sizes = (rows // 4, rows)
    run(project, "make", "train")
    run(project, "python", "-c", TABLES, *map(str, sizes))
    bare = float(run(project, "python", "-c", _bare(project), f"{rows}.parquet").splitlines()[-1])
    found = [_row("the model alone, rows in memory", bare, bare)]
    for format in formats:
        (small, less), (large, more) = (_predict(project, size, format) for size in sizes)
        rate = (sizes[1] - sizes[0]) / max(large - small, 1e-9)
        found.append(_row(f"`make predict`, {format} to {format}", rate, bare, less, more))
    return found


def _bare(project: Path) -> str:
    return BARE.format(package=package(project))


def _predict(project: Path, size: int, format: str) -> tuple[float, float]:
    command = ("python", "-m", package(project), "predict")
    files = (f"--input={size}.{format}", f"--output=scored.{format}")
    return wall_and_peak(project, *command, *files)


def _row(what: str, rate: float, bare: float, *peaks: float) -> dict[str, Any]:
    less, more = peaks or ("", "")
    return {
        "what": what,
        "rows a second": round(rate),
        "share of the model alone": rate / bare,
        "peak MiB, a quarter of the rows": less and round(less),
        "peak MiB, all rows": more and round(more),
    }


def main() -> None:
    """Score four million rows, or ROWS."""
    rows = int(os.environ.get("ROWS", "4_000_000"))
    venv = environment()
    with workspace() as folder:
        found = measure(fresh_project(folder, venv), rows)
    publish(
        "batch",
        found,
        f"{rows:,} simulated rows of 20 columns and the default model, one process each; the rate "
        "is that of the rows beyond the first quarter, so that starting counts in neither. "
        "Targets: at least 0.70 of the model alone, memory flat in the size of the input.",
    )


if __name__ == "__main__":
    main()
