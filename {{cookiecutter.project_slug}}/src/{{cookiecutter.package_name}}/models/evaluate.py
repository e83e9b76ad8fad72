"""Stage `evaluate`: candidate and baseline on the test split, which no fit has seen."""

import numpy as np
import polars as pl

from mlops_loop.data.contract import load_contract
from mlops_loop.files import Content, read_json, replaced, rounded, write_json
from mlops_loop.models import slices
from mlops_loop.models.bootstrap import Predictions, calibration, intervals, outcome
from mlops_loop.models.explanations import explanation
from mlops_loop.models.held_out import judge_interval, read_predictions
from mlops_loop.models.model import Model, load
from mlops_loop.models.profile import write_profile
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..params import load_params
from .metrics import judging
from .plots import draw_all


def evaluate(
    test: pl.DataFrame,
    candidate: Model,
    baseline: Model,
    held_out: pl.DataFrame,
    by: slices.Judging,
) -> tuple[Content, Predictions]:
    """The content of reports/metrics.json, and the candidate's predictions.

    A metric that the test rows leave undefined (ROC of one class) is null, without an interval.
    """
    ours, simple = (
        outcome(model, test[model.target], model.score_features(test))
        for model in (candidate, baseline)
    )
    report: Content = {
        "task": candidate.task,
        "test": by.scoring.score(ours),
        "intervals": intervals(by.scoring, ours, by.bootstrap),
        "baseline": by.scoring.score(simple),
        "held_out": by.scoring.score(read_predictions(held_out, candidate)),
    }
    if candidate.task == "regression":
        report |= judge_interval(held_out, ours, by.bootstrap.confidence)
    if candidate.task == "binary":
        report["threshold"] = candidate.threshold
    if candidate.classes:
        report["calibration"] = calibration(ours)
    return report, ours


def main(paths: Paths) -> None:
    """Write scores and profile into models/; metrics, explanations, slices, plots into reports/."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    candidate, baseline = load(paths.candidate), load(paths.baseline)
    test = pl.read_parquet(paths.processed / "test" / "*.parquet")
    held_out, judged_by = pl.read_parquet(paths.out_of_fold), judging(params, params.evaluate)
    report, ours = evaluate(test, candidate, baseline, held_out, judged_by)
    report["rows"] = {**read_json(paths.training)["rows"], "test": test.height}
    found = explanation(test, candidate, judged_by.scoring, params.seed)
    features, declared = test.select(*found["importance"]), slices.read_declared(paths, contract)
    groups = slices.report(declared, features, ours, contract, judged_by)
    with replaced(paths.plots) as temporary:
        draw_all(temporary, ours, candidate, found)
    with replaced(paths.scores) as temporary, temporary.open("wb") as file:
        np.save(file, ours.scores)
    write_profile(paths, contract, candidate, judged_by.scoring, ours)
    write_json(paths.explanations, rounded(found))
    write_json(paths.slices, rounded(groups))
    write_json(paths.metrics, report)


if __name__ == "__main__":
    run_stage(main, PROJECT)
