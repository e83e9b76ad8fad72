"""contract.yaml, params.yaml, features/definitions.py and docs/data_card.md of an adopted table."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten
from typing import Any

from ...console import LONGEST, cell, markdown
from ...data.contract import DTYPES
from ...data.tables import unique_names
from .profile import NUMERIC, TEMPORAL, Profile
from .roles import Task

MOST_LISTED = 30  # categories; with more, a new one is nothing special
FEW_ROWS, FOLDS, TOP = 10_000, 5, 5
# Each tree sees a part of the rows, and each split a part of the features.
LIGHTGBM = {"bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction_bynode": 0.5}
# Among few rows a category has few, and smoothing would hide it.
RARE_CATEGORIES = {"min_data_per_group": 1, "cat_smooth": 1.0, "cat_l2": 1.0}
IMPORT = "import polars as pl\n"
FITTED = "\nfrom mlops_loop.features import FittedFeature\n"
HEADER = ("column", "dtype", "role", "missing", "distinct", "values", "why")


def contract_text(path: Path, duplicates: float, task: Task, plans: list[Profile]) -> str:
    """Render contract.yaml with the explanations of the old one and a column for every plan."""
    explanations = re.split(r"^(?!#)", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.M)[0]
    lines = [
        explanations,
        f"max_duplicate_share: {round(min(max(0.01, 2 * duplicates), 1), 2)}",
        "\ncolumns:",
    ]
    for plan in plans:
        column = plan.column.model_copy(update=limits(plan, task))
        rules = column.model_dump(exclude_defaults=True).items()
        lines.append("  - " + "\n    ".join(f"{key}: {as_yaml(value)}" for key, value in rules))
    return "\n".join(lines) + "\n"


def limits(plan: Profile, task: Task) -> dict[str, Any]:
    """Return rules that leave room: a range as wide again on both sides, or few categories."""
    dtype = plan.column.dtype
    if plan.column.role not in ("input", "outcome", "time"):
        return {}
    few = dtype == "String" and plan.distinct <= MOST_LISTED
    classes = plan.column.role == "outcome" and task.name != "regression"
    if few or (classes and dtype != "Boolean"):
        values = plan.values.drop_nulls().unique().sort()
        return {"categories": tuple(values.cast(DTYPES[dtype]))}
    if dtype not in NUMERIC:
        return {}
    low, high = plan.limits
    room = high - low
    digits = 1 - math.floor(math.log10(room or 1))
    low = type(room)(0) if low >= 0 else round(low - room, digits)
    return {"min": low, "max": round(high + room, digits)}


def as_yaml(value: Any) -> str:
    """Return a value as JSON, which YAML reads too, except for some control characters."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\ufffe\uffff]", lambda match: rf"\u{ord(match[0]):04x}", text)


def params(folder: str, task: Task, group: str | None, rows: int, shuffled: bool) -> dict[str, Any]:
    """Return the values of params.yaml that depend on the table.

    Fewer rows get smaller trees and a smaller learning rate, and are cross-validated unless time or
    a group ties them together. benchmarks/tables.py measures these values.
    """
    few = rows <= FEW_ROWS
    return {
        "ingest": {"source": "file", "path": folder},
        "task": task.name,
        **dict.fromkeys(["prepare.since", "prepare.until", "prepare.test_from"]),
        "prepare.group": group,
        "train.max_trees": 1_000 if few else 500,
        "train.learning_rate": 0.05 if few else 0.1,
        "train.lightgbm.num_leaves": 15 if few else 63,
        "train.lightgbm.min_child_samples": max(1, min(10, rows // 5)),
        "train.lightgbm.early_stopping_rounds": 50 if few else 25,
        "train.lightgbm.folds": FOLDS if few and shuffled else None,
        "train.lightgbm.linear_start": 10.0,
        "train.lightgbm.parameters": LIGHTGBM | (RARE_CATEGORIES if few else {}),
        **{f"register.{key}": {} for key in ("bars", "slices", "fairness")},
    }


def definitions(path: Path, target: str, task: Task, plans: list[Profile]) -> str:
    """Render definitions.py with the explanations of the old one."""
    explanations = path.read_text(encoding="utf-8").partition(IMPORT)[0]
    names = [plan.column.name for plan in plans]
    features = "".join(f"    {text},\n" for plan in plans for text in expressions(plan, names))
    excluded = f'(~pl.col({target!r}).is_in({list(task.rare)})).alias("classes with rows enough"),'
    return (
        f"{explanations}{IMPORT}{FITTED}\n"
        f"TARGET = pl.col({target!r})\n\n"
        f"KEEP_ROWS: tuple[pl.Expr, ...] = ({excluded if task.rare else ''})\n\n"
        "CHECKS: tuple[pl.Expr, ...] = ()\n\n"
        f"FEATURES = (\n{features})\n\n"
        "FITTED: tuple[FittedFeature, ...] = ()\n"
    )


def expressions(plan: Profile, names: list[str]) -> list[str]:
    """Return the features of a column, none called as one of `names`."""
    name, dtype = plan.column.name, plan.column.dtype
    if plan.kind == "date":
        return [
            f"pl.col({name!r}).dt.{part}().cast(pl.Int32)"
            f".alias({unique_names([*names, f'{name}_{part}'])[-1]!r})"
            for part in plan.parts
        ]
    cast = ".cast(pl.String)" if plan.kind == "category" and dtype != "String" else ""
    return [f"pl.col({name!r}){cast}"] if plan.kind else []


def column_table(plans: list[Profile]) -> list[tuple[str, ...]]:
    """Return a header and a row per column: what was found in it and decided."""
    rows: list[tuple[str, ...]] = [HEADER]
    for plan in plans:
        c, missing = plan.column, plan.values.null_count() / len(plan.values)
        values = "not shown" if c.pii else describe(plan)
        figures = f"{missing:.1%}", f"{plan.distinct:,}"
        rows.append((c.name, c.dtype, c.role, *figures, values, c.description))
    return rows


def describe(profile: Profile) -> str:
    """Return the range of numbers and dates, or the most frequent categories with their counts."""
    if profile.column.dtype in (*NUMERIC, *TEMPORAL):
        return "{} to {}".format(*profile.limits)
    if 2 * profile.distinct >= profile.filled:  # the most frequent of them are not typical
        return ""
    # Without a name: a column may be called `count`, as Polars calls the other one.
    counts = profile.values.drop_nulls().alias("").value_counts(sort=True).head(TOP)
    text = ", ".join(f"{value} ({count:,})" for value, count in counts.rows())
    return shorten(text, LONGEST, placeholder="…")


def data_card(title: str, target: str, task: Task, split: str, plans: list[Profile]) -> str:
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
| personal data | {listed(plan.column.name for plan in plans if plan.column.pii)} |

Personal data are not used by the model. They never reach `data/interim` in the clear: they are
dropped, or hashed with your key (`prepare.pii`).

## Columns

{markdown(column_table(plans))}

## Files

| file (DVC holds its hash) | rows |
|---|---|
"""


def file_row(path: Path, height: int) -> str:
    """Render a line of the list of files."""
    return f"| {cell(path.name)} | {height:,} |\n"


def listed(values: Iterable[object]) -> str:
    """Return values in backticks."""
    return ", ".join(f"`{cell(value)}`" for value in values) or "none"
