"""Stage `evaluate`: judge candidate and baseline on the test split, which nothing else has seen."""

from typing import Any

import numpy as np
import polars as pl

from ..files import read_json, replaced, write_json
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..stage import run_stage
from .metrics import METRICS, PRIMARY, intervals, score
from .model import Floats, Model, load
from .plots import IMPORTANCE_ROWS, draw_all, permutation_importance


def evaluate(
    test: pl.DataFrame, candidate: Model, baseline: Model, rows: dict[str, int], params: Params
) -> tuple[dict[str, Any], Floats]:
    """The content of reports/metrics.json, and the candidate's predictions."""
    actual = test[candidate.target].cast(pl.Float64).to_numpy()
    predicted = candidate.predict_features(test)
    simple = baseline.predict_features(test)
    options = params.evaluate
    report = {
        "task": params.task,
        "test": score(params.task, actual, predicted),
        "intervals": intervals(
            params.task, actual, predicted, options.resamples, options.confidence, params.seed
        ),
        "baseline": score(params.task, actual, simple),
        "rows": {**rows, "test": test.height},
    }
    return report, predicted


def importance(test: pl.DataFrame, model: Model, seed: int) -> dict[str, float]:
    """Permutation importance of each feature in the primary metric, on a sample of the rows."""
    rows = test.sample(min(IMPORTANCE_ROWS, test.height), seed=seed)
    actual = rows[model.target].cast(pl.Float64).to_numpy()
    metric = METRICS[model.task][PRIMARY[model.task]]
    sign = -1 if metric.higher_is_better else 1

    def loss(predicted: Floats) -> float:
        return float(sign * metric.score(actual, predicted))

    matrix = model.encoder.encode(rows)
    return permutation_importance(model.predict_matrix, matrix, loss, model.encoder.names, seed)


def main(paths: Paths = PROJECT) -> None:
    """Write reports/metrics.json and reports/plots."""
    params = load_params(paths.params)
    candidate, baseline = load(paths.candidate), load(paths.baseline)
    test = pl.read_parquet(paths.processed / "test" / "*.parquet")
    rows = read_json(paths.training)["rows"]
    report, predicted = evaluate(test, candidate, baseline, rows, params)
    actual = np.asarray(test[candidate.target].cast(pl.Float64))
    with replaced(paths.plots) as temporary:
        weights = importance(test, candidate, params.seed)
        draw_all(temporary, actual, predicted, candidate.target, weights)
    write_json(paths.metrics, report)


if __name__ == "__main__":
    run_stage(main)
