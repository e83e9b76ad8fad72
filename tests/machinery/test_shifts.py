"""Named shifts: each changes what it names, and leaves everything else."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.monitoring.shifts import SHIFTS, shift, thin

RNG = np.random.default_rng(3)
ROWS = pl.DataFrame(
    {
        "number": RNG.normal(10, 2, 4_000),
        "count": RNG.integers(0, 9, 4_000),
        "shop": RNG.choice(["north", "south", "east"], 4_000, p=[0.5, 0.3, 0.2]),
        "outcome": RNG.normal(100, 5, 4_000),
        "bought": RNG.random(4_000) < 0.3,
    }
)
numbers = ROWS["number"]


def changed(name: str, column: str, share: float = 1.0, **given: Any) -> pl.Series:
    """The shifted column; every other column, the order of rows and the dtype stay."""
    rows = shift(ROWS, name, column, share=share, **given)
    assert rows.schema == ROWS.schema
    assert rows.drop(column).equals(ROWS.drop(column))
    assert rows.equals(shift(ROWS, name, column, share=share, **given)), "the seed decides"
    return rows[column]


def test_every_shift_changes_about_the_share_that_is_asked_for() -> None:
    columns = {"number": "number", "level": "shop", "nullable": "count", "outcome": "outcome"}
    for name, known in SHIFTS.items():
        column = columns[known.suits]
        differ = (changed(name, column, share=0.3) != ROWS[column]).fill_null(True).mean()
        assert 0.12 < differ < 0.34, name
        assert changed(name, column, share=0.0).equals(ROWS[column]), name
    other = shift(ROWS, "unit", "number", share=0.3, seed=1)
    assert not other.equals(shift(ROWS, "unit", "number", share=0.3))


def test_numbers_move_spread_and_change_their_unit() -> None:
    moved = changed("mean", "number", strength=0.5)
    assert moved.mean() == pytest.approx(numbers.mean() + 0.5 * numbers.std(), abs=0.01)
    assert moved.std() == pytest.approx(numbers.std())
    wider = changed("scale", "number", strength=1.5)
    assert wider.mean() == pytest.approx(numbers.mean())
    assert wider.std() == pytest.approx(1.5 * numbers.std())
    assert changed("unit", "number").to_numpy() == pytest.approx(1.609 * numbers.to_numpy())
    assert changed("unit", "count", strength=1.5).sort().unique().to_list()[-1] == 12
    assert changed("stuck", "number").unique().to_list() == [numbers.sort()[1_999]]


def test_levels_grow_appear_and_go_missing() -> None:
    before = (ROWS["shop"] == "north").mean()
    grown = (changed("share", "shop", share=0.2) == "north").mean()
    assert grown == pytest.approx(before + 0.2 * (1 - before), abs=0.02)
    new = changed("new", "shop", share=0.1)
    assert set(new.unique()) - set(ROWS["shop"].unique()) == {"south1"}
    assert changed("new", "count").unique().to_list() == [9]
    assert changed("missing", "count", share=0.25).null_count() == pytest.approx(1_000, abs=100)


def test_an_outcome_changes_its_relation_or_loses_it() -> None:
    outcome = ROWS["outcome"].to_numpy()
    higher = outcome + 0.7 * outcome.std()
    assert changed("concept", "outcome").to_numpy() == pytest.approx(higher)
    assert changed("concept", "bought").equals(~ROWS["bought"])
    after = {"east": "north", "north": "south", "south": "east"}
    assert changed("concept", "shop").equals(ROWS["shop"].replace(after))
    noise = changed("noise", "outcome")
    assert noise.sort().equals(ROWS["outcome"].sort())
    assert abs(np.corrcoef(noise, outcome)[0, 1]) < 0.05


def test_a_harmless_shift_leaves_rows_out_and_changes_none() -> None:
    fewer = thin(ROWS, "number", 0.6)
    median = numbers.median()
    assert fewer.filter(pl.col("number") >= median).equals(ROWS.filter(numbers >= median))
    assert (fewer["number"] < median).sum() == pytest.approx(0.4 * 2_000, abs=80)
    assert fewer.join(ROWS, on=ROWS.columns, how="anti").is_empty()
    assert fewer["number"].mean() > numbers.mean() + 0.5
