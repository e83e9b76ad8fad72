"""Test error on the two real months: the default model beside the baseline and the others."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .common import (
    TEMPLATE,
    Rows,
    environment,
    fresh_project,
    package,
    publish,
    run,
    set_params,
    workspace,
)

DATA = ("data.ingest", "data.validate", "data.prepare", "features.featurize")
MODELS = ("lightgbm", "random_forest", "linear")
NO_FITTED = "FITTED: tuple[FittedFeature, ...] = ()"
PAIRS = """FITTED = (
    FittedFeature(
        "pair_minutes",
        key=pl.concat_str("PULocationID", "DOLocationID", separator="-"),
        value=pl.col("duration_minutes").mean(),
        smoothing=5.0,
    ),
)"""
HALF = {"feature_fraction_bynode": 0.5}


def real_months(base: Path) -> dict[str, Any]:
    """Train on January 2023, test on February."""
    return {
        "ingest__source": "tlc",
        "ingest__base": str(base.resolve()),
        "ingest__months": ["2023-01", "2023-02"],
        "prepare__test_from": "2023-02-01",
    }


def measure(project: Path, models: Sequence[str]) -> Rows:
    """Test metrics of model types with their default parameters, the best first."""
    module = f"{package(project)}.{{}}".format
    for stage in DATA:
        run(project, "python", "-m", module(stage))
    rows = []
    for model in models:
        set_params(project, train__model=model)
        run(project, "python", "-m", module("models.train"))
        run(project, "python", "-m", module("models.evaluate"))
        metrics = json.loads((project / "reports" / "metrics.json").read_text())
        trees = json.loads((project / "models" / "training.json").read_text())["trees"]
        low, high = metrics["intervals"]["rmse"]
        rows.append(_row(model, metrics["test"], f"{low:.2f} to {high:.2f}", trees))
    rows.append(_row("baseline (mean)", metrics["baseline"], "", 0))
    return sorted(rows, key=lambda row: row["RMSE, minutes"])


def _row(model: str, scores: dict[str, float], interval: str, trees: int) -> dict[str, Any]:
    return {
        "`train.model`": model,
        "RMSE, minutes": scores["rmse"],
        "95 % interval": interval,
        "MAE": scores["mae"],
        "trees": trees or "",
    }


def measure_pairs(project: Path) -> Rows:
    """The default model with the mean duration of each pair of zones among its features."""
    definitions = next((project / "src").glob("*/features/definitions.py"))
    text = definitions.read_text(encoding="utf-8")
    if NO_FITTED not in text:
        sys.exit(f"{definitions} has no line {NO_FITTED}")
    definitions.write_text(text.replace(NO_FITTED, PAIRS), encoding="utf-8")
    rows = measure(project, ["lightgbm"])[:1]
    path = project / "params.yaml"
    yaml = YAML()
    params = yaml.load(path)
    params["train"]["lightgbm"]["parameters"] = HALF
    yaml.dump(params, path)
    rows += measure(project, ["lightgbm"])[:1]
    names = ("and the mean of each pair of zones", "and half of the features for each split")
    for row, name in zip(rows, names, strict=True):
        row["`train.model`"] = name
    return rows


def main() -> None:
    """Measure on the files in TLC_DATA."""
    base = Path(os.environ.get("TLC_DATA", TEMPLATE.parent / "shared" / "data"))
    if not (base / "green_tripdata_2023-02.parquet").exists():
        sys.exit(f"{base} holds no green_tripdata_2023-02.parquet; name its folder: TLC_DATA=...")
    venv = environment()
    with workspace() as folder:
        project = fresh_project(folder, venv, **real_months(base))
        rows = measure(project, MODELS)
        rows[1:1] = measure_pairs(project)
    publish(
        "quality",
        rows,
        "Real data: NYC green taxi, fitted on January 2023, tested on February, trips of 1 to 60 "
        "minutes, default parameters. Reference on the same rows: a linear model on the "
        "pickup-dropoff pair and distance 6.04, a plain LightGBM with 600 trees 4.37. The mean of pairs is "
        "one FittedFeature in definitions.py (docs/extend.md); looking it up takes a millisecond of a "
        "request, so the example begins without.",
    )


if __name__ == "__main__":
    main()
