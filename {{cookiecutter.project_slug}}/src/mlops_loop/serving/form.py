"""A form for one record: an input for every column of a request, as contract.yaml says it is."""

import re
from datetime import date
from typing import Any

import streamlit as st

from ..data.contract import Column, Contract, request_columns
from .schema import example_record

COLUMNS = 2
LARGEST = 2**53 - 1  # of the whole numbers that a browser can hold


def record(contract: Contract) -> dict[str, Any]:
    """Draw the inputs, filled with the contract's example; returns what they hold.

    What may be missing begins empty, and is None as long as it is.
    """
    start, places = example_record(contract), st.columns(COLUMNS)
    found = {}
    for number, column in enumerate(request_columns(contract)):
        with places[number % COLUMNS]:
            value = None if column.nullable else start[column.name]
            found[column.name] = _input(column, value)
    return found


def _input(column: Column, value: Any) -> Any:
    label, empty = plain(column.name), {"placeholder": "missing"}
    known = {"key": column.name, "help": plain(column.description) or None}
    limits: dict[str, Any] = {"min_value": column.min, "max_value": column.max}
    choices = (True, False) if column.dtype == "Boolean" else column.categories
    if choices:
        return st.selectbox(label, choices, None if value is None else 0, **known, **empty)
    if column.dtype == "String":
        return st.text_input(label, value, **known, **empty)
    if column.dtype == "Date":
        return st.date_input(label, value, **_ever(limits), **known)
    if column.dtype == "Datetime":
        return st.datetime_input(label, value, **_ever(limits), step=60, **known)
    kind, format = (_whole, "%d") if column.dtype == "Int64" else (_float, "%g")
    numbers = {name: kind(number) for name, number in {**limits, "value": value}.items()}
    return st.number_input(label, **numbers, format=format, **known, **empty)


def _whole(value: Any) -> int | None:
    return None if value is None else int(max(-LARGEST, min(LARGEST, value)))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _ever(limits: dict[str, Any]) -> dict[str, Any]:
    """Limits for a date that has none: Streamlit's own are ten years."""
    first, last = limits.values()
    return {"min_value": first or date.min, "max_value": last or date.max}


def plain(text: str) -> str:
    """Text as Streamlit shows it literally: names of columns are no Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
