"""Types, text conventions and figures of the columns of an unknown table."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import polars as pl

from ...data.contract import Column, read_columns
from ...data.text import BOOLEANS, MISSING, Text, number_pattern, parse, present
from ...project import UserError

SAMPLE = 10_000  # rows that a guess is made on; it is then held against all
LIKELY = 0.9  # share of distinct values that must fit
FEW_WORDS = 5  # other words among numbers or dates: they can only mean "missing"
TOP = 5
YEARS = (1600, 2300)
NUMERIC, TEMPORAL = ("Int64", "Float64"), ("Date", "Datetime")

# Decimal mark and thousands separator; of those that fit as many columns the first is taken.
NUMBERS = (".", ".,", ",.", ",", ". ", ", ", ".'")
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y"),
    *("%m/%d/%y", "%d/%m/%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)

CLOCKS = (
    *("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M", " %H:%M:%S%.f", "T%H:%M:%S%.f"),
    *(" %I:%M %p", " %I:%M:%S %p", "T%H:%M:%SZ", "T%H:%M:%S%.fZ", "T%H:%M:%S%:z", " %H:%M:%S%:z"),
)


@dataclass(frozen=True, eq=False)
class Profile:
    """One column: its type, the formats of its dates, and its values; `filled` rows have one."""

    name: str
    values: pl.Series
    dtype: str
    formats: tuple[str, ...] | None
    rows: int
    filled: int
    distinct: int
    low: Any
    high: Any
    top: list[tuple[Any, int]]


@dataclass(frozen=True)
class Table:
    """A table whose text has been read, the conventions of its text, and a profile per column."""

    frame: pl.DataFrame
    text: Text
    profiles: dict[str, Profile]


def profile(raw: pl.DataFrame) -> Table:
    """Profile a table; text columns are read as the numbers or dates that they hold."""
    some = raw.sample(min(SAMPLE, raw.height), seed=0).select(pl.col(pl.String).str.strip_chars())
    words = {column.name: column.drop_nulls().unique() for column in some}
    text, columns = find_conventions(words), {}
    for values in raw:
        name = values.name
        dtype, formats = guess(words[name], text) if name in words else (native(values), None)
        columns[name] = Column(
            name=name, dtype=dtype, role="input", nullable=True, formats=formats, description=""
        )
    frame = read_columns(raw, columns.values(), text)
    for name in words:
        filled = raw.select(present(pl.col(name), text)).to_series().is_not_null()
        unread = raw[name].filter(filled & frame[name].is_null()).str.strip_chars()
        unread = unread.unique(maintain_order=True)
        if len(unread) > FEW_WORDS:
            columns[name] = columns[name].model_copy(update={"dtype": "String", "formats": None})
            frame = frame.with_columns(read_columns(raw, [columns[name]], text))
        elif len(unread):
            text = text.model_copy(update={"missing": (*text.missing, *unread)})
    return Table(frame, text, {name: measure(frame[name], columns[name]) for name in columns})


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


def find_conventions(words: dict[str, pl.Series]) -> Text:
    """Find how numbers are written, by the columns that fit, and which words mean "missing"."""
    meant = [values.filter(~values.is_in(["", *MISSING])) for values in words.values()]
    texts = [Text(decimal=m[0], thousands=m[1:] or None) for m in NUMBERS]  # type: ignore[arg-type]
    best = max(texts, key=lambda t: sum(share(v, number_pattern(t)) >= LIKELY for v in meant))
    signs = any(set(values) == {"+", "-"} for values in words.values())
    return best.model_copy(update={"missing": tuple(w for w in MISSING if w != "-" or not signs)})


def share(values: pl.Series, pattern: str) -> float:
    """Return the share of the values that match a pattern."""
    return int(values.str.contains(pattern).sum()) / max(1, len(values))


def guess(values: pl.Series, text: Text) -> tuple[Any, tuple[str, ...] | None]:
    """Guess the type of distinct words, and the formats if they are dates."""
    meant = values.filter(~values.is_in(["", *text.missing]))
    if meant.is_empty():
        return "String", None
    if set(meant.str.to_lowercase()) <= set(BOOLEANS) - {"0", "1"}:
        return "Boolean", None
    # A number with leading zeros is a code: a postal code, an article, an account.
    if share(meant, number_pattern(text)) >= LIKELY and not meant.str.contains(r"^0\d").any():
        whole = not meant.str.contains(rf"\d*[{text.decimal}]\d*|\d[eE]").any()
        return ("Int64" if whole else "Float64"), None
    formats = find_formats(meant) if share(meant, r"\d.*[-/. :].*\d") >= LIKELY else ()
    if formats:
        clock = any("%H" in pattern or "%I" in pattern for pattern in formats)
        return ("Datetime" if clock else "Date"), formats
    return "String", None


def find_formats(words: pl.Series) -> tuple[str, ...]:
    """Find the fewest formats that read the dates, the one that reads most of them first."""
    patterns = [day + clock for day, clock in product(DAYS, CLOCKS)]
    column, dtype = pl.col(words.name), pl.Datetime("us")
    years = [parse(column, dtype, Text(), (p,)).alias(p).dt.year() for p in patterns]
    unread = words.to_frame().select(y.is_between(*YEARS).fill_null(False) for y in years)
    chosen: list[str] = []
    while unread.height:
        counts = unread.sum().row(0)
        if not max(counts):
            break
        chosen.append(patterns[counts.index(max(counts))])
        unread = unread.filter(~pl.col(chosen[-1]))
    return tuple(chosen) if unread.height <= (1 - LIKELY) * len(words) else ()


def measure(values: pl.Series, column: Column) -> Profile:
    """Measure a column: its range, if its values have an order, and its most frequent values."""
    # Without a name: a column may be called `count`, as Polars calls the other one.
    filled = values.drop_nulls().alias("")
    ordered, distinct = column.dtype in (*NUMERIC, *TEMPORAL), filled.n_unique()
    top = filled.value_counts(sort=True).head(TOP).rows()
    return Profile(
        column.name,
        values,
        column.dtype,
        column.formats,
        rows=len(values),
        filled=len(filled),
        distinct=distinct,
        low=filled.min() if ordered else None,
        high=filled.max() if ordered else None,
        # The most frequent of nearly as many values as rows are not typical.
        top=top if 2 * distinct < len(filled) else [],
    )
