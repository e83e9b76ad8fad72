"""What the columns of an unknown table hold: types, conventions of text, and figures."""

from dataclasses import dataclass, field
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

# Decimal mark and thousands separator; of those that fit as many columns the first is taken.
NUMBERS = ((".", None), (".", ","), (",", "."), (",", None), (".", " "), (",", " "), (".", "'"))

DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y"),
    *("%m/%d/%y", "%d/%m/%y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"),
)

CLOCKS = (
    *("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M", " %H:%M:%S%.f", "T%H:%M:%S%.f"),
    *(" %I:%M %p", " %I:%M:%S %p", "T%H:%M:%SZ", "T%H:%M:%S%.fZ", "T%H:%M:%S%:z", " %H:%M:%S%:z"),
)


@dataclass(frozen=True)
class Profile:
    """One column: its type, how its text is read, and what it holds."""

    name: str
    dtype: str
    formats: tuple[str, ...] | None
    rows: int
    missing: int
    distinct: int
    low: Any
    high: Any
    top: list[tuple[Any, int]] = field(default_factory=list)

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing


@dataclass(frozen=True)
class Table:
    """A table whose text has been read, how it was read, and a profile of each column."""

    frame: pl.DataFrame
    text: Text
    profiles: dict[str, Profile]


def profile(raw: pl.DataFrame) -> Table:
    """Find out what a table holds; text columns are read as the numbers or dates that they are."""
    some = raw.sample(min(SAMPLE, raw.height), seed=0).select(pl.col(pl.String).str.strip_chars())
    words = {column.name: column.drop_nulls().unique() for column in some}
    text = _conventions(words)
    columns = {values.name: _column(values, words, text) for values in raw}
    frame = read_columns(raw, columns.values(), text)
    said = raw.select(present(pl.col(name), text) for name in words).null_count()
    for name in words:
        if frame[name].null_count() == said[name].item():
            continue
        unread = raw.filter(present(pl.col(name), text).is_not_null() & frame[name].is_null())
        nothing = unread[name].str.strip_chars().unique()
        if len(nothing) <= FEW_WORDS:
            text = text.model_copy(update={"missing": (*text.missing, *nothing)})
        else:
            columns[name] = columns[name].model_copy(update={"dtype": "String", "formats": None})
            frame = frame.with_columns(read_columns(raw, [columns[name]], text))
    return Table(frame, text, {name: _figures(frame[name], columns[name]) for name in columns})


def _column(values: pl.Series, words: dict[str, pl.Series], text: Text) -> Column:
    name = values.name
    kind, formats = _guess(words[name], text) if name in words else (_kind(values), None)
    return Column(
        name=name, dtype=kind, role="input", nullable=True, formats=formats, description=""
    )


def _kind(values: pl.Series) -> Any:
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


def _conventions(words: dict[str, pl.Series]) -> Text:
    """How numbers are written, by the columns that fit, and which words mean "missing"."""
    meant = [values.filter(~values.is_in(["", *MISSING])) for values in words.values()]
    texts = [Text(decimal=decimal, thousands=mark) for decimal, mark in NUMBERS]  # type: ignore[arg-type]
    votes = [sum(_fit(values, number_pattern(text)) for values in meant) for text in texts]
    best = texts[votes.index(max(votes))]
    signs = any(set(values) == {"+", "-"} for values in words.values())
    return best.model_copy(update={"missing": tuple(w for w in MISSING if w != "-" or not signs)})


def _fit(values: pl.Series, pattern: str) -> bool:
    return len(values) > 0 and _share(values.str.contains(pattern)) >= LIKELY


def _share(fits: pl.Series) -> float:
    return int(fits.sum()) / len(fits)


def _guess(values: pl.Series, text: Text) -> tuple[Any, tuple[str, ...] | None]:
    """The type of some distinct words, and the formats if they are dates."""
    meant = values.filter(~values.is_in(["", *text.missing]))
    if meant.is_empty():
        return "String", None
    if set(meant.str.to_lowercase()) <= set(BOOLEANS) - {"0", "1"}:
        return "Boolean", None
    # A number with leading zeros is a code: a postal code, an article, an account.
    if _fit(meant, number_pattern(text)) and not meant.str.contains(r"^0\d").any():
        whole = not meant.str.contains(rf"\d*[{text.decimal}]\d*|\d[eE]").any()
        return ("Int64" if whole else "Float64"), None
    formats = _date_formats(meant) if _fit(meant, r"\d.*[-/. :].*\d") else ()
    if formats:
        clock = any("%H" in pattern or "%I" in pattern for pattern in formats)
        return ("Datetime" if clock else "Date"), formats
    return "String", None


def _date_formats(some: pl.Series) -> tuple[str, ...]:
    """The fewest formats that read the dates, the one that reads most of them first."""
    said = pl.col(some.name)
    patterns = [day + clock for day, clock in product(DAYS, CLOCKS)]
    instants = [parse(said, pl.Datetime("us"), Text(), (p,)).alias(p) for p in patterns]
    fits = some.to_frame().select(i.dt.year().is_between(*YEARS).fill_null(False) for i in instants)
    chosen: list[str] = []
    while fits.height:
        counts = fits.sum().row(0)
        if not max(counts):
            break
        chosen.append(patterns[counts.index(max(counts))])
        fits = fits.filter(~pl.col(chosen[-1]))
    return tuple(chosen) if fits.height <= (1 - LIKELY) * len(some) else ()


def _figures(values: pl.Series, column: Column) -> Profile:
    filled = values.drop_nulls()
    ordered = column.dtype not in ("String", "Boolean")
    distinct = filled.n_unique()
    # What the most frequent of nearly as many values as rows are says nothing.
    counts = filled.value_counts(sort=True).head(TOP) if 2 * distinct < len(filled) else None
    return Profile(
        column.name,
        column.dtype,
        column.formats,
        len(values),
        values.null_count(),
        distinct,
        filled.min() if ordered else None,
        filled.max() if ordered else None,
        [(value, count) for value, count in counts.iter_rows()] if counts is not None else [],
    )
