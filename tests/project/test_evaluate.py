"""Stage `evaluate`: metrics that can be computed by hand, their intervals, and the plots."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import sklearn.metrics
from mlops_loop.files import read_json
from mlops_loop.models import bootstrap
from mlops_loop.models.bootstrap import Bootstrap, Predictions, improvement, intervals
from mlops_loop.models.model import load
from mlops_loop.models.slices import failed_bars
from mlops_loop.project import UserError
from project.models import evaluate, gate, metrics, train
from project.models.metrics import SCORING
from project.params import load_params
from projects import Project

ACTUAL = np.array([1.0, 2.0, 3.0])
TASK = "regression"
RMSE, OPTIONS = SCORING[TASK].metrics["rmse"], Bootstrap(50, 0.95, seed=0)


def values(actual: Any, predicted: Any) -> Predictions:
    """Predictions of a regression."""
    return Predictions(np.asarray(actual), np.asarray(predicted), np.asarray(predicted))


def two(actual: Any, scores: Any) -> Predictions:
    """Predictions of two classes."""
    return Predictions(
        np.asarray(actual), np.asarray(scores), (np.asarray(scores) >= 0.5).astype(int)
    )


def several(actual: Any, scores: Any) -> Predictions:
    """Predictions of several classes."""
    return Predictions(np.asarray(actual), np.asarray(scores), np.asarray(scores).argmax(axis=1))


def test_metrics_are_what_one_computes_by_hand() -> None:
    scores = SCORING[TASK].score(values(ACTUAL, [1.0, 2.0, 5.0]))
    assert scores == pytest.approx({"rmse": (4 / 3) ** 0.5, "mae": 2 / 3, "r2": -1.0})


def test_metrics_of_two_classes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    actual, chance = rng.integers(0, 2, 300), rng.random(300).round(1)
    rows, sk = two(actual, chance), sklearn.metrics
    assert SCORING["binary"].score(rows) == pytest.approx(
        {
            "roc_auc": sk.roc_auc_score(actual, chance),
            "pr_auc": sk.average_precision_score(actual, chance),
            "log_loss": sk.log_loss(actual, chance),
            "f1": sk.f1_score(actual, rows.labels),
            "accuracy": sk.accuracy_score(actual, rows.labels),
            "brier": sk.brier_score_loss(actual, chance),
        }
    )


def test_metrics_of_several_classes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    actual, chances = rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300)
    rows, sk = several(actual, chances), sklearn.metrics
    assert SCORING["multiclass"].score(rows) == pytest.approx(
        {
            "f1_macro": sk.f1_score(actual, rows.labels, average="macro"),
            "accuracy": sk.accuracy_score(actual, rows.labels),
            "log_loss": sk.log_loss(actual, chances),
        }
    )


def test_a_class_that_training_has_not_seen_had_no_chance() -> None:
    impossible = -np.log(metrics.LEAST_PROBABILITY)
    rows = several([0, -1], [[0.5, 0.5], [0.1, 0.9]])
    assert metrics.log_loss(rows) == pytest.approx((np.log(2) + impossible) / 2)
    assert SCORING["multiclass"].score(rows)["f1_macro"] == pytest.approx(1 / 3)
    assert SCORING["binary"].score(two([0, -1], [0.5, 0.5]))["accuracy"] == 0


def test_a_metric_that_the_rows_leave_undefined_is_none() -> None:
    rows = two([0, 0], [0.1, 0.2])
    scores = SCORING["binary"].score(rows)
    assert [name for name in scores if scores[name] is None] == ["roc_auc", "pr_auc", "f1"]
    found = intervals(SCORING["binary"], rows, Bootstrap(20, 0.95, 0))
    assert found["roc_auc"] is None
    assert found["accuracy"] == (1.0, 1.0)
    seldom = intervals(SCORING["binary"], two([0, 0, 1], [0.1, 0.2, 0.3]), Bootstrap(50, 0.95, 0))
    assert seldom["roc_auc"] == (1.0, 1.0), "resamples without the second class are left out"
    assert SCORING[TASK].score(values([2.0, 2.0], [1.0, 3.0]))["r2"] is None
    [failed] = failed_bars(SCORING["binary"], scores, {"roc_auc": 0.5})
    assert "roc_auc has a bar, but these test rows leave it undefined" in failed


def test_the_threshold_is_where_f1_is_best() -> None:
    actual, scores = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.3, 0.4, 0.5, 0.9])
    assert bootstrap.best_threshold(actual, scores) == 0.3
    assert bootstrap.best_threshold(actual[[0, 2]], scores[[0, 2]]) == 0.5


def test_calibration_compares_what_was_said_with_what_came() -> None:
    found = bootstrap.calibration(two([1, 0, 1, 1], [0.82, 0.84, 0.13, 1.0]))
    assert found["error"] == pytest.approx((2 * 0.33 + 0.87 + 0) / 4)
    assert [each["rows"] for each in found["bins"]] == [1, 2, 1]
    found = bootstrap.calibration(several([0, 1], [[0.7, 0.3], [0.7, 0.3]]))
    assert found["bins"] == [{"predicted": 0.7, "observed": 0.5, "rows": 2}]


def test_an_interval_is_a_point_where_every_error_is_the_same() -> None:
    found = intervals(SCORING[TASK], values(ACTUAL, ACTUAL + 2), Bootstrap(50, 0.95, 0))
    assert found["rmse"] == found["mae"] == (2.0, 2.0)


def test_an_interval_holds_the_metric_and_grows_with_confidence() -> None:
    rng = np.random.default_rng(0)
    rows = values(rng.normal(size=300), rng.normal(size=300))
    low, high = intervals(SCORING[TASK], rows, Bootstrap(50, 0.5, 0))["rmse"]
    lower, higher = intervals(SCORING[TASK], rows, Bootstrap(50, 0.99, 0))["rmse"]
    assert lower < low < metrics.rmse(rows) < high < higher


def test_improvement_is_positive_where_ours_is_better() -> None:
    right, above, below = (values(ACTUAL, ACTUAL + error) for error in (0, 1, -1))
    assert improvement(RMSE, right, above, OPTIONS) == (1.0, 1.0, 1.0)
    assert improvement(RMSE, above, right, OPTIONS) == (-1, -1, -1)
    assert improvement(RMSE, above, below, OPTIONS) == (0, 0, 0)


def test_improvement_of_any_metric_is_positive_where_it_is_better() -> None:
    right, wrong = two([0, 1, 0, 1], [0.1, 0.9, 0.1, 0.9]), two([0, 1, 0, 1], [0.9, 0.1, 0.9, 0.1])
    for name in ("accuracy", "roc_auc"):
        assert improvement(SCORING["binary"].metrics[name], right, wrong, OPTIONS) == (
            1,
            1,
            1,
        ), name
    better, low, high = improvement(SCORING["binary"].metrics["brier"], right, wrong, OPTIONS)
    assert (better, low, high) == pytest.approx((0.8, 0.8, 0.8))
    alone = two([0, 0], [0.1, 0.2])
    assert np.isnan(improvement(SCORING["binary"].metrics["roc_auc"], alone, alone, OPTIONS)).all()


def test_bars_are_judged_in_the_direction_of_the_metric() -> None:
    scores = {"rmse": 2.0, "mae": 1.0, "r2": 0.5}
    assert failed_bars(SCORING[TASK], scores, {"rmse": 2.0, "r2": 0.5}) == []
    assert failed_bars(SCORING[TASK], scores, {"rmse": 1.9, "r2": 0.6}) == [
        "rmse 2 is above the bar of 1.9",
        "r2 0.5 is below the bar of 0.6",
    ]


def test_a_bar_on_a_metric_that_the_task_lacks_is_refused_before_the_fit(trained: Project) -> None:
    trained.edit(register__bars={"auc": 0.5})
    before = trained.run.read_bytes()
    with pytest.raises(UserError, match=r"params.yaml: register.bars.auc: .* rmse, mae, r2"):
        train.main(trained)
    assert trained.run.read_bytes() == before


def test_better_than_the_baseline_means_strictly_better(project: Project) -> None:
    params, groups = load_params(project.params), {"declared": [], "fairness": []}
    for baseline, failed in ((1.1, []), (1.0, ["rmse is not better than the baseline's"])):
        report = {"test": {"rmse": 1.0}, "baseline": {"rmse": baseline}}
        assert gate.failures(report, groups, params) == failed


def test_the_report_compares_candidate_and_baseline_on_the_test_split(trained: Project) -> None:
    report = read_json(trained.metrics)
    test = pl.read_parquet(trained.processed / "test" / "*.parquet")
    for name, folder in (("test", trained.candidate), ("baseline", trained.baseline)):
        error = load(folder).score_features(test) - test["euros"].to_numpy()
        assert report[name]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert report[name]["mae"] == pytest.approx(np.mean(np.abs(error)))
    assert report["test"]["rmse"] < report["baseline"]["rmse"]
    assert set(report["test"]) == set(report["intervals"]) == set(report["baseline"])
    for name, (low, high) in report["intervals"].items():
        assert low < report["test"][name] < high
    assert report["rows"] == read_json(trained.prepare_report)["rows"]
    assert report["task"] == TASK


def test_plots_are_pictures_and_the_same_each_time(trained: Project) -> None:
    def pictures() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in trained.plots.iterdir()}

    before, report = pictures(), trained.metrics.read_bytes()
    drawn = {"predicted_vs_actual", "residuals", "importance", "dependence"}
    assert {name.removesuffix(".png") for name in before} == drawn
    assert all(content.startswith(b"\x89PNG") for content in before.values())
    evaluate.main(trained)
    assert pictures() == before
    assert trained.metrics.read_bytes() == report


def test_of_many_rows_a_part_is_drawn_and_the_interval_is_that_of_all() -> None:
    rng = np.random.default_rng(0)
    actual = rng.normal(0, 1, 60_000)
    rows = Predictions(actual, actual + rng.normal(0, 1, 60_000), actual)
    with pytest.MonkeyPatch.context() as patch:
        few = intervals(SCORING["regression"], rows, Bootstrap(400, 0.95, 0))
        patch.setattr(bootstrap, "MOST_DRAWN", 60_000)
        whole = intervals(SCORING["regression"], rows, Bootstrap(400, 0.95, 0))
    for name, interval in whole.items():
        assert interval is not None
        assert few[name] == pytest.approx(interval, abs=0.002)
        assert np.diff(few[name]) == pytest.approx(np.diff(interval), rel=0.2)


def test_the_prediction_interval_comes_from_rows_that_are_not_test(trained: Project) -> None:
    report = read_json(trained.metrics)
    known = pl.read_parquet(trained.out_of_fold)
    low, high = report["prediction_interval"]
    residuals = (known["actual"] - known["score"]).sort()
    outside = known.height - residuals.is_between(low, high).sum()
    assert 0.04 < outside / known.height < 0.05
    assert report["held_out"]["rmse"] == pytest.approx((residuals**2).mean() ** 0.5)
    rows = pl.read_parquet(trained.processed / "test" / "*.parquet")
    errors = rows["euros"].to_numpy() - load(trained.candidate).score_features(rows)
    covered = np.mean((errors >= low) & (errors <= high))
    assert report["prediction_interval_coverage"] == covered == pytest.approx(0.95, abs=0.05)
