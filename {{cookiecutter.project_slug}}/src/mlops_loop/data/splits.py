"""Splits by time, by group or by a stable hash; keyed hashes of personal data."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ..project import SPLITS, UserError
from .contract import STORED_ROLES, Contract

VALIDATION_FROM, TEST_FROM = 0.70, 0.85  # shares of the rows
SMALL_TABLE, HASH_RANGE = 1_000, 2**64
FOLDS = 5  # of the out-of-fold values of fitted features
MISSING, STEP = np.uint64(0x7FF8000000000000), np.uint64(0x9E3779B97F4A7C15)


def split_key(contract: Contract, group: str | None) -> pl.Expr:
    """The key that orders rows into splits: the time, else a hash of the group, ids or inputs."""
    if not group:
        for time in contract.names("time"):
            return pl.col(time).cast(pl.Datetime("us"))
    return hash_rows([group] if group else contract.names("id") or contract.names("input"))


def hash_rows(names: list[str]) -> pl.Expr:
    """The stable hash of the values of some columns."""
    return pl.struct(names).map_batches(
        lambda rows: stable_hash(rows.struct.unnest()), return_dtype=pl.UInt64()
    )


def assign_splits(rows: pl.DataFrame, test_from: date | None) -> pl.Series:
    """The number of each row's split in SPLITS, from its `key` and `class`.

    Raises UserError when a class has too few rows.
    """
    if rows["key"].dtype != pl.UInt64 or rows.is_empty():
        return rows.select(_split(pl.col("key"), *time_cuts(rows["key"], test_from))).to_series()
    counts = rows["class"].drop_nulls().value_counts(name="rows").sort("rows", "class")
    for label, count in counts.filter(pl.col("rows") < len(SPLITS)).rows():
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


def assign_folds(rows: pl.DataFrame, contract: Contract, group: str | None) -> pl.Series:
    """The number of the fold of each row of data/interim/train, divided as the splits are.

    Groups stay together, else folds follow each other in time, else equal ids or inputs stay
    together. Raises UserError where fewer than two folds come of it.
    """
    time = [] if group else [*contract.dtypes("time")]
    names = [group] if group else time or contract.names("id") or contract.names("input")
    kept = rows.select(name for name in names if name in rows.columns)
    key = kept.to_series() if time else stable_hash(kept)
    if key.n_unique() < 2:
        raise UserError(
            f"FITTED in definitions.py needs two values of {', '.join(names)} in data/interim/train"
            " at least; personal data are there with prepare.pii: hash in params.yaml."
        )
    return (key.rank("dense") - 1) * FOLDS // key.n_unique()


def is_old(contract: Contract, since: date, old_share: float) -> pl.Expr:
    """Rows before `since`, but for the share of them that a stable hash of their inputs keeps.

    Raises UserError for a contract without a time column.
    """
    if not contract.names("time"):
        raise UserError("params.yaml: prepare.since and until need a time column.")
    old = pl.col(contract.names("time")[0]).cast(pl.Datetime("us")) < since
    left_out = hash_rows(contract.names("input")) >= pl.lit(int(old_share * HASH_RANGE), pl.UInt64)
    return old & left_out


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
    if empty := [name for name in SPLITS if not rows[name]]:
        counts = ", ".join(f"{name} {rows[name]}" for name in SPLITS)
        raise UserError(
            f"no rows for {' and '.join(empty)} ({counts}); bring more rows, or check KEEP_ROWS in "
            "definitions.py and prepare.test_from in params.yaml."
        )


def stable_hash(frame: pl.DataFrame) -> pl.Series:
    """64 bits a row, from the bits of its values alone: the same with any library version."""
    hashes = np.zeros(frame.height, np.uint64)
    for values in frame.iter_columns():
        # The last steps of the generator splitmix64: a bit of the input changes half of the output.
        hashes = (hashes ^ _bits(values)) + STEP
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes ^= hashes >> np.uint64(31)
    return pl.Series(hashes)


def keyed_hash(values: pl.Series, key: str) -> pl.Series:
    """HMAC-SHA256 of each value's text, as hex; null stays null."""
    secret = key.encode()
    return _map(values, lambda v: hmac.digest(secret, str(v).encode(), "sha256").hex(), pl.String())


def _bits(values: pl.Series) -> npt.NDArray[np.uint64]:
    """64 bits that stand for each value, MISSING for null and NaN."""
    if values.dtype == pl.String:
        digest = partial(hashlib.blake2b, digest_size=8)
        values = _map(values, lambda v: int.from_bytes(digest(v.encode()).digest()), pl.UInt64())
    elif not values.dtype.is_float():
        values = values.to_physical().cast(pl.Int64)
    # Adding 0 makes -0.0, which equals 0.0, the same bits.
    bits = (values.fill_null(0).to_numpy() + 0).view(np.uint64)
    return np.where(values.is_null() | values.is_nan(), MISSING, bits)


def _map(values: pl.Series, function: Callable[..., object], dtype: pl.DataType) -> pl.Series:
    distinct = values.unique().drop_nulls()
    results = pl.Series([function(value) for value in distinct], dtype=dtype)
    return values.replace_strict(distinct, results, default=None, return_dtype=dtype)
