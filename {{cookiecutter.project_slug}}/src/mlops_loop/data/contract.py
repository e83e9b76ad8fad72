"""contract.yaml: what every column is, and which values of a table break it."""

from collections.abc import Collection, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeVar

import polars as pl
from pydantic import Field, model_validator

from ..config import Section, load
from .text import Text, present, read, read_plain

if TYPE_CHECKING:
    import pandera.polars as pandera

DTYPES: dict[str, pl.DataType] = {
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "String": pl.String(),
    "Boolean": pl.Boolean(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("us"),
}

FAILURES = pl.Schema({"row": pl.Int64, "column": pl.String, "rule": pl.String, "value": pl.String})
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
Limit = int | float | date | datetime | None


class Column(Section):
    """One column; `role` says when its value is known and what it is for."""

    name: Annotated[str, Field(min_length=1)]
    dtype: Literal["Int64", "Float64", "String", "Boolean", "Date", "Datetime"]
    role: Literal["input", "outcome", "time", "id", "ignored"]
    nullable: bool
    min: Limit = None
    max: Limit = None
    categories: Annotated[tuple[str | int | bool, ...] | None, Field(strict=False)] = None
    formats: Annotated[tuple[str, ...] | None, Field(strict=False)] = None
    description: str
    pii: bool = False
    slice: bool = False
    sensitive: bool = False

    @property
    def sliced(self) -> bool:
        """Whether metrics are shown for each of its values."""
        return self.slice or self.sensitive

    @model_validator(mode="after")
    def slices_are_kept(self) -> Self:
        """What no split holds cannot be sliced by."""
        if self.sliced and self.role not in STORED_ROLES:
            raise ValueError(
                f"column {self.name}: slice and sensitive need the role input, time or id; "
                f"data/interim holds no column that is {self.role}"
            )
        return self

    @model_validator(mode="after")
    def rules_fit_the_dtype(self) -> Self:
        """A limit, category or format of another type than the column could never hold."""
        limits = [value for value in (self.min, self.max) if value is not None]
        allowed = (date,) if self.dtype.startswith("Date") else (int, float)
        if self.dtype in ("String", "Boolean") and limits:
            raise ValueError(f"column {self.name}: a {self.dtype} has no min or max")
        if not all(isinstance(value, allowed) for value in limits):
            raise ValueError(f"column {self.name}: min and max must be of type {self.dtype}")
        if self.formats and not self.dtype.startswith("Date"):
            raise ValueError(f"column {self.name}: only a Date or Datetime has formats")
        kind = {"String": str, "Int64": int, "Boolean": bool}.get(self.dtype)
        if self.categories and not (kind and all(type(c) is kind for c in self.categories)):
            raise ValueError(f"column {self.name}: categories must be of type {self.dtype}")
        return self


class Contract(Section):
    """The data contract: every column of the raw table."""

    max_duplicate_share: Annotated[float, Field(ge=0, le=1)]
    text: Text = Text()
    columns: Annotated[tuple[Column, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def names_are_unique(self) -> Self:
        """Two columns of one name, or two time columns, would make a reader guess."""
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

    def typed(self, frame: Frame, names: Collection[str]) -> Frame:
        """Select the columns of `names` as the contract says that they are to be read."""
        return typed(frame, [c for c in self.columns if c.name in names], self.text)

    def dtypes(self, *roles: str, pii: bool = False) -> pl.Schema:
        """Names and dtypes of the columns with one of `roles`; personal data only with `pii`."""
        columns = [c for c in self.columns if c.role in roles and (pii or not c.pii)]
        return pl.Schema({column.name: DTYPES[column.dtype] for column in columns})


PLAIN_DTYPES = ("Int64", "Float64", "Datetime")
PLAIN = Text(missing=())
CHECKED_ROLES = ("input", "outcome", "time", "id")
FEATURE_ROLES = ("input", "time")
STORED_ROLES = (*FEATURE_ROLES, "id")  # what data/interim holds, beside the target


def request_columns(contract: Contract) -> tuple[Column, ...]:
    """What a request or a table to score may hold: what is known then, without personal data."""
    return tuple(c for c in contract.columns if c.role in FEATURE_ROLES and not c.pii)


def completed(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The frame with nulls for the columns that a request may lack."""
    return frame.with_columns(
        pl.lit(None, DTYPES[column.dtype]).alias(column.name)
        for column in request_columns(contract)
        if column.nullable and column.name not in frame.columns
    )


def load_contract(path: Path) -> Contract:
    """Read contract.yaml; raises UserError that names every wrong key."""
    return load(path, Contract)


def typed(frame: Frame, columns: Iterable[Column], text: Text) -> Frame:
    """Select `columns` as their dtypes, text read as they say; what cannot be read becomes null."""
    held = frame.collect_schema()
    return frame.select(
        _cast(c.name, held[c.name], DTYPES[c.dtype], text, c.formats) for c in columns
    )


def conform(frame: Frame, schema: pl.Schema) -> Frame:
    """Select the columns of `schema` and cast them; what cannot be cast becomes null."""
    held = frame.collect_schema()
    return frame.select(_cast(name, held[name], dtype, PLAIN) for name, dtype in schema.items())


def _cast(
    name: str,
    held: pl.DataType,
    dtype: pl.DataType,
    text: Text,
    formats: tuple[str, ...] | None = None,
) -> pl.Expr:
    column = pl.col(name)
    if held == pl.String:
        column = read(column, dtype, text, formats)
    elif held.is_float() and dtype.is_integer():
        column = pl.when(column == column.round()).then(column)
    if held not in (dtype, pl.String):
        column = column.cast(dtype, strict=False)
    # Files written by pandas mark a missing number as NaN, which would pass for a value.
    return pl.when(column.is_finite()).then(column) if dtype.is_float() else column


def failures(frame: pl.DataFrame, columns: list[Column], text: Text) -> pl.DataFrame:
    """Every value of `frame` that breaks its column's dtype or rules, as rows of FAILURES."""
    return judged(frame, columns, text)[1]


def judged(
    frame: pl.DataFrame, columns: list[Column], text: Text
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What `typed` and what `failures` return."""
    frame = _read_plain(frame, columns, text)
    conformed = typed(frame, columns, text)
    uncast = _cast_failures(frame, conformed, text)
    broken_columns = conformed.select(_breaks_a_rule(column) for column in columns)
    if not any(column.item() for column in broken_columns):
        return conformed, uncast
    broken = _rule_failures(conformed, columns)
    return conformed, pl.concat([uncast, broken.join(uncast, on=["row", "column"], how="anti")])


def _read_plain(frame: pl.DataFrame, columns: list[Column], text: Text) -> pl.DataFrame:
    """The frame with the values of those columns of text that hold only the commonest kind."""
    if not text.plain:
        return frame
    read = frame.select(
        read_plain(pl.col(column.name), DTYPES[column.dtype])
        for column in columns
        if column.dtype in PLAIN_DTYPES
        and not column.formats
        and frame.schema[column.name] == pl.String
    )
    return frame.with_columns(c for c in read if c.null_count() == frame[c.name].null_count())


def _cast_failures(frame: pl.DataFrame, conformed: pl.DataFrame, text: Text) -> pl.DataFrame:
    found = [pl.DataFrame(schema=FAILURES)]
    for name, dtype in conformed.schema.items():
        if conformed[name].null_count() == frame[name].null_count():
            continue
        given = pl.col(name)
        if frame.schema[name] == pl.String:
            given = present(given, text)
        if frame.schema[name].is_float():
            given = given.fill_nan(None)
        lost = frame.select(given.is_not_null() & conformed[name].is_null()).to_series()
        found.append(_failures(frame[name].filter(lost), lost.arg_true(), f"is {dtype}"))
    return pl.concat(found)


def _failures(values: pl.Series, rows: pl.Series, rule: str) -> pl.DataFrame:
    return pl.select(
        rows.alias("row"),
        pl.lit(values.name).alias("column"),
        pl.lit(rule).alias("rule"),
        values.cast(pl.String, strict=False).alias("value"),
    ).cast(FAILURES)


def _breaks_a_rule(column: Column) -> pl.Expr:
    # Good data, the usual case, need none of the second that importing pandera takes.
    value = pl.col(column.name)
    broken = pl.lit(False) if column.nullable else value.is_null()
    if column.min is not None:
        broken |= value < column.min
    if column.max is not None:
        broken |= value > column.max
    if column.categories:
        broken |= ~value.is_in(list(column.categories))
    return broken.any().alias(column.name)


def _rule_failures(frame: pl.DataFrame, columns: list[Column]) -> pl.DataFrame:
    from pandera.errors import SchemaErrors
    from pandera.polars import DataFrameSchema

    try:
        DataFrameSchema({c.name: _pandera_column(c) for c in columns}).validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases
        return cases.select(
            pl.col("index").cast(pl.Int64).alias("row"),
            "column",
            pl.col("check").replace("not_nullable", "not null").alias("rule"),
            pl.col("failure_case").cast(pl.String).alias("value"),
        ).cast(FAILURES)
    return pl.DataFrame(schema=FAILURES)


def _pandera_column(column: Column) -> "pandera.Column":
    import pandera.polars as pandera

    checks = []
    if column.min is not None:
        checks.append(pandera.Check.ge(column.min, error=f">= {column.min}"))
    if column.max is not None:
        checks.append(pandera.Check.le(column.max, error=f"<= {column.max}"))
    if column.categories:
        one_of = f"one of {', '.join(map(str, column.categories))}"
        checks.append(pandera.Check.isin(list(column.categories), error=one_of))
    return pandera.Column(DTYPES[column.dtype], checks=checks, nullable=column.nullable)
