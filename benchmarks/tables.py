"""Public tables, adopted and trained, against the defaults of CatBoost and LightGBM."""

import json
import os
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

from .common import (
    BUILD,
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    seconds,
    workspace,
)
from .public_tables import TABLES, TARGET

HERE, PACKAGES, SPLITS = Path(__file__).parent, BUILD / "packages", 5
SHARE = 0.01  # of the baseline's loss, added to each: losses near zero do not decide


def install(project: Path, name: str) -> None:
    """Unpack a package, without those that it needs, into a folder that stays in build/."""
    if name != "scikit-learn" and not (PACKAGES / name).exists():
        run(project, "uv", "pip", "install", "--no-deps", "--target", PACKAGES, name)


def measure(project: Path, name: str, splits: int = SPLITS) -> dict[str, Any]:
    """Losses of ours and of the others by split, and what ours costs; the project is new."""
    csv = project.with_suffix(".csv")
    install(project, TABLES[name][0])
    install(project, "catboost")
    run(project, "python", HERE / "public_tables.py", name, PACKAGES, csv)
    adopt = seconds(lambda: run(project, "make", "adopt", f"DATA={csv}", f"TARGET={TARGET}"))
    train = seconds(lambda: run(project, "make", "train"))
    script, package_name = HERE / "rivals.py", package(project)
    said = run(project, "python", script, package_name, str(splits), PACKAGES)
    found = json.loads(said.splitlines()[-1])
    return {"table": name, "seconds": adopt + train, **found}


def ratio(losses: list[dict[str, float]], one: str, other: str) -> float:
    """Geometric mean over splits of a loss over another, SHARE of the baseline's added to both."""
    added = [
        {who: value + SHARE * each["baseline"] for who, value in each.items()} for each in losses
    ]
    return exp(mean(log(each[one] / each[other]) for each in added))


def report(measured: list[dict[str, Any]]) -> Rows:
    """A row for each table, and one of geometric means."""
    rows: Rows = []
    for each in measured:
        losses = each["losses"]
        rivals = [who for who in losses[0] if who not in ("ours", "CatBoost", "baseline")]
        ratios = {f"{who} / CatBoost": ratio(losses, who, "CatBoost") for who in ("ours", *rivals)}
        facts = {name: each[name] for name in ("table", "task", "rows", "features")}
        costs = {"kB": each["bytes"] / 1_000, "ms a row": each["ms"]}
        rows.append({**facts, **ratios, **costs, "adopt and train, s": each["seconds"]})
    means = dict.fromkeys(rows[0], "") | {"table": "geometric mean"}
    for key in rows[0]:
        if "/" in key:
            means[key] = exp(mean(log(row[key]) for row in rows))
    return [*rows, means]


def main() -> None:
    """Measure every table in a project of its own."""
    venv = environment()
    if "FLAML" in os.environ:
        os.environ["FLAML_SECONDS"] = "60"
        install(venv.parent, "flaml")
    with workspace() as folder:
        measured = [measure(fresh_project(folder / name, venv), name) for name in TABLES]
    publish(
        "tables",
        report(measured),
        "Public tables from PyPI packages (`benchmarks/public_tables.py`), each adopted as CSV in a "
        "new project. Losses (RMSE, log loss) on 15 % of the rows, which nothing has seen, of five "
        "random splits: ours by the project's own training with the parameters that `make adopt` "
        "set, the others with their defaults on the other 85 %. 1 % of the loss of a constant is "
        "added to each loss. Size and time of a row in a call of its own are ours. Seconds are the "
        "whole commands. `FLAML=1` adds FLAML's search of 60 s.",
    )


if __name__ == "__main__":
    main()
