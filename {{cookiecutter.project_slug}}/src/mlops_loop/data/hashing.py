"""Stable hashes of rows, to split them, and keyed hashes of personal data."""

import hashlib
import hmac
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

MISSING, STEP = np.uint64(0x7FF8000000000000), np.uint64(0x9E3779B97F4A7C15)


def stable_hash(frame: pl.DataFrame) -> pl.Series:
    """64 bits a row, from the bits of its values alone: the same with any library version."""
    hashes = np.zeros(frame.height, np.uint64)
    for values in frame.iter_columns():
        hashes = _mix((hashes ^ _bits(values)) + STEP)
    return pl.Series(hashes)


def keyed_hash(values: pl.Series, key: str) -> pl.Series:
    """HMAC-SHA256 of each value's text, as hex; null stays null."""
    secret = key.encode()
    return _map(values, lambda v: hmac.digest(secret, str(v).encode(), "sha256").hex(), pl.String())


def _bits(values: pl.Series) -> npt.NDArray[np.uint64]:
    if values.dtype == pl.String:
        values = _map(values, _hash_text, pl.UInt64())
    elif not values.dtype.is_float():
        values = values.to_physical().cast(pl.Int64)
    # Adding 0 makes -0.0, which equals 0.0, the same bits.
    bits = (values.fill_null(0).to_numpy() + 0).view(np.uint64)
    return np.where(values.is_null() | values.is_nan(), MISSING, bits)


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _map(values: pl.Series, function: Callable[..., object], dtype: pl.DataType) -> pl.Series:
    distinct = values.unique().drop_nulls()
    results = pl.Series([function(value) for value in distinct], dtype=dtype)
    return values.replace_strict(distinct, results, default=None, return_dtype=dtype)


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    # The last steps of the generator splitmix64: every bit of the input changes half of the output.
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
