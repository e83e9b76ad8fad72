"""Stage `evaluate`: judge candidate and baseline on the test split, which nothing else has seen."""

from typing import Any

import polars as pl

from ..files import read_json, replaced, write_json
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..stage import run_stage
from .metrics import Outcome, calibration, intervals, outcome, primary, score
from .model import Floats, Model, load
from .plots import draw_all, permutation_importance

IMPORTANCE_ROWS, LEAST_IMPORTANCE_ROWS, IMPORTANCE_CELLS = 2_000, 200, 200_000


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
    if params.task == "binary":
        report["threshold"] = candidate.threshold
    if candidate.classes:
        report["calibration"] = calibration(ours)
    return report, ours


def importance(test: pl.DataFrame, model: Model, seed: int) -> dict[str, float]:
    """Permutation importance of each feature in the primary metric, on a sample of the rows."""
    most = max(IMPORTANCE_CELLS // len(model.encoder.names), LEAST_IMPORTANCE_ROWS)
    rows = test.sample(min(most, IMPORTANCE_ROWS, test.height), seed=seed)
    loss, actual = primary(model.task), rows[model.target]

    def loss_of(matrix: Floats) -> float:
        return loss(outcome(model, actual, model.score_matrix(matrix)))

    matrix = model.encoder.encode(rows)
    return permutation_importance(loss_of, matrix, model.encoder.names, seed)


def main(paths: Paths = PROJECT) -> None:
    """Write reports/metrics.json and reports/plots."""
    params = load_params(paths.params)
    candidate, baseline = load(paths.candidate), load(paths.baseline)
    test = pl.read_parquet(paths.processed / "test" / "*.parquet")
    rows = read_json(paths.training)["rows"]
    report, ours = evaluate(test, candidate, baseline, rows, params)
    with replaced(paths.plots) as temporary:
        draw_all(temporary, ours, candidate, importance(test, candidate, params.seed))
    write_json(paths.metrics, report)


if __name__ == "__main__":
    run_stage(main)
