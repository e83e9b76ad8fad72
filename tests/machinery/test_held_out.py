"""Held-out predictions: which rows they are of, and the interval that is made from them."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.models import held_out
from mlops_loop.models.bootstrap import Predictions
from mlops_loop.project import UserError

HOURS = [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in range(40)]
KEYS = pl.DataFrame({"row": range(40)})
CLASSES = pl.Series([0, 0, 0, 1] * 10)


def residuals(rows: int, seed: int, repeats: int = 1) -> pl.DataFrame:
    """Held-out rows of a model that always says 0; the actual values are skewed."""
    actual = np.random.default_rng(seed).exponential(size=rows).repeat(repeats)
    return pl.DataFrame({"row": np.arange(rows).repeat(repeats), "actual": actual, "score": 0.0})


def test_folds_learn_from_the_past() -> None:
    times = pl.Series(HOURS).shuffle(seed=0)
    pairs = held_out.make_folds(3, KEYS.with_columns(time=times), None, None, 0)
    assert [len(learn) for learn, _ in pairs] == [10, 20, 30]
    assert all(times[learn].max() < times[held].min() for learn, held in pairs)


def test_a_group_stays_together() -> None:
    shops = np.array(["a", "b", "c", "d", None] * 8)
    keys = KEYS.with_columns(group=pl.Series(shops), time=pl.Series(HOURS))
    pairs = held_out.make_folds(3, keys, "shop", None, 0)
    assert len(pairs) == 3
    assert sorted(row for _, held in pairs for row in held) == list(range(40))
    assert not any(set(shops[learn]) & set(shops[held]) for learn, held in pairs)


def test_classes_keep_their_shares_and_every_row_is_held_out_once() -> None:
    pairs = held_out.make_folds(5, KEYS, None, CLASSES, 0)
    assert [CLASSES[held].sum() for _, held in pairs] == [2] * 5
    assert sorted(row for _, held in pairs for row in held) == list(range(40))
    assert all(not set(learn) & set(held) for learn, held in pairs)
    again = held_out.make_folds(5, KEYS, None, CLASSES, 1)
    assert not np.array_equal(pairs[0][1], again[0][1])


def test_days_are_held_out_whole_and_every_day_is() -> None:
    times = pl.Series([datetime(2024, 1, 1) + timedelta(hours=8 * step) for step in range(40)])
    pairs = held_out.plan_folds("days", KEYS.with_columns(time=times), None, None, 0)
    days = times.dt.date()
    assert len(pairs) == 5
    assert sorted(row for _, held in pairs for row in held) == list(range(40))
    assert not any(set(days[learn]) & set(days[held]) for learn, held in pairs)
    few = held_out.plan_folds("days", KEYS.with_columns(time=pl.Series(HOURS)), None, None, 0)
    assert [len(learn) for learn, _ in few] == [7, 14, 20, 27, 34], "two days: folds in time"


IMPOSSIBLE: dict[str, Any] = {
    "9 folds need more groups": (KEYS.with_columns(group=KEYS["row"] % 3), "shop", None, 9),
    "9 folds need more rows": (KEYS[:8], None, None, 9),
    "one class only": (KEYS, None, pl.Series([1] * 39 + [0]), 5),
    "shop is personal data and dropped; set prepare.pii: hash": (KEYS, "shop", None, 5),
}


@pytest.mark.parametrize("said", IMPOSSIBLE)
def test_folds_that_cannot_be_made_are_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, group, classes, number = IMPOSSIBLE[said]
    monkeypatch.setattr(held_out, "FOLDS", number)
    with pytest.raises(UserError, match=f"params.yaml: train.out_of_fold: .*{said}"):
        held_out.plan_folds("folds", keys, group, classes, 0)
    assert held_out.plan_folds("auto", keys, group, classes, 0) == (), "validation serves instead"


def test_small_tables_are_held_out_several_times_and_large_ones_are_not() -> None:
    large = pl.DataFrame({"row": range(held_out.SMALL_TABLE + 1)})
    folds = {
        mode: [len(held_out.plan_folds(mode, keys, None, None, 0)) for keys in (KEYS, large)]
        for mode in ("auto", "folds", "validation")
    }
    assert folds == {"auto": [15, 0], "folds": [15, 15], "validation": [0, 0]}
    in_time = KEYS.with_columns(time=pl.Series(HOURS))
    assert len(held_out.plan_folds("auto", in_time, None, None, 0)) == 5


@pytest.mark.parametrize("rows", [50, 99, 1_000])
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_interval_holds_new_rows_as_often_as_it_says(rows: int, repeats: int) -> None:
    new = np.random.default_rng(0).exponential(size=400)
    held = 0
    for seed in range(1, 401):
        low, high = held_out.prediction_interval(residuals(rows, seed, repeats), 0.9) or (0, 0)
        held += low <= new[seed - 1] <= high
    # Exact coverage lies between 0.9 and 0.9 + 2 / (rows + 1); four standard errors beyond it.
    error = 4 * np.sqrt(0.9 * 0.1 / 400)
    assert 0.9 - error < held / 400 < 0.9 + 2 / (rows + 1) + error


def test_the_interval_is_between_the_ranks_of_conformal_prediction() -> None:
    frame = pl.DataFrame({"row": range(99), "actual": np.arange(99.0), "score": 0.0})
    assert held_out.prediction_interval(frame, 0.9) == (4.0, 94.0)
    assert held_out.prediction_interval(frame[:19], 0.9) == (0.0, 18.0)
    assert held_out.prediction_interval(frame[:18], 0.9) is None


def test_coverage_is_the_share_of_test_rows_and_too_few_rows_have_no_interval() -> None:
    test = Predictions(np.array([-1.0, 0.5, 1.0, 99.0]), np.zeros(4), np.zeros(4))
    found = held_out.judge_interval(residuals(200, 0), test, 0.9)
    assert found["prediction_interval_coverage"] == 0.5
    assert held_out.judge_interval(residuals(38, 0), test, 0.95) == {
        "prediction_interval": None,
        "prediction_interval_note": "too few held-out rows for 95%: 38",
    }
