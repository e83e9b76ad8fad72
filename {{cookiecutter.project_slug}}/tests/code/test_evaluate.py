"""Stage `evaluate`: metrics that can be computed by hand, their intervals, and the plots."""

import numpy as np
import polars as pl
import pytest
from conftest import Project

from {{ cookiecutter.package_name }}.errors import UserError
from {{ cookiecutter.package_name }}.files import read_json
from {{ cookiecutter.package_name }}.models import evaluate, metrics
from {{ cookiecutter.package_name }}.models.model import load
from {{ cookiecutter.package_name }}.models.plots import permutation_importance

ACTUAL = np.array([1.0, 2.0, 3.0])
TASK = "regression"


def test_metrics_are_what_one_computes_by_hand() -> None:
    scores = metrics.score(TASK, ACTUAL, np.array([1.0, 2.0, 5.0]))
    assert scores == pytest.approx({"rmse": (4 / 3) ** 0.5, "mae": 2 / 3, "r2": -1.0})


def test_an_interval_is_a_point_where_every_error_is_the_same() -> None:
    found = metrics.intervals(TASK, ACTUAL, ACTUAL + 2, 50, 0.95, seed=0)
    assert found["rmse"] == found["mae"] == (2.0, 2.0)


def test_an_interval_holds_the_metric_and_grows_with_confidence() -> None:
    rng = np.random.default_rng(0)
    actual, predicted = rng.normal(size=300), rng.normal(size=300)
    rmse = metrics.score(TASK, actual, predicted)["rmse"]
    low, high = metrics.intervals(TASK, actual, predicted, 50, 0.5, seed=0)["rmse"]
    lower, higher = metrics.intervals(TASK, actual, predicted, 50, 0.99, seed=0)["rmse"]
    assert lower < low < rmse < high < higher


def test_improvement_is_positive_where_ours_is_better() -> None:
    assert metrics.improvement(TASK, ACTUAL, ACTUAL, ACTUAL + 1, 50, 0.95, 0) == (1.0, 1.0, 1.0)
    assert metrics.improvement(TASK, ACTUAL, ACTUAL + 1, ACTUAL, 50, 0.95, 0) == (-1, -1, -1)
    assert metrics.improvement(TASK, ACTUAL, ACTUAL + 1, ACTUAL - 1, 50, 0.95, 0) == (0, 0, 0)


def test_bars_are_judged_in_the_direction_of_the_metric() -> None:
    scores = {"rmse": 2.0, "mae": 1.0, "r2": 0.5}
    assert metrics.failed_bars(TASK, scores, {"rmse": 2.0, "r2": 0.5}) == []
    assert metrics.failed_bars(TASK, scores, {"rmse": 1.9, "r2": 0.6}) == [
        "rmse 2 is above the bar of 1.9",
        "r2 0.5 is below the bar of 0.6",
    ]
    with pytest.raises(UserError, match=r"params.yaml: register.bars.auc: .* rmse, mae, r2"):
        metrics.check_bars(TASK, {"auc": 0.5})


def test_better_means_strictly_better() -> None:
    assert metrics.is_better(TASK, {"rmse": 1.0}, {"rmse": 1.1})
    assert not metrics.is_better(TASK, {"rmse": 1.0}, {"rmse": 1.0})


def test_only_a_feature_that_is_used_is_important() -> None:
    matrix = np.arange(20.0).reshape(10, 2)

    def loss(predicted: np.ndarray) -> float:
        return float(np.abs(predicted - matrix[:, 0]).mean())

    found = permutation_importance(lambda m: m[:, 0], matrix, loss, ("used", "unused"), seed=0)
    assert found["used"] > 0
    assert found["unused"] == 0


def test_the_report_compares_candidate_and_baseline_on_the_test_split(trained: Project) -> None:
    report = read_json(trained.metrics)
    test = pl.read_parquet(trained.processed / "test" / "*.parquet")
    for name, folder in (("test", trained.candidate), ("baseline", trained.baseline)):
        error = load(folder).predict_features(test) - test["euros"].to_numpy()
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
    assert set(before) == {"predicted_vs_actual.png", "residuals.png", "importance.png"}
    assert all(content.startswith(b"\x89PNG") for content in before.values())
    evaluate.main(trained)
    assert pictures() == before
    assert trained.metrics.read_bytes() == report
