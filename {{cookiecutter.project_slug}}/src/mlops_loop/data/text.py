"""How text stands for values: words for nothing, numbers, truth and dates."""

import re
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from ..config import Section

MISSING = ("?", "-", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None")

TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}

INSTANT = r"^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}\.[0-9]{6}$"  # as Polars writes it


class Text(Section):
    """The conventions of a table; blank text always means a missing value."""

    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    missing: Annotated[tuple[str, ...], Field(strict=False)] = MISSING

    @property
    def plain(self) -> bool:
        """Whether numbers are written as in Python, and neither they nor dates mean missing."""
        words = "".join(self.missing)
        return self.decimal == "." and not self.thousands and not any(map(str.isdigit, words))


def present(column: pl.Expr, text: Text) -> pl.Expr:
    """Text without outer blanks; null where it says that there is no value."""
    stripped = column.str.strip_chars()
    return pl.when(~stripped.is_in(["", *text.missing])).then(stripped)


def read(
    column: pl.Expr, dtype: pl.DataType, text: Text, formats: tuple[str, ...] | None
) -> pl.Expr:
    """The values that text stands for, null for what is no `dtype`.

    Dates are read by the first of `formats` that fits, as ISO 8601 where there are none; those
    with a time zone become UTC.
    """
    said = present(column, text)
    if dtype.is_temporal():
        return _instants(said, formats).cast(dtype)
    if dtype == pl.Boolean:
        return said.str.to_lowercase().replace_strict(TRUTH, default=None, return_dtype=pl.Boolean)
    return _number(said, dtype, text) if dtype.is_numeric() else said


def read_plain(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """What `read` makes of the commonest text, in a fifth of its time; null for most other text."""
    if dtype.is_integer():
        return column.str.strip_suffix(".0").cast(dtype, strict=False)
    if dtype.is_temporal():
        instant = column.str.strptime(pl.Datetime("us"), "%FT%T.%6f", strict=False, cache=False)
        return pl.when(column.str.contains(INSTANT)).then(instant)
    number = column.cast(dtype, strict=False)
    return pl.when(number.is_finite()).then(number)


def _instants(said: pl.Expr, formats: tuple[str, ...] | None) -> pl.Expr:
    if not formats:
        return said.str.to_datetime(time_unit="us", strict=False)
    return pl.coalesce(_instant(said, pattern) for pattern in formats)


def _instant(said: pl.Expr, pattern: str) -> pl.Expr:
    instant = said.str.strptime(pl.Datetime("us"), pattern, strict=False)
    return instant.dt.replace_time_zone(None) if "z" in pattern else instant


def _number(said: pl.Expr, dtype: pl.DataType, text: Text) -> pl.Expr:
    if text.thousands or text.decimal != ".":
        # Without the check "1,5" would lose its comma and be fifteen.
        said = pl.when(said.str.contains(number_pattern(text))).then(said)
        said = said.str.replace_all(text.thousands or "", "", literal=True)
        said = said.str.replace(text.decimal, ".", literal=True)
    if dtype.is_integer():  # as CSV files of pandas hold integers among missing values: 5.0
        said = said.str.replace(r"\.0*$", "")
    return said.cast(dtype, strict=False)


def number_pattern(text: Text) -> str:
    """A regular expression of what is a number in these conventions."""
    decimal = re.escape(text.decimal)
    digits = r"\d+"
    if text.thousands:
        digits = r"(?:[1-9]\d?\d?(?:" + re.escape(text.thousands) + r"\d\d\d)+|\d+)"
    return rf"^[+-]?(?:{digits}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?$"
