"""contract.yaml, params.yaml, features/definitions.py and docs/data_card.md of an adopted table."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

from ...console import LONGEST, cell, markdown
from ...data.contract import DTYPES
from .profile import NUMERIC, Profile, Table
from .roles import ColumnPlan, Task

MOST_LISTED = 30  # categories; with more, a new one is nothing special
FEW_ROWS, FOLDS = 1_000, 5
IMPORT = "import polars as pl\n"
HEADER = ("column", "dtype", "role", "missing", "distinct", "values", "why")


def contract_text(path: Path, table: Table, task: Task, plans: list[ColumnPlan]) -> str:
    """Render contract.yaml with the explanations of the old one and a column for every plan."""
    explanations = re.split(r"^(?!#)", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.M)[0]
    duplicates = 1 - table.frame.hash_rows().n_unique() / table.frame.height
    columns = (contract_column(plan, task).items() for plan in plans)
    lines = [
        explanations,
        f"max_duplicate_share: {round(max(0.01, 2 * duplicates), 2)}",
        f"text: {as_yaml(table.text.model_dump())}",
        "\ncolumns:",
        *("  - " + "\n    ".join(f"{key}: {value}" for key, value in column) for column in columns),
    ]
    return "\n".join(lines) + "\n"


def contract_column(plan: ColumnPlan, task: Task) -> dict[str, str]:
    """Return what contract.yaml says of a column, as YAML by key."""
    profile = plan.profile
    column = {"name": as_yaml(profile.name), "dtype": profile.dtype, "role": plan.role}
    rules: dict[str, Any] = {"nullable": profile.filled < profile.rows}
    if profile.formats:
        rules["formats"] = profile.formats
    if plan.role in ("input", "outcome", "time"):
        rules |= limits(profile, plan.role == "outcome" and task.name != "regression")
    rules |= {"description": plan.why, "pii": plan.pii}
    rules |= {key: True for key in ("slice", "sensitive") if getattr(plan, key)}
    return column | {key: as_yaml(value) for key, value in rules.items()}


def limits(profile: Profile, classes: bool) -> dict[str, Any]:
    """Return rules that leave room: a range as wide again on both sides, or few categories."""
    few = profile.dtype == "String" and profile.distinct <= MOST_LISTED
    if few or (classes and profile.dtype != "Boolean"):
        values = profile.values.drop_nulls().unique().sort()
        return {"categories": values.cast(DTYPES[profile.dtype]).to_list()}
    if profile.dtype not in NUMERIC:
        return {}
    room = profile.high - profile.low
    digits = 1 - math.floor(math.log10(room or 1))
    low = type(room)(0) if profile.low >= 0 else round(profile.low - room, digits)
    return {"min": low, "max": round(profile.high + room, digits)}


def as_yaml(value: Any) -> str:
    """Return a value as JSON, which YAML reads too, except for some control characters."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\ufffe\uffff]", lambda match: rf"\u{ord(match[0]):04x}", text)


def params(folder: str, task: Task, group: str | None, rows: int, shuffled: bool) -> dict[str, Any]:
    """Return the values of params.yaml that depend on the table.

    LightGBM has its own defaults, with smaller leaves where under 100 rows could hardly be divided.
    Few rows are cross-validated, unless time or a group ties them together.
    """
    return {
        "ingest": {"source": "file", "path": folder},
        "task": task.name,
        "prepare.test_from": None,
        "prepare.group": group,
        "train.lightgbm.num_leaves": 31,
        "train.lightgbm.min_child_samples": min(20, rows // 5),
        "train.lightgbm.folds": FOLDS if rows < FEW_ROWS and shuffled else None,
        **{f"register.{key}": {} for key in ("bars", "slices", "fairness")},
    }


def definitions(path: Path, target: str, task: Task, plans: list[ColumnPlan]) -> str:
    """Render definitions.py with the explanations of the old one."""
    explanations = path.read_text(encoding="utf-8").partition(IMPORT)[0]
    features = "".join(f"    {feature},\n" for plan in plans for feature in expressions(plan))
    excluded = f'(~pl.col({target!r}).is_in({list(task.rare)})).alias("classes with rows enough"),'
    return (
        f"{explanations}{IMPORT}\n"
        f"TARGET = pl.col({target!r})\n\n"
        f"KEEP_ROWS: tuple[pl.Expr, ...] = ({excluded if task.rare else ''})\n\n"
        f"FEATURES = (\n{features})\n"
    )


def expressions(plan: ColumnPlan) -> list[str]:
    """Return the features of a column, as a colleague could type them."""
    name, dtype = plan.profile.name, plan.profile.dtype
    if plan.kind == "date":
        parts = ["year", "month", "weekday"] + ["hour"] * (dtype == "Datetime")
        return [
            f"pl.col({name!r}).dt.{part}().cast(pl.Int32).alias({f'{name}_{part}'!r})"
            for part in parts
        ]
    cast = ".cast(pl.String)" if plan.kind == "category" and dtype != "String" else ""
    return [f"pl.col({name!r}){cast}"] if plan.kind else []


def column_table(plans: list[ColumnPlan]) -> list[tuple[str, ...]]:
    """Return a header and a row per column: what was found in it and decided."""
    rows: list[tuple[str, ...]] = [HEADER]
    for plan in plans:
        p = plan.profile
        missing, distinct = f"{1 - p.filled / p.rows:.1%}", f"{p.distinct:,}"
        values = "not shown" if plan.pii else describe(p)
        rows.append((p.name, p.dtype, plan.role, missing, distinct, values, plan.why))
    return rows


def describe(profile: Profile) -> str:
    """Return the range of numbers and dates, or the most frequent categories with their counts."""
    if profile.low is not None:
        return f"{profile.low} to {profile.high}"
    text = ", ".join(f"{value} ({count:,})" for value, count in profile.top)
    return shorten(text, LONGEST, placeholder="…")


def data_card(title: str, target: str, task: Task, split: str, plans: list[ColumnPlan]) -> str:
    """Render the card; the files come last, so that another one adds a line."""
    return f"""# Data card: {title}

Written by `make adopt`. What it decided stands in `contract.yaml`, `params.yaml` and
`features/definitions.py`: edit it there.

| question | answer |
|---|---|
| target | {cell(target)} |
| task | {task.name}: {task.why} |
| classes left out, too rare to learn | {listed(task.rare)} |
| split by | {cell(split)} |
| personal data | {listed(plan.profile.name for plan in plans if plan.pii)} |

Personal data are not used by the model. They never reach `data/interim` in the clear: they are
dropped, or hashed with your key (`prepare.pii`).

## Columns

{markdown(column_table(plans))}

## Files

| file | rows | sha256 |
|---|---|---|
"""


def file_row(path: Path, height: int) -> str:
    """Render a line of the list of files."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"| {cell(path.name)} | {height:,} | {digest} |\n"


def listed(values: Iterable[object]) -> str:
    """Return values in backticks."""
    return ", ".join(f"`{cell(value)}`" for value in values) or "none"
