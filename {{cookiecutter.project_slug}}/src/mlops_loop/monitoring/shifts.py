"""Named shifts of rows, for tests and `make replay`: what happens to data after a training.

A shift changes one column in a share of the rows, drawn by a seed, and nothing else. A shift of
the outcome changes its relation to the inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

Change = Callable[[pl.Series, float, np.random.Generator], Any]


@dataclass(frozen=True)
class Shift:
    """A change of values by a strength, its usual strength, and the columns that it suits."""

    change: Change
    strength: float
    suits: Literal["number", "level", "nullable", "outcome"]


def move(values: pl.Series, strength: float, _: object) -> pl.Series:
    """Raise numbers by so many standard deviations."""
    return values + strength * float(np.nanstd(values.to_numpy()))


def spread(values: pl.Series, strength: float, _: object) -> pl.Series:
    """Multiply the distances of numbers from their mean."""
    mean = float(np.nanmean(values.to_numpy()))
    return mean + strength * (values - mean)


def invent(values: pl.Series, strength: float, _: object) -> Any:
    """Replace by a level that was not there before: the largest with `strength` behind it."""
    last = values.drop_nulls().sort()[-1]
    return f"{last}{strength:g}" if values.dtype == pl.String else last + strength


def reinterpret(values: pl.Series, strength: float, _: object) -> pl.Series:
    """Raise numbers as `move` does; replace each class by the next one."""
    if values.dtype.is_float():
        return move(values, strength, _)
    levels = values.drop_nulls().unique().sort().to_list()
    return values.replace_strict(levels, [*levels[1:], *levels[:1]], return_dtype=values.dtype)


SHIFTS = {
    "mean": Shift(move, 1.0, "number"),
    "scale": Shift(spread, 1.5, "number"),
    # Kilometres instead of miles.
    "unit": Shift(lambda values, strength, _: values * strength, 1.609, "number"),
    # One value: the quantile at the strength.
    "stuck": Shift(lambda values, at, _: values.quantile(at, "lower"), 0.5, "number"),
    "missing": Shift(lambda values, *_: None, 1.0, "nullable"),
    # The most frequent level.
    "share": Shift(lambda values, *_: values.drop_nulls().mode().sort()[0], 1.0, "level"),
    "new": Shift(invent, 1.0, "level"),
    "concept": Shift(reinterpret, 0.7, "outcome"),
    # The values of other rows.
    "noise": Shift(lambda old, _, rng: old.gather(rng.permutation(len(old))), 1.0, "outcome"),
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
