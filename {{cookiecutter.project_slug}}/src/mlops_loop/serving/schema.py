"""The requests that a contract allows: one pydantic model for validation and for /docs."""

import json
from datetime import date
from typing import Annotated, Any

import polars as pl
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)

from ..data.contract import DTYPES, Column, Contract, request_columns
from ..files import Content

MAX_TEXT = 10_000
INT64 = 2**63
Record = Content
Records = list[Record]

# The format date-time of JSON Schema would have a time zone.
DATETIME = {
    "type": "string",
    "pattern": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,6})?$",
}


# JSON knows one kind of number: pandas sends 1.0 for the 1 of a column that has a null.
WHOLE = BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)
Int64 = Annotated[int, Field(ge=-INT64, lt=INT64), WHOLE]
Text = Annotated[str, Field(max_length=MAX_TEXT)]

TYPES: dict[str, Any] = {
    "Int64": Int64,
    "Float64": float,
    "String": Text,
    "Boolean": bool,
    "Date": date,
    "Datetime": Annotated[NaiveDatetime, WithJsonSchema(DATETIME)],
}


class RequestSchema:
    """The requests that a contract allows: a record, or a list of at most `max_rows` of them.

    Records have the contract's types and ranges, and no other fields. A category that the contract
    does not list is served: the model treats it as missing. Columns that are ids may be given:
    they are logged, so that truths can be joined by them. The example is a row of the test split.
    """

    def __init__(self, contract: Contract, max_rows: int, example: Record) -> None:
        columns = request_columns(contract)
        ids = [c for c in contract.columns if c.role == "id" and not c.pii]
        optional = [column.model_copy(update={"nullable": True}) for column in ids]
        # Columns may be called anything, and a field of pydantic may not: the alias is the name.
        fields = Content()
        for number, column in enumerate([*columns, *optional]):
            default = Field(None if column.nullable else ..., alias=column.name)
            fields[f"field_{number}"] = _type(column), default
        self.example = {column.name: example.get(column.name) for column in columns}
        config = ConfigDict(
            extra="forbid",
            allow_inf_nan=False,
            strict=True,
            json_schema_extra={"example": self.example},
        )
        record: Any = create_model("Record", __config__=config, **fields)
        limits: Any = {"min_length": 1, "max_length": max_rows, "fail_fast": True}
        self.columns, self.max_rows = columns, max_rows
        self.imputed: Record = {}  # what is scored in the place of nulls
        self.listed = {column.name: frozenset(column.categories or ()) for column in columns}
        self._dtypes = pl.Schema({column.name: DTYPES[column.dtype] for column in columns})
        self._one = TypeAdapter(record)
        self._several = TypeAdapter(Annotated[list[record], Field(**limits)])

    def validate(self, content: bytes) -> Records:
        """Parse the records of a body; raises ValidationError that names field and rule."""
        if is_list(content):
            found = self._several.validate_json(content)
        else:
            found = [self._one.validate_json(content)]
        return [record.model_dump(by_alias=True) for record in found]

    def frame(self, records: Records) -> pl.DataFrame:
        """Records as a frame, imputed; columns of other contracts are left out, or null."""
        frame = pl.DataFrame(records, schema=self._dtypes, orient="row")
        if not self.imputed:
            return frame
        return frame.with_columns(pl.col(n).fill_null(value) for n, value in self.imputed.items())

    def json_schema(self) -> Content:
        """The JSON schema of a body."""
        one = self._one.json_schema()
        several = {"type": "array", "items": one, "minItems": 1, "maxItems": self.max_rows}
        return {"anyOf": [one, several], "example": self.example}

    def example_record(self) -> Record:
        """A record that the contract accepts, parsed."""
        return self.validate(json.dumps(self.example).encode())[0]


def is_list(content: bytes) -> bool:
    """Return whether a body holds a list of records."""
    return content.lstrip()[:1] == b"["


def _type(column: Column) -> Any:
    limits: Content = {"ge": column.min, "le": column.max}
    examples = list(column.categories) if column.categories else None
    field = Field(description=column.description, examples=examples, **limits)
    kind: Any = Annotated[TYPES[column.dtype], field]
    return kind | None if column.nullable else kind


def find_conflict(asked: Contract, other: Contract) -> str | None:
    """Find a column by which a contract refuses requests that `asked` allows; None if none."""
    known = {column.name: column for column in request_columns(asked)}
    for column in request_columns(other):
        given = known.get(column.name)
        if given is None and column.nullable:
            continue
        if given is None:
            return f"{column.name} is missing there"
        if given.dtype != column.dtype:
            return f"{column.name} is {given.dtype} there and {column.dtype} here"
        if given.nullable and not column.nullable:
            return f"{column.name} may be null there"
        for name, wider in (("min", min), ("max", max)):
            limit, allowed = getattr(column, name), getattr(given, name)
            if limit is not None and (allowed is None or wider(limit, allowed) != limit):
                return f"{column.name} has the {name} {allowed} there and {limit} here"
    return None
