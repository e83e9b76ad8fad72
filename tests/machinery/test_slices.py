"""Slices: declared groups, the worst ones found, and gaps between sensitive groups."""

import re
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.files import read_json
from mlops_loop.models import slices
from mlops_loop.models.bootstrap import Predictions
from mlops_loop.models.model import load
from mlops_loop.models.slices import Judging
from project.models.metrics import judging
from project.params import load_params
from projects import Project

ROWS = 4_000


@pytest.fixture
def params(project: Project) -> Judging:
    """Metrics and bootstrap of a regression; groups need 30 rows."""
    params = load_params(project.params)
    return judging(params, params.evaluate)


def labels(values: Any) -> list[str]:
    """The groups of some values, in order."""
    return slices.groups(pl.Series("x", values)).unique().sort().to_list()


def features(seed: int) -> pl.DataFrame:
    """Numbers and categories that say nothing."""
    rng = np.random.default_rng(seed)
    numbers = {f"number {i}": rng.random(ROWS) for i in range(4)}
    text = {f"text {i}": rng.choice(["a", "b", "c", "d"], ROWS) for i in range(4)}
    return pl.DataFrame({**numbers, **text})


def worst(frame: pl.DataFrame, losses: Any, params: Judging) -> list[dict[str, Any]]:
    """The worst slices by the features alone."""
    found, searched = slices.worst([slices.groups(values) for values in frame], 0, losses, params)
    assert searched > 100
    return found


def test_numbers_are_quarters_dates_months_and_anything_else_its_values() -> None:
    assert labels(range(100)) == ["0 to 25", "26 to 50", "51 to 74", "75 to 99"]
    assert labels([0.12345, None, float("nan"), *map(float, range(1, 24))])[0] == "0.1235 to 6.0"
    assert labels([date(2024, 2, 1), date(2023, 12, 31), date(2024, 2, 9)]) == [
        "2023-12",
        "2024-02",
    ]
    assert labels([3, 1, 3, None]) == ["3", "1", "(missing)"], "the most frequent first"
    assert labels([True, False, True]) == ["true", "false"]
    many = labels([f"{number:02}" for number in range(30)] * 2 + ["07"])
    assert [*many[:2], *many[20:]] == ["07", "00", "(other)"]


def test_each_declared_group_has_its_own_figures(trained: Project) -> None:
    report = read_json(trained.slices)
    rows = pl.read_parquet(trained.interim / "test" / "*.parquet")
    error = load(trained.candidate).predict(rows) - rows["euros"].to_numpy()
    seen = {(each["column"], each["group"]): each for each in report["declared"]}
    assert {column for column, _ in seen} == {"shop", "express"}
    for shop in ("north", "south", "east"):
        of_shop = (rows["shop"] == shop).fill_null(False).to_numpy()
        each = seen["shop", shop]
        assert each["rows"] == of_shop.sum()
        assert each["metrics"]["rmse"] == pytest.approx(
            np.sqrt(np.mean(error[of_shop] ** 2)), rel=1e-5
        )
        assert each["interval"][0] < each["metrics"]["rmse"] < each["interval"][1]
    of_shops = [each["rows"] for (column, _), each in seen.items() if column == "shop"]
    assert sum(of_shops) == rows.height


def test_a_group_of_few_rows_is_counted_not_judged(params: Judging) -> None:
    part, zeros = slices.groups(pl.Series("shop", ["a"] * 95 + ["b"] * 5)), np.zeros(100)
    large, small = slices.slices([part], Predictions(zeros, zeros, zeros), params)
    assert (large["rows"], large["metrics"]["rmse"]) == (95, 0)
    assert small == {
        "column": "shop",
        "group": "b",
        "rows": 5,
        "metrics": None,
        "interval": None,
        "note": "too few rows to judge (evaluate.slices.min_rows: 30)",
    }


def test_a_bad_slice_is_found_and_described(params: Judging) -> None:
    frame, rng = features(0), np.random.default_rng(1)
    bad = (frame["text 1"] == "c") & (frame["number 2"] > frame["number 2"].quantile(0.75))
    losses = rng.exponential(size=ROWS) + 2 * bad.to_numpy()
    first = worst(frame, losses, params)[0]
    assert re.fullmatch(r"number 2 = 0\.7\d+ to [\d.]+ and text 1 = c", first["slice"])
    assert first["rows"] == bad.sum()
    assert first["value"] == pytest.approx(np.sqrt(losses[bad.to_numpy()].mean()))
    assert first["interval"][0] < first["value"] < first["interval"][1]


def test_nothing_is_found_where_there_is_only_noise(params: Judging) -> None:
    for seed in range(10):
        losses = np.random.default_rng(seed + 100).normal(size=ROWS) ** 2
        assert worst(features(seed), losses, params) == []


def test_a_gap_is_between_the_best_and_the_worst_served_group(params: Judging) -> None:
    rng = np.random.default_rng(0)
    part = slices.groups(pl.Series("sex", ["f"] * 400 + ["m"] * 500 + ["x"] * 9))
    off = np.concatenate([np.full(400, 3.0), np.full(509, -1.0)]) + rng.normal(0, 0.1, 909)
    gaps = {g["metric"]: g for g in slices.fairness([part], Predictions(0 * off, off, off), params)}
    assert set(gaps) == {"rmse", "mae", "mean_error"}, "r2 is undefined where nothing varies"
    found = gaps["mean_error"]
    assert (found["column"], found["lowest"], found["highest"]) == ("sex", "m", "f")
    assert found["gap"] == pytest.approx(4, abs=0.05)
    assert found["interval"][0] < found["gap"] < found["interval"][1]
    assert gaps["rmse"]["gap"] == pytest.approx(2, abs=0.05)
