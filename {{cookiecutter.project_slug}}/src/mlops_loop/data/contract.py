"""The data contract, contract.yaml: columns and their rules, and the values that break them."""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import polars as pl
from pydantic import Field, PositiveInt, model_validator

from ..config import Section, load
from ..project import UserError
from .text import MISSING, NUMBER, parse, present

DTYPES: dict[str, pl.DataType] = {
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "String": pl.String(),
    "Boolean": pl.Boolean(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("us"),
}

CHECKED_ROLES = ("input", "outcome", "time", "id")
LIMITS: dict[str, tuple[type, ...]] = {"Date": (date,), "Datetime": (date,)}
LIMITS |= {"Int64": (int, float), "Float64": (int, float)}
FEATURE_ROLES = ("input", "time")
STORED_ROLES = (*FEATURE_ROLES, "id")  # columns of data/interim, beside the target
FAILURES = pl.Schema({"row": pl.Int64, "column": pl.String, "rule": pl.String, "value": pl.String})
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Limit = int | float | date | datetime | None


class Column(Section):
    """A column, its rules, and its role: when its value is known and what it is used for."""

    name: Annotated[str, Field(min_length=1)]
    dtype: Literal["Int64", "Float64", "String", "Boolean", "Date", "Datetime"]
    role: Literal["input", "outcome", "time", "id", "ignored"]
    nullable: bool
    min: Limit = None
    max: Limit = None
    categories: Annotated[tuple[str | int | bool, ...] | None, Field(strict=False)] = None
    max_missing: Annotated[float, Field(ge=0, le=1)] | None = None
    max_age_days: PositiveInt | None = None
    formats: Annotated[tuple[str, ...] | None, Field(strict=False)] = None
    missing: Annotated[tuple[str, ...], Field(strict=False)] = MISSING
    description: str
    pii: bool = False
    slice: bool = False
    sensitive: bool = False

    @property
    def sliced(self) -> bool:
        """True where metrics are reported for each of its values."""
        return self.slice or self.sensitive

    @property
    def rules(self) -> dict[str, pl.Expr]:
        """The rules of its values, by the words of a violation."""
        value, rules = pl.col(self.name), {}
        if not self.nullable:
            rules["not null"] = value.is_not_null()
        if self.min is not None:
            rules[f">= {self.min}"] = value >= self.min
        if self.max is not None:
            rules[f"<= {self.max}"] = value <= self.max
        if self.categories:
            choices = list(self.categories)
            rules[f"one of {', '.join(map(str, choices))}"] = value.is_in(choices)
        return rules

    @model_validator(mode="after")
    def check_rules(self) -> Self:
        """Refuse rules that no value of the dtype can keep, and slices that no split holds."""
        if self.sliced and self.role not in STORED_ROLES:
            raise ValueError(
                f"column {self.name}: slice and sensitive need the role input, time or id; "
                f"data/interim holds no column that is {self.role}"
            )
        if self.max_age_days and self.role != "time":
            raise ValueError(f"column {self.name}: max_age_days needs the role time")
        limits = [value for value in (self.min, self.max) if value is not None]
        allowed, kind = LIMITS.get(self.dtype, ()), DTYPES[self.dtype].to_python()
        if not all(isinstance(value, allowed) for value in limits):
            raise ValueError(f"column {self.name}: min and max must be of type {self.dtype}")
        if not all(type(category) is kind for category in self.categories or ()):
            raise ValueError(f"column {self.name}: categories must be of type {self.dtype}")
        number = int in allowed and all(map(NUMBER.fullmatch, self.formats or ()))
        if self.formats and not (number or date in allowed):
            raise ValueError(f"column {self.name}: formats are of dates, or ways to write 1234.5")
        return self


class Contract(Section):
    """The data contract: every column of the raw table."""

    max_duplicate_share: Annotated[float, Field(ge=0, le=1)]
    columns: Annotated[tuple[Column, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Refuse two columns of one name, and two time columns."""
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns listed twice: {', '.join(twice)}")
        if len(self.names("time")) > 1:
            raise ValueError(f"only one column may have role time: {self.names('time')}")
        return self

    def names(self, *roles: str) -> list[str]:
        """Names of the columns with one of `roles`, in the contract's order."""
        return [column.name for column in self.columns if column.role in roles]

    def read(self, frame: Frame, names: Collection[str]) -> Frame:
        """Select the columns of `names` with their dtypes; see `read_columns`."""
        return read_columns(frame, [c for c in self.columns if c.name in names])

    def dtypes(self, *roles: str, pii: bool = False) -> pl.Schema:
        """Names and dtypes of the columns with one of `roles`; personal data only with `pii`."""
        columns = [c for c in self.columns if c.role in roles and (pii or not c.pii)]
        return pl.Schema({column.name: DTYPES[column.dtype] for column in columns})


def request_columns(contract: Contract) -> tuple[Column, ...]:
    """Columns of a request or a table to score: known at prediction time, no personal data."""
    return tuple(c for c in contract.columns if c.role in FEATURE_ROLES and not c.pii)


def add_nullable(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Add the nullable columns that a request lacks, as nulls."""
    return frame.with_columns(
        pl.lit(None, DTYPES[column.dtype]).alias(column.name)
        for column in request_columns(contract)
        if column.nullable and column.name not in frame.columns
    )


def load_contract(path: Path) -> Contract:
    """Read contract.yaml; raises UserError that names every wrong key."""
    return load(path, Contract)


def compute(expression: pl.Expr, rows: pl.DataFrame, rule: str) -> pl.DataFrame:
    """Evaluate an expression of definitions.py; raises UserError with the rule that it breaks."""
    try:
        return rows.select(expression)
    except pl.exceptions.PolarsError as error:
        raise UserError(f"definitions.py: {expression}: {error}\n{rule}") from error


def read_columns(frame: Frame, columns: Iterable[Column]) -> Frame:
    """Select `columns` with their dtypes, parsing text; values that cannot be read become null."""
    held = frame.collect_schema()
    return frame.select(
        _cast(c.name, held[c.name], DTYPES[c.dtype], c.missing, c.formats) for c in columns
    )


def conform(frame: Frame, schema: pl.Schema) -> Frame:
    """Select the columns of `schema` with its dtypes; values that cannot be cast become null."""
    held = frame.collect_schema()
    return frame.select(_cast(name, held[name], dtype) for name, dtype in schema.items())


def _cast(
    name: str,
    held: pl.DataType,
    dtype: pl.DataType,
    missing: tuple[str, ...] = (),
    formats: tuple[str, ...] | None = None,
) -> pl.Expr:
    """The column with `dtype`; text is parsed, and what cannot be read becomes null."""
    column = pl.col(name)
    if held == pl.String:
        column = parse(column, dtype, missing, formats)
    elif held.is_float() and dtype.is_integer():
        column = pl.when(column == column.round()).then(column)
    if held not in (dtype, pl.String):
        column = column.cast(dtype, strict=False)
    # Files written by pandas mark a missing number as NaN, which would pass for a value.
    return pl.when(column.is_finite()).then(column) if dtype.is_float() else column


def check_values(
    frame: pl.DataFrame, columns: Collection[Column]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read `columns` as `read_columns` does, and check them.

    Returns them with every value that breaks its column's dtype or rules, as rows of FAILURES.
    """
    typed, found = read_columns(frame, columns), [pl.DataFrame(schema=FAILURES)]
    for column in columns:
        given, value = frame[column.name], typed[column.name]
        unread = _find_unread(given, value, column.missing)
        found.append(_failures(given, unread, f"is {value.dtype}"))
        for rule, kept in column.rules.items():
            broken = typed.select(~kept).to_series() & ~unread
            found.append(_failures(value, broken, rule))
    return typed, pl.concat(found)


def _find_unread(given: pl.Series, typed: pl.Series, missing: tuple[str, ...]) -> pl.Series:
    """True for each value that was given and became null when read."""
    if typed.null_count() == given.null_count():
        return pl.repeat(False, len(given), eager=True)
    value = pl.col(given.name)
    if given.dtype == pl.String:
        value = present(value, missing)
    elif given.dtype.is_float():
        value = value.fill_nan(None)
    return given.to_frame().select(value.is_not_null()).to_series() & typed.is_null()


def _failures(values: pl.Series, rows: pl.Series, rule: str) -> pl.DataFrame:
    return pl.select(
        row=rows.arg_true(),
        column=pl.lit(values.name),
        rule=pl.lit(rule),
        value=values.filter(rows).cast(pl.String, strict=False),
    ).cast(FAILURES)
