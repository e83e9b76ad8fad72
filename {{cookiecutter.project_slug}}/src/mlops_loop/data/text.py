"""Conventions of text: markers of missing values, numbers, booleans and dates."""

import re
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from ..config import Section

MISSING = ("?", "-", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None")
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
BOOLEANS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)


class Text(Section):
    """The conventions of a table; blank text always means a missing value."""

    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    missing: Annotated[tuple[str, ...], Field(strict=False)] = MISSING


def present(column: pl.Expr, text: Text) -> pl.Expr:
    """Text without outer blanks; null where it is blank or marks a missing value."""
    stripped = column.str.strip_chars()
    return pl.when(~stripped.is_in(["", *text.missing])).then(stripped)


def parse(
    column: pl.Expr, dtype: pl.DataType, text: Text, formats: tuple[str, ...] | None
) -> pl.Expr:
    """Parse text as `dtype`; null where it is none.

    Dates are read by the first of `formats` that fits, as ISO 8601 where there are none; those
    with a time zone become UTC.
    """
    value = present(column, text)
    if dtype.is_temporal():
        if not formats:
            return value.str.to_datetime(time_unit="us", strict=False).cast(dtype)
        instants = (value.str.strptime(pl.Datetime("us"), f, strict=False) for f in formats)
        return pl.coalesce(instant.dt.replace_time_zone(None) for instant in instants).cast(dtype)
    if dtype == pl.Boolean:
        lower = value.str.to_lowercase()
        return lower.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
    if not dtype.is_numeric():
        return value
    if text.thousands or text.decimal != ".":
        # Without the check "1,5" would lose its comma and be fifteen.
        value = pl.when(value.str.contains(number_pattern(text))).then(value)
        value = value.str.replace_all(text.thousands or "", "", literal=True)
        value = value.str.replace(text.decimal, ".", literal=True)
    if dtype.is_integer():  # as pandas writes integers among missing values: 5.0
        value = value.str.replace(r"\.0*$", "")
    return value.cast(dtype, strict=False)


def number_pattern(text: Text) -> str:
    """A regular expression of the numbers in these conventions."""
    decimal = re.escape(text.decimal)
    digits = r"\d+"
    if text.thousands:
        digits = r"(?:[1-9]\d?\d?(?:" + re.escape(text.thousands) + r"\d\d\d)+|\d+)"
    return rf"^[+-]?(?:{digits}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?$"
