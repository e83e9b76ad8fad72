"""Rows made up from contract.yaml, for a checkout that has the contract but not the data."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from . import contract as contracts
from .contract import Column, Contract

# Where the contract sets no limit: the least value, and how far the values spread.
ORDINARY: dict[str, tuple[Any, Any]] = {
    "Int64": (0, 100),
    "Float64": (0.0, 100.0),
    "Date": (date(2024, 1, 1), timedelta(days=730)),
    "Datetime": (datetime(2024, 1, 1), timedelta(days=730)),
}
AFTERWARDS = {"Date": timedelta(days=30), "Datetime": timedelta(hours=1)}
MISSING, NOISE, WORDS, CAUSES = 0.04, 0.1, 20, 3


def generate(contract: Contract, used: Collection[str], rows: int, seed: int) -> pl.DataFrame:
    """Rows that keep the contract, in the order of their time.

    Each outcome follows the first inputs that are in `used`, with noise, so that a model of them
    has something to learn; an outcome that is a date comes soon after the time column.
    """
    rng = np.random.default_rng(seed)
    places = {name: rng.random(rows) for name in contract.names(*contracts.CHECKED_ROLES)}
    places |= {name: np.arange(rows) / rows for name in contract.names("time", "id")}
    causes = [places[name] for name in contract.names("input") if name in used][:CAUSES]
    for name in contract.names("outcome"):
        effect = sum(causes) + rng.normal(0, NOISE, rows)
        places[name] = effect.argsort().argsort() / rows
    columns = [column for column in contract.columns if column.role in contracts.CHECKED_ROLES]
    frame = pl.DataFrame([_values(column, places[column.name]) for column in columns])
    frame = frame.with_columns(_later(contract, places))
    gaps = {c.name: rng.random(rows) < MISSING for c in columns if c.nullable}
    # Without a number of their own, rows of few categories would be duplicates.
    return frame.with_columns(
        pl.when(pl.Series(~gap)).then(pl.col(name)).alias(name)
        for name, gap in gaps.items()
        if name not in contract.names("time", "id")
    ).with_row_index("(row)")


def _values(column: Column, places: Any) -> pl.Series:
    """The value at each place (0 to 1) of what the column may hold."""
    name, dtype = column.name, contracts.DTYPES[column.dtype]
    if column.role == "id" and column.dtype == "String":
        return pl.Series(name, [f"{name} {row}" for row in range(len(places))])
    if column.categories:
        choices = [column.categories[int(place * len(column.categories))] for place in places]
        return pl.Series(name, choices, dtype)
    if column.dtype == "String":
        return pl.Series(name, [f"word {int(place * WORDS)}" for place in places])
    if column.dtype == "Boolean":
        return pl.Series(name, places >= 0.5)
    low, high = (pl.Series([limit]).cast(dtype).to_physical()[0] for limit in _limits(column))
    if column.role == "id":
        return pl.Series(name, low + np.arange(len(places)))
    if column.dtype == "Float64":
        return pl.Series(name, low + places * (high - low))
    return pl.Series(name, (low + places * (high - low + 1)).astype(np.int64)).cast(dtype)


def _limits(column: Column) -> tuple[Any, Any]:
    low, spread = ORDINARY[column.dtype]
    if column.min is not None:
        low = column.min
    elif column.max is not None:
        low = column.max - spread
    return low, low + spread if column.max is None else column.max


def _later(contract: Contract, places: dict[str, Any]) -> list[pl.Expr]:
    """Outcomes that are dates, each in its place of the span after the time column."""
    dates = [c for c in contract.columns if c.role == "outcome" and c.dtype in AFTERWARDS]
    return [
        (pl.col(time).cast(pl.Datetime("us")) + AFTERWARDS[c.dtype] * pl.Series(places[c.name]))
        .cast(contracts.DTYPES[c.dtype])
        .alias(c.name)
        for time in contract.names("time")
        for c in dates
    ]
