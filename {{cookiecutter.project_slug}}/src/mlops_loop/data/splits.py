"""Splits by time, by group or by a stable hash."""

from datetime import date, datetime
from typing import Any

import polars as pl

from ..project import SPLITS, UserError
from .contract import STORED_ROLES, Contract
from .hashing import stable_hash

TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
SMALL_TABLE = 1_000
HASH_RANGE = 2**64


def key_columns(contract: Contract, group: str | None) -> list[str]:
    """What orders rows into splits: their group, else their time, else their id or inputs."""
    if group:
        return [group]
    return contract.names("time") or contract.names("id") or contract.names("input")


def split_keys(values: pl.DataFrame, contract: Contract, group: str | None) -> pl.Series:
    """The values of `key_columns` as one: a time as it is, anything else hashed."""
    if contract.names("time") and not group:
        return values.to_series().cast(pl.Datetime("us"))
    return stable_hash(values)


def assign(rows: pl.DataFrame, test_from: date | None) -> pl.Series:
    """The number of each row's split in SPLITS, from its `key` and `class`.

    Raises UserError when there are no rows, or too few of a class.
    """
    if rows["key"].dtype == pl.UInt64 and not rows.is_empty():
        check_classes(rows["class"])
        return rows.select(by_hash().over("class")).to_series()
    cuts = cut_points(rows["key"], test_from)
    return rows.select(_split(pl.col("key"), *cuts)).to_series()


def by_hash() -> pl.Expr:
    """The split of each row of a class; equal keys stay together, the first ones in train.

    Many keys are cut at fixed values, so that new rows never move old ones; under 1,000 are cut
    where the shares are exact, with a row at least for validation and for test.
    """
    key, rows = pl.col("key"), pl.len().cast(pl.Int64)
    begins = TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE
    validation, test = (
        pl.min_horizontal((rows * begin).round(), rows - left)
        for begin, left in zip(begins, (2, 1), strict=True)
    )
    place = key.rank("max").cast(pl.Int64) - 1
    exact = pl.when(key > key.min()).then(_split(place, validation, test)).otherwise(0)
    fixed = _split(key, *(pl.lit(int(begin * HASH_RANGE), pl.UInt64) for begin in begins))
    return pl.when(key.n_unique() < SMALL_TABLE).then(exact).otherwise(fixed)


def cut_points(times: pl.Series, test_from: date | None) -> tuple[datetime, datetime]:
    """The times at which validation and test begin."""
    if test_from:
        start = datetime(test_from.year, test_from.month, test_from.day)
        return _at(times.filter(times < start).sort(), 1 - VALIDATION_SHARE), start
    ordered = times.sort()
    return _at(ordered, TRAIN_SHARE), _at(ordered, TRAIN_SHARE + VALIDATION_SHARE)


def _at(ordered: pl.Series, share: float) -> Any:
    if ordered.is_empty():
        raise UserError(
            "no rows are left to train on; check KEEP_ROWS in definitions.py and prepare.test_from."
        )
    return ordered[min(round(share * len(ordered)), len(ordered) - 1)]


def _split(place: pl.Expr, validation: Any, test: Any) -> pl.Expr:
    return pl.sum_horizontal((place >= begin).cast(pl.UInt8) for begin in (validation, test))


def check_classes(classes: pl.Series) -> None:
    """Raise UserError when a class has too few rows to be in every split."""
    counts = classes.drop_nulls().value_counts(name="rows")
    few = counts.filter(pl.col("rows") < len(SPLITS)).sort("rows", "class")
    if not few.is_empty():
        label, rows = few.row(0)
        raise UserError(
            f"class {label!r} of the target has too few rows to split ({rows}, at least 3 are "
            "needed); merge it with another in TARGET or drop it by KEEP_ROWS, both in "
            "definitions.py, or bring more rows."
        )


def check_params(test_from: date | None, group: str | None, pii: str, contract: Contract) -> None:
    """Raise UserError when the split asks for columns that the contract does not have."""
    groups = contract.names(*STORED_ROLES)
    if group and group not in groups:
        raise UserError(f"params.yaml: prepare.group: {group} is none of {groups}.")
    if test_from and (group or not contract.names("time")):
        raise UserError("params.yaml: prepare.test_from needs a time column and no prepare.group.")
    if not groups:
        raise UserError("contract.yaml: no column has role input; features need one at least.")
    hidden = [column.name for column in contract.columns if column.sliced and column.pii]
    if hidden and pii == "drop":
        raise UserError(
            f"contract.yaml: column {hidden[0]}: metrics by its values need them in data/interim, "
            "where prepare.pii: drop leaves none of personal data; set it to hash in params.yaml."
        )


def check_splits(rows: dict[str, int]) -> None:
    """Raise UserError when a split has no rows: nothing could be learnt or judged."""
    empty = [name for name in SPLITS if not rows[name]]
    if empty:
        raise UserError(
            f"no rows for {' and '.join(empty)} (train {rows['train']}, validation "
            f"{rows['validation']}, test {rows['test']}); bring more rows or move test_from."
        )
