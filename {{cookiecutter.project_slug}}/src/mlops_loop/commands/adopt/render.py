"""contract.yaml, params.yaml and features/definitions.py for an adopted table."""

import json
import math
import re
from collections.abc import Iterable
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from ...config import round_trip
from .profile import TEMPORAL, Profile, Table
from .roles import ColumnPlan, Task

MOST_LISTED = 30  # categories; with more, a new one is nothing special
FEW_ROWS, FOLDS = 1_000, 5
PLAIN = re.compile(r"[^\W\d][\w./ -]*(?<! )")
IMPORT = "import polars as pl\n"


def contract_text(path: Path, table: Table, task: Task, plans: list[ColumnPlan]) -> str:
    """Render contract.yaml with the explanations of the old one and a column for every plan."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    head = "".join(takewhile(lambda line: line.startswith("#"), lines))
    duplicates = 1 - table.frame.hash_rows().n_unique() / table.frame.height
    content = {
        "max_duplicate_share": round(max(0.01, 2 * duplicates), 2),
        "text": {
            "decimal": quoted(table.text.decimal),
            "thousands": quoted(table.text.thousands),
            "missing": in_line(table.text.missing),
        },
        "columns": [contract_column(plan, table, task) for plan in plans],
    }
    stream = StringIO()
    round_trip().dump(content, stream)
    body = stream.getvalue().replace("\ncolumns:", "\n\ncolumns:", 1)
    return f"{head}\n{body}"


def contract_column(plan: ColumnPlan, table: Table, task: Task) -> dict[str, Any]:
    """Return what contract.yaml says of a column."""
    profile = plan.profile
    column = {"name": quoted(profile.name), "dtype": profile.dtype, "role": plan.role}
    column["nullable"] = profile.filled < profile.rows
    if profile.formats:
        column["formats"] = in_line(profile.formats)
    if plan.role in ("input", "outcome", "time"):
        classes = plan.role == "outcome" and task.name != "regression"
        column |= limits(profile, table.frame[profile.name], classes)
    column |= {"description": quoted(plan.why), "pii": plan.pii}
    return column | {key: True for key in ("slice", "sensitive") if getattr(plan, key)}


def limits(profile: Profile, values: pl.Series, classes: bool) -> dict[str, Any]:
    """Return rules that leave room: a range as wide again on both sides, or few categories."""
    if profile.dtype in TEMPORAL or profile.dtype == "Boolean":
        return {}
    if (profile.dtype == "String" and profile.distinct <= MOST_LISTED) or classes:
        return {"categories": in_line(values.drop_nulls().unique().sort())}
    if profile.dtype == "String":
        return {}
    room = profile.high - profile.low
    digits = 1 - math.floor(math.log10(room or 1))
    low = type(room)(0) if profile.low >= 0 else round(profile.low - room, digits)
    return {"min": low, "max": round(profile.high + room, digits)}


def in_line(values: Iterable[Any]) -> Any:
    """Return values as a YAML list on one line."""
    sequence = CommentedSeq(map(quoted, values))
    sequence.fa.set_flow_style()
    return sequence


def quoted(value: Any) -> Any:
    """Return text in quotes if YAML could take it for something else."""
    # ruamel leaves text without quotes that the faster reader of the stages takes for a mapping.
    plain = not isinstance(value, str) or PLAIN.fullmatch(value)
    return value if plain else DoubleQuotedScalarString(value)


def params(folder: str, task: Task, group: str | None, rows: int, shuffled: bool) -> dict[str, Any]:
    """Return the values of params.yaml that depend on the table.

    LightGBM has its own defaults, with smaller leaves where under 100 rows could hardly be divided.
    Few rows are cross-validated, unless time or a group ties them together.
    """
    return {
        "ingest": {"source": "file", "path": folder},
        "task": task.name,
        "prepare.test_from": None,
        "prepare.group": quoted(group),
        "train.lightgbm.num_leaves": 31,
        "train.lightgbm.min_child_samples": min(20, rows // 5),
        "train.lightgbm.folds": FOLDS if rows < FEW_ROWS and shuffled else None,
        **{f"register.{key}": {} for key in ("bars", "slices", "fairness")},
    }


def definitions(path: Path, target: str, task: Task, plans: list[ColumnPlan]) -> str:
    """Render definitions.py with the explanations of the old one."""
    old = path.read_text(encoding="utf-8")
    features = "".join(f"    {feature},\n" for plan in plans for feature in expressions(plan))
    keep_rows = "()"
    if task.rare:
        values = ", ".join(map(literal, task.rare))
        named = f'(~{column(target)}.is_in([{values}])).alias("classes with rows enough")'
        keep_rows = f"(\n    {named},\n)"
    return (
        f"{old.partition(IMPORT)[0]}{IMPORT}\n"
        f"TARGET = {column(target)}\n\n"
        f"KEEP_ROWS: tuple[pl.Expr, ...] = {keep_rows}\n\n"
        f"FEATURES = (\n{features})\n"
    )


def expressions(plan: ColumnPlan) -> list[str]:
    """Return the features of a column, as a colleague could type them."""
    name, dtype = plan.profile.name, plan.profile.dtype
    if plan.kind == "date":
        parts = ("year", "month", "weekday", *(["hour"] if dtype == "Datetime" else []))
        return [
            f"{column(name)}.dt.{part}().cast(pl.Int32).alias({literal(f'{name}_{part}')})"
            for part in parts
        ]
    if plan.kind == "category" and dtype != "String":
        return [f"{column(name)}.cast(pl.String)"]
    return [column(name)] if plan.kind else []


def column(name: str) -> str:
    """Return the expression of a column."""
    return f"pl.col({literal(name)})"


def literal(value: Any) -> str:
    """Return a value as Python writes it, text in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
