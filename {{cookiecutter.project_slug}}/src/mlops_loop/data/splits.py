"""Splits by time, by group or by a stable hash."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import polars as pl

from ..project import SPLITS, UserError
from .contract import STORED_ROLES, Contract
from .hashing import stable_hash

VALIDATION_FROM, TEST_FROM = 0.70, 0.85  # shares of the rows
SMALL_TABLE, HASH_RANGE = 1_000, 2**64


def key_columns(contract: Contract, group: str | None) -> list[str]:
    """Columns that order rows into splits: the group, else the time, else ids or inputs."""
    if group:
        return [group]
    return contract.names("time") or contract.names("id") or contract.names("input")


def split_keys(values: pl.DataFrame, contract: Contract, group: str | None) -> pl.Series:
    """One key a row from the values of `key_columns`: its time, else their hash."""
    if contract.names("time") and not group:
        return values.to_series().cast(pl.Datetime("us"))
    return stable_hash(values)


def assign_splits(rows: pl.DataFrame, test_from: date | None) -> pl.Series:
    """The number of each row's split in SPLITS, from its `key` and `class`.

    Raises UserError when a class has too few rows.
    """
    if rows["key"].dtype != pl.UInt64 or rows.is_empty():
        return rows.select(_split(pl.col("key"), *time_cuts(rows["key"], test_from))).to_series()
    counts = rows["class"].drop_nulls().value_counts(name="rows").sort("rows", "class")
    label, count = counts.row(0) if counts.height else (None, len(SPLITS))
    if count < len(SPLITS):
        raise UserError(
            f"class {label!r} of the target has too few rows to split ({count}, at least 3 are "
            "needed); merge it with another in TARGET or drop it by KEEP_ROWS, both in "
            "definitions.py, or bring more rows."
        )
    return rows.select(hash_split().over("class")).to_series()


def hash_split() -> pl.Expr:
    """The split of each row of a class; equal keys stay together, the first ones in train.

    Many keys are cut at fixed values, so that new rows never move old ones; under 1,000 are cut
    where the shares are exact, with a row at least for validation and for test.
    """
    key, rows = pl.col("key"), pl.len().cast(pl.Int64)
    validation = pl.min_horizontal((rows * VALIDATION_FROM).round(), rows - 2)
    test = pl.min_horizontal((rows * TEST_FROM).round(), rows - 1)
    place = key.rank("max").cast(pl.Int64) - 1
    exact = pl.when(key > key.min()).then(_split(place, validation, test)).otherwise(0)
    cuts = (pl.lit(int(share * HASH_RANGE), pl.UInt64) for share in (VALIDATION_FROM, TEST_FROM))
    return pl.when(key.n_unique() < SMALL_TABLE).then(exact).otherwise(_split(key, *cuts))


def time_cuts(times: pl.Series, test_from: date | None) -> tuple[datetime, datetime]:
    """The times at which validation and test begin; the same where train has no rows."""
    ordered, shares, start = times.sort(), (VALIDATION_FROM, TEST_FROM), None
    if test_from:
        start = datetime(test_from.year, test_from.month, test_from.day)
        ordered, shares = ordered.filter(ordered < start), (TEST_FROM, TEST_FROM)
    if ordered.is_empty():
        return start or datetime.max, start or datetime.max
    last = len(ordered) - 1
    validation, test = (ordered[min(round(share * len(ordered)), last)] for share in shares)
    return validation, start or test


def _split(place: pl.Expr, validation: Any, test: Any) -> pl.Expr:
    return pl.sum_horizontal((place >= begin).cast(pl.UInt8) for begin in (validation, test))


def check_params(test_from: date | None, group: str | None, pii: str, contract: Contract) -> None:
    """Raise UserError when the split needs columns that the contract does not have."""
    stored = contract.names(*STORED_ROLES)
    if group and group not in stored:
        raise UserError(f"params.yaml: prepare.group: {group} is none of {stored}.")
    if test_from and (group or not contract.names("time")):
        raise UserError("params.yaml: prepare.test_from needs a time column and no prepare.group.")
    if not stored:
        raise UserError("contract.yaml: no column has role input; features need one at least.")
    hidden = [column.name for column in contract.columns if column.sliced and column.pii]
    if hidden and pii == "drop":
        raise UserError(
            f"contract.yaml: column {hidden[0]}: metrics by its values need them in data/interim, "
            "where prepare.pii: drop leaves no personal data; set it to hash in params.yaml."
        )


def check_splits(rows: Mapping[str, int]) -> None:
    """Raise UserError when a split has no rows."""
    empty = [name for name in SPLITS if not rows[name]]
    if empty:
        counts = ", ".join(f"{name} {rows[name]}" for name in SPLITS)
        raise UserError(
            f"no rows for {' and '.join(empty)} ({counts}); bring more rows, or check KEEP_ROWS in "
            "definitions.py and prepare.test_from in params.yaml."
        )
