"""Text as people write it: missing values, numbers, booleans and dates."""

import re

import polars as pl

MISSING = ("?", "-", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "<NA>")
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
BOOLEANS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)
NUMBER = re.compile(r"(\D*)1(\D?)234(\D)5(\D*)")
NO_BREAK = "[\u00a0\u2009\u202f]"
LIMIT = r"^[<>≤≥]=? ?|\+$"
# Brackets and a trailing minus are signs of bookkeepers.
SIGNS = {LIMIT: "", r"^\((.*)\)$|^(.*)-$": "-$1$2", r"^([+-]) ": "$1"}


def present(column: pl.Expr, missing: tuple[str, ...]) -> pl.Expr:
    """Text without outer blanks; null where it is blank or marks a missing value."""
    stripped = column.str.strip_chars()
    return pl.when(~stripped.is_in(["", *missing])).then(stripped)


def parse(
    column: pl.Expr, dtype: pl.DataType, missing: tuple[str, ...], formats: tuple[str, ...] | None
) -> pl.Expr:
    """Parse text as `dtype` by the first of `formats` that fits; null where none does.

    Dates without formats are read as ISO 8601; those with a time zone become UTC.
    """
    value = present(column, missing)
    if dtype.is_temporal():
        if not formats:
            return value.str.to_datetime(time_unit="us", strict=False).cast(dtype)
        return pl.coalesce(parse_date(value, pattern) for pattern in formats).cast(dtype)
    if dtype == pl.Boolean:
        lower = value.str.to_lowercase()
        return lower.replace_strict(BOOLEANS, default=None, return_dtype=pl.Boolean)
    if not dtype.is_numeric():
        return value
    if formats:
        value = pl.coalesce(plain_number(value, example) for example in formats)
    if dtype.is_integer():  # as pandas writes integers among missing values: 5.0
        value = value.str.replace(r"\.0*$", "")
    return value.cast(dtype, strict=False)


def parse_date(value: pl.Expr, pattern: str) -> pl.Expr:
    """Parse dates; the first of the month where there is no day, 1970-01-01 for a clock time."""
    if not re.search("%[yY]", pattern):
        value, pattern = value.str.replace("^", "1970-01-01 "), f"%Y-%m-%d {pattern}"
    elif "%d" not in pattern:
        value, pattern = value.str.replace("^", "01 "), f"%d {pattern}"
    instant = value.str.strptime(pl.Datetime("us"), pattern, strict=False)
    return instant.dt.replace_time_zone(None)


def plain_number(value: pl.Expr, example: str) -> pl.Expr:
    """Rewrite numbers for a cast; null unless written like the example of 1234.5.

    A limit such as 90+ or <0.5 is read as its number.
    """
    before, thousands, decimal, after = re.fullmatch(NUMBER, example).groups()  # type: ignore[union-attr]
    value = value.str.replace_all(NO_BREAK, " ")
    if unit := (before + after).strip():
        value = pl.when(value.str.contains(unit, literal=True)).then(
            value.str.replace(unit, "", literal=True).str.strip_chars()
        )
    for pattern, plain in SIGNS.items():
        value = value.str.replace(pattern, plain)
    value = pl.when(value.str.contains(number_pattern(thousands, decimal))).then(value)
    value = value.str.replace_all(thousands, "", literal=True)
    return value.str.replace(decimal, ".", literal=True)


def number_pattern(thousands: str, decimal: str) -> str:
    """A regular expression of the numbers with these marks, also of lakhs: 12,34,567."""
    decimal, digits = re.escape(decimal), r"\d+"
    if thousands:
        mark = re.escape(thousands)
        digits = rf"(?:[1-9]\d?\d?(?:{mark}\d\d\d?)*{mark}\d\d\d|\d+)"
    return rf"^[+-]?(?:{digits}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?$"
