"""features/definitions.py for a table that was adopted: expressions that a colleague could type."""

import json
import re
from collections.abc import Iterable
from typing import Any

from .roles import ColumnPlan, Task

IMPORT = "import polars as pl\n"


def definitions(old: str, target: str, task: Task, decisions: Iterable[ColumnPlan]) -> str:
    """The text of definitions.py; its explanations are those of the old one."""
    explanations = old.partition(IMPORT)[0]
    features = [line for decision in decisions for line in _features(decision)]
    listed = "".join(f"    {feature},\n" for feature in features)
    return (
        f"{explanations}{IMPORT}\n"
        f"TARGET = {_column(target)}\n\n"
        f"KEEP_ROWS: tuple[pl.Expr, ...] = {_keep_rows(target, task.rare)}\n\n"
        f"FEATURES = (\n{listed})\n"
    )


def _features(decision: ColumnPlan) -> list[str]:
    name = decision.profile.name
    column = _column(name)
    match decision.kind:
        case "number":
            return [column]
        case "category" if decision.profile.dtype != "String":
            return [f"{column}.cast(pl.String)"]
        case "category":
            return [column]
        case "date":
            parts = ["year", "month", "weekday"]
            if decision.profile.dtype == "Datetime":
                parts.append("hour")
            return [
                f"{column}.dt.{part}().cast(pl.Int32).alias({_quoted(f'{name}_{part}')})"
                for part in parts
            ]
    return []


def _keep_rows(target: str, rare: tuple[Any, ...]) -> str:
    if not rare:
        return "()"
    values = ", ".join(_quoted(value) for value in rare)
    common = '.alias("classes with rows enough")'
    return f"(\n    (~{_column(target)}.is_in([{values}])){common},\n)"


def _column(name: str) -> str:
    return f"pl.col({_quoted(name)})"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def slug(name: str) -> str:
    """A name that can stand in a path or a label."""
    return re.sub(r"\W+", "_", name).strip("_").lower() or "table"
