"""Generated rows that keep contract.yaml, for a checkout without the data."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from .contract import CHECKED_ROLES, DTYPES, Column, Contract

# Where the contract sets no limit: the least value, and how far the values spread.
ORDINARY: dict[str, tuple[Any, Any]] = {
    "Int64": (0, 100),
    "Float64": (0.0, 100.0),
    "Date": (date(2024, 1, 1), timedelta(days=730)),
    "Datetime": (datetime(2024, 1, 1), timedelta(days=730)),
}
AFTERWARDS = {"Date": timedelta(days=30), "Datetime": timedelta(hours=1)}
CHOICES = {"String": tuple(f"word {number}" for number in range(20)), "Boolean": (False, True)}
MISSING, NOISE, CAUSES = 0.04, 0.1, 3


def generate(contract: Contract, used: Collection[str], rows: int, seed: int) -> pl.DataFrame:
    """Generate rows that keep the contract, in the order of their time.

    Each outcome follows the first inputs that are in `used`, with noise, so that a model of them
    has something to learn; an outcome that is a date comes soon after the time column.
    """
    rng = np.random.default_rng(seed)
    places = {name: rng.random(rows) for name in contract.names(*CHECKED_ROLES)}
    places |= {name: np.arange(rows) / rows for name in contract.names("time", "id")}
    causes = [places[name] for name in contract.names("input") if name in used][:CAUSES]
    for name in contract.names("outcome"):
        effect = sum(causes) + rng.normal(0, NOISE, rows)
        places[name] = effect.argsort().argsort() / rows
    columns = [column for column in contract.columns if column.role in CHECKED_ROLES]
    frame = pl.DataFrame([_values(column, places[column.name]) for column in columns])
    for time in contract.names("time"):
        for column in columns:
            if column.role == "outcome" and column.dtype in AFTERWARDS:
                later = AFTERWARDS[column.dtype] * pl.Series(places[column.name])
                start = pl.col(time).cast(pl.Datetime("us"))
                value = (start + later).cast(DTYPES[column.dtype])
                frame = frame.with_columns(value.alias(column.name))
    gaps = {c.name: rng.random(rows) < MISSING for c in columns if c.nullable}
    # Without a number of their own, rows of few categories would be duplicates.
    return frame.with_columns(
        pl.when(pl.Series(~gap)).then(pl.col(name)).alias(name)
        for name, gap in gaps.items()
        if name not in contract.names("time", "id")
    ).with_row_index("(row)")


def _values(column: Column, places: Any) -> pl.Series:
    """The value at each place (0 to 1) of what the column may hold."""
    name = column.name
    dtype = DTYPES[column.dtype]
    choices = column.categories or CHOICES.get(column.dtype)
    if column.role == "id" and column.dtype == "String":
        texts = [f"{name} {row}" for row in range(len(places))]
        return pl.Series(name, texts)
    if choices:
        chosen = [choices[int(place * len(choices))] for place in places]
        return pl.Series(name, chosen, dtype)
    low, spread = ORDINARY[column.dtype]
    if column.min is not None:
        low = column.min
    elif column.max is not None:
        low = column.max - spread
    high = low + spread if column.max is None else column.max
    limits = (low, high)
    low, high = (pl.Series([limit]).cast(dtype).to_physical()[0] for limit in limits)
    if column.role == "id":
        return pl.Series(name, low + np.arange(len(places)))
    if column.dtype == "Float64":
        return pl.Series(name, low + places * (high - low))
    return pl.Series(name, (low + places * (high - low + 1)).astype(np.int64)).cast(dtype)
