"""docs/data_card.md and the table on the terminal: what was found in a table and decided."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ...console import LONGEST, aligned, cell, markdown
from .profile import Profile, Table
from .roles import ColumnPlan, Task

HEADER = ("column", "dtype", "role", "missing", "distinct", "values", "why")


def rows(plans: list[ColumnPlan]) -> list[tuple[str, ...]]:
    """Return a row per column."""
    return [
        (
            plan.profile.name,
            plan.profile.dtype,
            plan.role,
            f"{1 - plan.profile.filled / plan.profile.rows:.1%}",
            f"{plan.profile.distinct:,}",
            "not shown" if plan.pii else values(plan.profile),
            plan.why,
        )
        for plan in plans
    ]


def values(profile: Profile) -> str:
    """Return the range of numbers and dates, or the most frequent categories with their counts."""
    if profile.low is not None:
        limits = (profile.low, profile.high)
        return " to ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in limits)
    text = ", ".join(f"{value} ({count:,})" for value, count in profile.top)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def page(title: str, target: str, task: Task, table: Table, plans: list[ColumnPlan]) -> str:
    """Render the card; the files come last, so that another one adds a line."""
    mark = table.text.thousands
    thousands = f"`{mark}`" if mark else "not separated"
    names = {
        fact: listed(plan.profile.name for plan in plans if getattr(plan, fact))
        for fact in ("pii", "slice", "sensitive")
    }
    return f"""# Data card: {title}

Written by `make adopt`. What it decided stands in `contract.yaml`, `params.yaml` and
`features/definitions.py`: edit it there.

| question | answer |
|---|---|
| rows, columns | {table.frame.height:,}, {table.frame.width} |
| target | {cell(target)} |
| task | {task.name}: {task.why} |
| classes left out, too rare to learn | {listed(task.rare)} |
| split | {split(plans)} |
| numbers | decimal mark `{table.text.decimal}`, thousands {thousands} |
| words for a missing value | {listed(table.text.missing)} |
| personal data | {names["pii"]} |
| metrics for each value of | {names["slice"]} |
| compared for fairness | {names["sensitive"]} |

Personal data are not used by the model. They never reach `data/interim` in the clear: they are
dropped, or hashed with your key (`prepare.pii`).

## Columns

{markdown([HEADER, *rows(plans)])}

## Files

| file | rows | sha256 |
|---|---|---|
"""


def summary_lines(target: str, task: Task, plans: list[ColumnPlan]) -> list[str]:
    """Return the table of columns and the facts below it, for the terminal."""
    slices, sensitive = (
        ", ".join(plan.profile.name for plan in plans if getattr(plan, fact)) or "none"
        for fact in ("slice", "sensitive")
    )
    return [
        *aligned([HEADER, *rows(plans)]),
        "",
        f"  target      {target}",
        f"  task        {task.name}: {task.why}",
        f"  split       {split(plans)}",
        f"  slices      {slices}",
        f"  sensitive   {sensitive}",
    ]


def file_row(path: Path, height: int) -> str:
    """Render a line of the list of files."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"| {cell(path.name)} | {height:,} | {digest} |\n"


def split(plans: list[ColumnPlan]) -> str:
    """Name what rows are split into train, validation and test by."""
    groups = [plan.profile.name for plan in plans if plan.group]
    times = [plan.profile.name for plan in plans if plan.role == "time"]
    if groups:
        return f"by the values of {cell(groups[0])}"
    return f"by time, {cell(times[0])}" if times else "by a stable hash"


def listed(values: Iterable[object]) -> str:
    """Return values in backticks."""
    return ", ".join(f"`{cell(value)}`" for value in values) or "none"
