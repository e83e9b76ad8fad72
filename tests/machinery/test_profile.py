"""The reference profile: bins, counts by day, and losses of rows that the model has not seen."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from mlops_loop.data.contract import Column, Contract
from mlops_loop.models import profile
from mlops_loop.models.model import load
from mlops_loop.models.profile import Bins, Profile
from projects import Project
from scipy.stats import skew

CONTRACT = Contract(
    max_duplicate_share=0,
    columns=(
        Column(
            name="code",
            dtype="Int64",
            role="input",
            nullable=True,
            categories=(1, 2),
            description="code",
        ),
    ),
)


def bins_of(values: pl.Series, order: pl.Series | None = None) -> Bins:
    """The bins of a column."""
    return profile.make_bins(values, CONTRACT, order)


def test_numbers_have_bins_of_equal_shares_and_bins_for_what_is_outside_or_missing() -> None:
    values = pl.Series("x", np.arange(1.0, 3_201.0))
    bins = bins_of(values)
    counts = np.bincount(bins.find(values), minlength=len(bins))
    assert counts.tolist() == [0, *[50] * 64, 0, 0]  # below, above and missing
    outside = pl.Series([0.0, 3_201.0, None, np.nan, np.inf])
    assert bins.find(outside).tolist() == [0, 65, 66, 66, 66]


def test_a_frequent_value_has_a_bin_of_its_own_and_few_rows_have_few_bins() -> None:
    zeros = pl.Series("x", [0.0] * 500 + list(np.linspace(1, 2, 500)))
    bins = bins_of(zeros).find(zeros)
    assert len(set(bins[:500])) == 1
    assert set(bins[:500]).isdisjoint(bins[500:])
    assert len(bins_of(pl.Series("x", np.arange(60.0)))) == 2 + 3


def test_levels_are_in_the_order_of_what_they_mean_and_new_ones_are_told_apart() -> None:
    shops = pl.Series("shop", [f"{number:02}" for number in range(20)] * 5 + [None])
    prices = pl.Series([float(-number) for number in range(20)] * 5 + [0.0])
    bins = bins_of(shops, order=prices)
    assert bins.levels == [f"{number:02}" for number in reversed(range(20))]
    assert bins.find(pl.Series(["19", "00", "new", None])).tolist() == [0, 19, 20, 21]
    assert bins_of(pl.Series("code", [2, 1, 2])).levels == ["1", "2"]
    assert bins_of(pl.Series("other", [2, 1, 2])).edges is not None


def test_profiles_of_days_merge_by_addition() -> None:
    values = pl.Series("x", np.random.default_rng(0).normal(size=1_000))
    days = pl.Series("day", [date(2024, 1, 1 + number % 5) for number in range(1_000)])
    columns, table = {"x": bins_of(values)}, pl.DataFrame({"x": values})
    parts = [profile.count(columns, table[k::2], days[k::2]) for k in (0, 1)]
    merged = pl.concat(parts).group_by("column", "day", "bin").agg(pl.col("rows").sum())
    whole = profile.count(columns, table, days)
    assert merged.sort("column", "day", "bin").rows() == whole.rows()
    assert whole["rows"].sum() == 1_000


def test_expected_losses_follow_the_rows_and_equal_the_losses_on_average() -> None:
    rng = np.random.default_rng(1)
    rows = rng.uniform(1, 5, (4_000, 3))
    losses = rng.exponential(rows[:, 0])
    one_day = pl.Series([date(2024, 1, 1)] * 4_000)
    found, expected = profile.fit_expectation(rows, losses, one_day, ())
    clipped = np.minimum(losses, found.cap)
    assert clipped.mean() == pytest.approx(expected.mean())
    assert np.corrcoef(expected, rows[:, 0])[0, 1] > 0.75
    harder = rng.uniform((4, 1, 1), 5, (500, 3))
    assert found.expect(harder).mean() == pytest.approx(4.4, rel=0.1)
    rest = (clipped - expected) / clipped.mean()
    assert found.variance == pytest.approx(rest.var())
    assert found.skewness == pytest.approx(skew(rest))


def test_few_rows_expect_their_mean() -> None:
    losses = np.linspace(0, 2, 100)
    days = pl.Series([date(2024, 1, 1 + number % 10) for number in range(100)])
    found, expected = profile.fit_expectation(np.zeros((100, 1)), losses, days, ())
    clipped = np.minimum(losses, found.cap)
    assert expected == pytest.approx(np.full(100, clipped.mean()), rel=0.05)


def test_a_project_has_its_rows_by_day_and_the_losses_of_unseen_rows(trained: Project) -> None:
    made: Profile = profile.load(trained.profile)
    features = ("shop", "size", "items", "express", "weekday")
    assert set(made.columns) == {*features, "euros", "prediction"}
    rows = {
        name: pl.read_parquet(trained.interim / name / "*.parquet")
        for name in ("train", "validation", "test")
    }
    every = pl.concat(rows.values())
    counted = (
        made.counts.filter(column="size").group_by("day").agg(pl.col("rows").sum()).sort("day")
    )
    by_day = every.group_by(pl.col("sold_at").dt.date()).len().sort("sold_at")
    assert counted.rows() == by_day.rows()

    test, model = rows["test"], load(trained.candidate)
    errors = np.abs(model.predict(test) - test["euros"].to_numpy())
    last = test["sold_at"].dt.date().max()
    whole = made.losses.filter(pl.col("slice") == "", day=last).row(0, named=True)
    of_day = (test["sold_at"].dt.date() == last).to_numpy()
    assert whole["rows"] == of_day.sum()
    assert whole["loss"] == pytest.approx(np.minimum(errors[of_day], made.expectation.cap).sum())
    slices = made.losses.filter(pl.col("slice") == "shop", day=last)
    assert slices["rows"].sum() == of_day.sum()
    assert slices["loss"].sum() == pytest.approx(whole["loss"])


def test_the_rows_of_a_table_without_time_are_of_one_day() -> None:
    rows = pl.DataFrame({"code": [1, 2, None]})
    assert profile.find_days(rows, CONTRACT).to_list() == [date(1970, 1, 1)] * 3
