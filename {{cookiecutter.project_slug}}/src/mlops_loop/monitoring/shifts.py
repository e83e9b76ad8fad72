"""Named shifts of rows, for tests and `make replay`: what happens to data after a training.

A shift changes one column in a share of the rows, drawn by a seed, and nothing else. A shift of
the outcome changes its relation to the inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

Rng = np.random.Generator


def move(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Raise numbers by so many standard deviations."""
    return values + strength * float(np.nanstd(values.to_numpy()))


def spread(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Multiply the distances of numbers from their mean."""
    mean = float(np.nanmean(values.to_numpy()))
    return mean + strength * (values - mean)


def multiply(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Multiply numbers: 1.609 makes kilometres of miles."""
    return values * strength


def stick(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Repeat one value: the quantile at `strength`."""
    known = values.drop_nulls().sort()
    return known[int(strength * (len(known) - 1))]


def lose(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Replace by a missing value."""
    return None


def favour(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Replace by the most frequent level."""
    return values.drop_nulls().mode().sort()[0]


def invent(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Replace by a level that was not there before: the largest with `strength` behind it."""
    last = values.drop_nulls().sort()[-1]
    return f"{last}{strength:g}" if values.dtype == pl.String else last + strength


def reinterpret(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Raise numbers as `move` does; replace each class by the next one."""
    if values.dtype.is_float():
        return move(values, strength, rng)
    levels = values.drop_nulls().unique().sort().to_list()
    return values.replace_strict(levels, [*levels[1:], *levels[:1]], return_dtype=values.dtype)


def mix(values: pl.Series, strength: float, rng: Rng) -> Any:
    """Replace by the values of other rows."""
    return values.gather(rng.permutation(len(values)))


@dataclass(frozen=True)
class Shift:
    """A change of values, its usual strength, and the columns that it suits."""

    change: Callable[[pl.Series, float, Rng], Any]
    strength: float
    suits: Literal["number", "level", "nullable", "outcome"]


SHIFTS = {
    "mean": Shift(move, 1.0, "number"),
    "scale": Shift(spread, 1.5, "number"),
    "unit": Shift(multiply, 1.609, "number"),
    "stuck": Shift(stick, 0.5, "number"),
    "missing": Shift(lose, 1.0, "nullable"),
    "share": Shift(favour, 1.0, "level"),
    "new": Shift(invent, 1.0, "level"),
    "concept": Shift(reinterpret, 0.7, "outcome"),
    "noise": Shift(mix, 1.0, "outcome"),
}
HARMLESS = "harmless"  # no shift of values: some rows come less often than others


def shift(
    rows: pl.DataFrame,
    name: str,
    column: str,
    strength: float | None = None,
    share: float = 1.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Shift a column by the name of a shift; the dtype stays."""
    rng, values, known = np.random.default_rng(seed), rows[column], SHIFTS[name]
    chosen = pl.Series(rng.random(rows.height) < share)
    changed = known.change(values, known.strength if strength is None else strength, rng)
    if not isinstance(changed, pl.Series):
        changed = pl.repeat(changed, rows.height, dtype=values.dtype, eager=True)
    if values.dtype.is_integer():
        changed = changed.round()
    changed = changed.cast(values.dtype).alias(column)
    return rows.with_columns(changed.zip_with(chosen, values))


def thin(rows: pl.DataFrame, column: str, share: float, seed: int = 0) -> pl.DataFrame:
    """Leave out a share of the rows below the median of a column: harmless, as no value changes.

    Others come more often then, and what a row's inputs say of its outcome stays.
    """
    below = rows[column] < rows[column].median()
    gone = np.random.default_rng(seed).random(rows.height) < share
    return rows.filter(~(below & pl.Series(gone)))
