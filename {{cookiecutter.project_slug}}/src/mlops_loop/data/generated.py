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
CHOICES = {"String": tuple(f"word {number}" for number in range(20)), "Boolean": (False, True)}
MISSING, NOISE, CAUSES = 0.04, 0.1, 3


def generate(contract: Contract, used: Collection[str], rows: int, seed: int) -> pl.DataFrame:
    """Generate rows that keep the contract, in the order of their time.

    Each outcome follows the first inputs that are in `used`, with noise, so that a model of them
    has something to learn.
    """
    rng = np.random.default_rng(seed)
    columns = [column for column in contract.columns if column.role in CHECKED_ROLES]
    places = {column.name: rng.random(rows) for column in columns}
    causes = [places[name] for name in contract.names("input") if name in used][:CAUSES]
    # Without a number of their own, rows of few categories would be duplicates.
    frame = pl.DataFrame({" (row)": range(rows)})
    for column in columns:
        place, filled = places[column.name], rng.random(rows) >= MISSING
        if column.role in ("time", "id"):
            place, filled = (np.arange(rows) + 0.5) / rows, filled | True
        if column.role == "outcome":
            place = (sum(causes) + rng.normal(0, NOISE, rows)).argsort().argsort() / rows
        kept = pl.Series(filled | (not column.nullable))
        values = pl.when(kept).then(_values(column, place))
        frame = frame.with_columns(values.alias(column.name))
    return frame


def _values(column: Column, places: Any) -> pl.Series:
    """The value at each place (0 to 1) of what the column may hold."""
    name, dtype = column.name, DTYPES[column.dtype]
    choices = column.categories or CHOICES.get(column.dtype)
    if column.role == "id" and column.dtype == "String":
        choices = tuple(f"{name} {row}" for row in range(len(places)))
    if choices:
        chosen = [choices[int(place * len(choices))] for place in places]
        return pl.Series(name, chosen, dtype)
    low, spread = ORDINARY[column.dtype]
    if column.min is not None:
        low = column.min
    elif column.max is not None:
        low = column.max - spread
    high = low + spread if column.max is None else column.max
    low, high = (pl.Series([limit]).cast(dtype).to_physical()[0] for limit in (low, high))
    if column.role == "id":
        high = low + len(places) - 1
    if column.dtype == "Float64":
        return pl.Series(name, low + places * (high - low))
    return pl.Series(name, (low + places * (high - low + 1)).astype(np.int64)).cast(dtype)
