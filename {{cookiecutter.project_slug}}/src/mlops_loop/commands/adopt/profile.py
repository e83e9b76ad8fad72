"""Types, formats and figures of the columns of an unknown table."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal

import polars as pl

from ...data.contract import Column, read_columns
from ...data.text import BOOLEANS, LIMIT, MISSING, NUMBER, parse_date, plain_number, present
from ...project import UserError

SAMPLE = 10_000  # rows that a guess is made on; it is then held against all
LIKELY = 0.9  # share of distinct values that must fit
FEW_WORDS = 5  # other words among numbers or dates: they can only mean "missing"
TRIED = 200  # dates that every format is tried on
YEARS = (1600, 2300)
Kind = Literal["number", "category", "date"]
NUMERIC, TEMPORAL = ("Int64", "Float64"), ("Date", "Datetime")

UNIT = r"[A-Z]{0,2}\p{Sc}|%|USD|EUR|GBP|CHF"
# Ways to write 1234.5; of those that fit as many columns the first is taken.
NUMBERS = ("1234.5", "1,234.5", "1.234,5", "1234,5", "1 234.5", "1 234,5", "1'234.5")
SORTABLE = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
DAYS = (
    *("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y"),
    *("%d/%m/%y", "%m-%d-%y", "%d-%m-%y", "%d/%b/%Y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y"),
    *("%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)
MONTHS = ("%b-%Y", "%b %Y", "%B %Y", "%b-%y", "%Y-%m", "%m/%Y")
CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p")
ZONES = ("", " UTC", " GMT", "%#z", " %#z")
PATTERNS = (
    *(*SORTABLE, *DAYS, *MONTHS, *CLOCKS),
    *map("".join, product(SORTABLE, " T", (*CLOCKS, "%H%M%S"), ZONES)),
    *map("".join, product(DAYS, " ", CLOCKS)),
)


@dataclass(frozen=True)
class Profile:
    """A column of the contract, its values, remarks on them, and the kind of its feature."""

    column: Column
    values: pl.Series
    remarks: tuple[str, ...] = ()
    kind: Kind | None = None

    @cached_property
    def filled(self) -> int:
        """The number of rows with a value."""
        return self.values.count()

    @cached_property
    def distinct(self) -> int:
        """The number of different values."""
        return self.values.drop_nulls().n_unique()

    @property
    def limits(self) -> tuple[Any, Any]:
        """The least and the greatest value."""
        return self.values.min(), self.values.max()

    @property
    def clock(self) -> bool:
        """True for clock times without a date."""
        return not set(CLOCKS).isdisjoint(self.column.formats or ())

    @property
    def parts(self) -> list[str]:
        """The parts of its dates that are features."""
        if self.clock:
            return ["hour", "minute"]
        return ["year", "month", "weekday"] + ["hour"] * (self.column.dtype == "Datetime")


def profile(raw: pl.DataFrame) -> dict[str, Profile]:
    """Profile a table; text columns are read as the numbers or dates that they hold."""
    some = raw.sample(min(SAMPLE, raw.height), seed=0).select(pl.col(pl.String).str.strip_chars())
    missing = {c.name: MISSING if set(c) != {"+", "-"} else () for c in some}
    words = {n: some[n].filter(~some[n].is_in(["", *missing[n]])).unique() for n in missing}
    fitting = {name: find_numbers(found) for name, found in words.items()}
    common = Counter(number for numbers in fitting.values() for number in numbers)
    profiles = {}
    for values in raw:
        name, formats, dtype = values.name, None, native(values)
        if name in words:
            number = max(fitting[name], key=lambda number: common[number], default=None)
            dtype, formats = guess(words[name], number)
        how = {"dtype": dtype, "formats": formats, "missing": missing.get(name, MISSING)}
        column = Column(name=name, role="input", nullable=True, description="", **how)
        profiles[name] = read(values, column)
    return profiles


def read(values: pl.Series, column: Column) -> Profile:
    """Read a column; a few words that do not fit mean "missing", with more of them it is text."""
    typed = read_columns(values.to_frame(), [column]).to_series()
    if values.dtype != pl.String:
        return Profile(column, typed)
    given = values.to_frame().select(present(pl.col(values.name), ())).to_series()
    odd = given.filter(typed.is_null() & ~given.is_in(column.missing)).unique(maintain_order=True)
    digits = column.dtype in NUMERIC and odd.str.contains(r"\d").any()
    if len(odd) > FEW_WORDS or digits:
        return read(values, column.model_copy(update={"dtype": "String", "formats": None}))
    if len(odd):
        column = column.model_copy(update={"missing": (*column.missing, *odd)})
    counts = given.filter(given.is_in(column.missing)).alias("").value_counts(sort=True)
    remarks = [f"{count:,} values {word!r} read as missing" for word, count in counts.rows()[:3]]
    if column.dtype in NUMERIC:
        limits = given.filter(given.str.contains(LIMIT)).head(1)
        remarks += [f"limits such as {limit} read as the number" for limit in limits]
    for pattern in column.formats or ():
        if swapped := other_reading(given.filter(typed.is_not_null()), pattern):
            remarks.append(f"read as {pattern}, though {swapped} fits as well")
    return Profile(column, typed, tuple(remarks))


def native(values: pl.Series) -> Any:
    """Name the contract's dtype of values that are not text; raises UserError for nested ones."""
    dtype = values.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Duration, pl.Object):
        raise UserError(
            f"{values.name}: holds {dtype}; keep numbers, text, dates or truth, a column for each."
        )
    if dtype.is_integer():  # larger ones count nothing: they are codes
        whole = values.cast(pl.Int64, strict=False)
        return "Int64" if values.is_null().equals(whole.is_null()) else "String"
    if dtype.is_numeric():
        return "Float64"
    names = {pl.Boolean: "Boolean", pl.Date: "Date", pl.Datetime: "Datetime"}
    return names.get(dtype.base_type(), "String")


def guess(words: pl.Series, number: str | None) -> tuple[Any, tuple[str, ...] | None]:
    """Guess the type and formats of distinct words, which may be numbers that are written so."""
    if words.is_empty():
        return "String", None
    if set(words.str.to_lowercase()) <= set(BOOLEANS) - {"0", "1"}:
        return "Boolean", None
    digits = r"^(19|20)\d{6}$" if number else r"\d.*\d.*\d|\pL.*\d\d"
    share = words.str.contains(digits).sum() / len(words)
    if share >= (1 if number else LIKELY) and (formats := find_formats(words)):
        clock = any("%H" in pattern or "%I" in pattern for pattern in formats)
        return ("Datetime" if clock else "Date"), formats
    if number is None:
        return "String", None
    example = write_unit(words, number)
    plain = plain_words(words, example)
    dtype = "Float64" if plain.str.contains("[.eE]").any() else "Int64"
    return dtype, None if (plain == words).all() else (example,)


def find_numbers(words: pl.Series) -> list[str]:
    """Find the ways to write 1234.5 that fit; none for codes with leading zeros, and for limits."""
    if words.str.contains(r"^0\d").any() or words.str.contains(LIMIT).sum() > len(words) / 2:
        return []
    fitting = []
    for number in NUMBERS:
        read = plain_words(words, write_unit(words, number)).is_not_null()
        thousands, decimal = re.escape(number[1:-5]), re.escape(number[-2])
        grouped = words.str.contains(f"{thousands}\\d\\d\\d") & bool(thousands)
        fraction = words.str.contains(rf"{decimal}\d+\D*$")
        # 52.123 among 12,5: the decimal mark of another program rather than a thousand.
        mixed = grouped.any() and fraction.any() and not (grouped & fraction).any()
        if read.any() and read.sum() >= LIKELY * len(words) and not mixed:
            fitting.append(number)
    return fitting


def write_unit(words: pl.Series, number: str) -> str:
    """Return a way to write 1234.5 with the currency or percent sign of the words, if any."""
    units = words.str.extract(f"({UNIT})").drop_nulls().mode().sort().head(1)
    for unit in units:
        first = words.str.contains(rf"^\W*{re.escape(unit)}").any()
        return f"{unit}{number}" if first else f"{number}{unit}"
    return number


def plain_words(words: pl.Series, example: str) -> pl.Series:
    """Rewrite the words that are numbers as `plain_number` does."""
    return words.to_frame().select(plain_number(pl.col(words.name), example)).to_series()


def find_formats(words: pl.Series) -> tuple[str, ...]:
    """Find formats that read the dates, each time the one that reads most of those left."""
    unread, column, chosen = words.to_frame(), pl.col(words.name), list[str]()

    def fits(pattern: str) -> pl.Expr:
        year = parse_date(column, pattern).dt.year()
        return year.is_between(*YEARS).fill_null(False).alias(pattern)

    while unread.height:
        counts = unread.head(TRIED).select(map(fits, PATTERNS)).sum().row(0)
        if not max(counts):
            break
        chosen.append(PATTERNS[counts.index(max(counts))])
        unread = unread.filter(~fits(chosen[-1]))
    return tuple(chosen) if unread.height <= (1 - LIKELY) * len(words) else ()


def other_reading(words: pl.Series, pattern: str) -> str | None:
    """Return a format with day and month, or the marks, swapped that reads all words as well."""
    number = NUMBER.fullmatch(pattern)
    if number and number[2] in (".", ","):
        same = words.str.contains(rf"^\D*\d+[{number[2]}]\d\d\d\D*$").all()
        return f"1234{number[2]}5" if same else None
    swapped = re.sub(r"^%([md])([/-])%([md])", r"%\3\2%\1", pattern)
    read = words.to_frame().select(parse_date(pl.col(words.name), swapped).is_not_null())
    return swapped if swapped != pattern and read.to_series().all() else None
