"""Stage `evaluate`: judge candidate and baseline on the test split, which nothing else has seen."""

from typing import Any

import numpy as np
import polars as pl

from mlops_loop.data.contract import load_contract
from mlops_loop.files import read_json, replaced, rounded, write_json
from mlops_loop.models import slices
from mlops_loop.models.bootstrap import Predictions, calibration, intervals, outcome
from mlops_loop.models.explanations import explanation
from mlops_loop.models.model import Model, load
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..params import Params, load_params
from .metrics import judging
from .plots import draw_all


def evaluate(
    test: pl.DataFrame, candidate: Model, baseline: Model, rows: dict[str, int], params: Params
) -> tuple[dict[str, Any], Predictions]:
    """The content of reports/metrics.json, and what came of the candidate's scores.

    A figure that the test rows leave undefined (ROC of one class) is null, without an interval.
    """
    ours, simple = (
        outcome(model, test[model.target], model.score_features(test))
        for model in (candidate, baseline)
    )
    judged_by = judging(params, params.evaluate)
    scoring = judged_by.scoring
    report: dict[str, Any] = {
        "task": params.task,
        "test": scoring.score(ours),
        "intervals": intervals(scoring, ours, judged_by.bootstrap),
        "baseline": scoring.score(simple),
        "rows": {**rows, "test": test.height},
    }
    if params.task == "regression":
        report["prediction_interval"] = prediction_interval(ours, params.evaluate.confidence)
    if params.task == "binary":
        report["threshold"] = candidate.threshold
    if candidate.classes:
        report["calibration"] = calibration(ours)
    return report, ours


def prediction_interval(rows: Predictions, confidence: float) -> list[float]:
    """What to add to a prediction for the bounds between which so many actual values lie.

    Split conformal prediction (Papadopoulos et al., 2002): the same width for every row.
    """
    limits = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [float(limit) for limit in np.quantile(rows.actual - rows.scores, limits)]


def main(paths: Paths) -> None:
    """Write the test scores into models/; metrics, explanations, slices and plots into reports/."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    candidate, baseline = load(paths.candidate), load(paths.baseline)
    test = pl.read_parquet(paths.processed / "test" / "*.parquet")
    rows = read_json(paths.training)["rows"]
    report, ours = evaluate(test, candidate, baseline, rows, params)
    judged_by = judging(params, params.evaluate)
    found = explanation(test, candidate, judged_by.scoring, params.seed)
    features = test.select(*found["importance"])
    groups = slices.report(
        slices.read_declared(paths, contract), features, ours, contract, judged_by
    )
    with replaced(paths.plots) as temporary:
        draw_all(temporary, ours, candidate, found)
    with replaced(paths.scores) as temporary, temporary.open("wb") as file:
        np.save(file, ours.scores)
    write_json(paths.explanations, rounded(found))
    write_json(paths.slices, rounded(groups))
    write_json(paths.metrics, report)


if __name__ == "__main__":
    run_stage(main, PROJECT)
