"""The schema of a request, from contract.yaml: one pydantic model for validation and for /docs."""

import json
from datetime import date, datetime
from typing import Annotated, Any

import polars as pl
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    WithJsonSchema,
    create_model,
)

from ..data.contract import DTYPES, Column, Contract, request_columns

MAX_TEXT = 10_000
INT64 = 2**63

# The format date-time of JSON Schema would have a time zone.
DATETIME = {
    "type": "string",
    "pattern": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"T([01]\d|2[0-3])(:[0-5]\d){2}(\.\d{1,6})?$",
}


def _whole(value: Any) -> Any:
    # JSON knows one kind of number: pandas sends 1.0 for the 1 of a column that has a null.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int64 = Annotated[int, Field(ge=-INT64, lt=INT64), BeforeValidator(_whole)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]

TYPES: dict[str, Any] = {
    "Int64": Int64,
    "Float64": float,
    "String": Text,
    "Boolean": bool,
    "Date": date,
    "Datetime": Annotated[NaiveDatetime, WithJsonSchema(DATETIME)],
}
EXAMPLES: dict[str, Any] = {
    "Int64": 1,
    "Float64": 1.0,
    "String": "text",
    "Boolean": True,
    "Date": "2024-01-31",
    "Datetime": "2024-01-31T12:00:00",
}


def record_type(contract: Contract) -> type[BaseModel]:
    """The model of one record: types and ranges of the contract, no other fields.

    A category that the contract does not list is served: the model treats it as missing.
    """
    # Columns may be called anything, and a field of pydantic may not: the alias is the name.
    fields: dict[str, Any] = {
        f"field_{number}": (
            _type(column),
            Field(None if column.nullable else ..., alias=column.name),
        )
        for number, column in enumerate(request_columns(contract))
    }
    config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        strict=True,
        json_schema_extra={"example": example(contract)},
    )
    return create_model("Record", __config__=config, **fields)


def _type(column: Column) -> Any:
    limits: dict[str, Any] = {"ge": column.min, "le": column.max}
    examples = list(column.categories) if column.categories else None
    field = Field(description=column.description, examples=examples, **limits)
    kind: Any = Annotated[TYPES[column.dtype], field]
    return kind | None if column.nullable else kind


def example(contract: Contract) -> dict[str, Any]:
    """A record that the contract accepts, as JSON holds it."""
    return {column.name: _example(column) for column in request_columns(contract)}


def _example(column: Column) -> Any:
    if column.categories:
        return column.categories[0]
    value = column.min if column.min is not None else column.max
    if value is None:
        return EXAMPLES[column.dtype]
    if column.dtype == "Datetime" and type(value) is date:
        value = datetime.combine(value, datetime.min.time())
    return value.isoformat() if isinstance(value, date) else value


def example_record(contract: Contract) -> dict[str, Any]:
    """The example as the service parses it."""
    record = record_type(contract).model_validate_json(json.dumps(example(contract)))
    return record.model_dump(by_alias=True)


def example_frame(contract: Contract) -> pl.DataFrame:
    """The example as a frame: a row that every model must be able to score."""
    return frame([example_record(contract)], dtypes(contract))


def dtypes(contract: Contract) -> pl.Schema:
    """The dtypes of a request's columns."""
    return pl.Schema({c.name: DTYPES[c.dtype] for c in request_columns(contract)})


def frame(records: list[dict[str, Any]], dtypes: pl.Schema) -> pl.DataFrame:
    """Validated records as a frame."""
    return pl.DataFrame(records, schema=dtypes, orient="row")
