"""Stage `evaluate`: judge candidate and baseline on the test split, which nothing else has seen."""

from typing import Any

import numpy as np
import polars as pl

from ..data.contract import load_contract
from ..files import read_json, replaced, rounded, write_json
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..stage import run_stage
from . import slices
from .attribution import explanation
from .metrics import Outcome, calibration, intervals, outcome, score
from .model import Model, load
from .plots import draw_all


def evaluate(
    test: pl.DataFrame, candidate: Model, baseline: Model, rows: dict[str, int], params: Params
) -> tuple[dict[str, Any], Outcome]:
    """The content of reports/metrics.json, and what came of the candidate's scores.

    A figure that the test rows leave undefined (ROC of one class) is null, without an interval.
    """
    ours, simple = (
        outcome(model, test[model.target], model.score_features(test))
        for model in (candidate, baseline)
    )
    options = params.evaluate
    report: dict[str, Any] = {
        "task": params.task,
        "test": score(params.task, ours),
        "intervals": intervals(
            params.task, ours, options.resamples, options.confidence, params.seed
        ),
        "baseline": score(params.task, simple),
        "rows": {**rows, "test": test.height},
    }
    if params.task == "regression":
        report["prediction_interval"] = prediction_interval(ours, options.confidence)
    if params.task == "binary":
        report["threshold"] = candidate.threshold
    if candidate.classes:
        report["calibration"] = calibration(ours)
    return report, ours


def prediction_interval(rows: Outcome, confidence: float) -> list[float]:
    """What to add to a prediction for the bounds between which so many actual values lie.

    Split conformal prediction (Papadopoulos et al., 2002): the same width for every row.
    """
    limits = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [float(limit) for limit in np.quantile(rows.actual - rows.scores, limits)]


def main(paths: Paths = PROJECT) -> None:
    """Write the test scores into models/; metrics, explanations, slices and plots into reports/."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    candidate, baseline = load(paths.candidate), load(paths.baseline)
    test = pl.read_parquet(paths.processed / "test" / "*.parquet")
    rows = read_json(paths.training)["rows"]
    report, ours = evaluate(test, candidate, baseline, rows, params)
    found = explanation(test, candidate, params.seed)
    features = test.select(*found["importance"])
    groups = slices.report(slices.read_declared(paths, contract), features, ours, contract, params)
    with replaced(paths.plots) as temporary:
        draw_all(temporary, ours, candidate, found)
    with replaced(paths.scores) as temporary, temporary.open("wb") as file:
        np.save(file, ours.scores)
    write_json(paths.explanations, rounded(found))
    write_json(paths.slices, rounded(groups))
    write_json(paths.metrics, report)


if __name__ == "__main__":
    run_stage(main)
