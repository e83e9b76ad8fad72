"""docs/data_card.md and the table on the terminal: what was found in a table and decided."""

import hashlib
from pathlib import Path

from ...console import LONGEST, cell, markdown
from .profile import Profile, Table
from .roles import ColumnPlan, Task

HEADER = ("column", "dtype", "role", "missing", "distinct", "values", "why")


def rows(decisions: list[ColumnPlan]) -> list[tuple[str, ...]]:
    """One row a column, in words."""
    return [
        (
            decision.profile.name,
            decision.profile.dtype,
            decision.role,
            f"{decision.profile.missing / decision.profile.rows:.1%}",
            f"{decision.profile.distinct:,}",
            "not shown" if decision.pii else values(decision.profile),
            decision.why,
        )
        for decision in decisions
    ]


def values(profile: Profile) -> str:
    """The range of numbers and dates, or the most frequent categories with their counts."""
    if profile.low is not None:
        return f"{_short(profile.low)} to {_short(profile.high)}"
    return _cut(", ".join(f"{value} ({count:,})" for value, count in profile.top))


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def page(title: str, target: str, task: Task, table: Table, decisions: list[ColumnPlan]) -> str:
    """The data card; the files are listed last, so that adopting another one adds a line."""
    return f"""# Data card: {title}

Written by `make adopt`. What it decided stands in `contract.yaml`, `params.yaml` and
`features/definitions.py`: edit it there.

| question | answer |
|---|---|
| rows, columns | {table.frame.height:,}, {table.frame.width} |
| target | {cell(target)} |
| task | {task.name}: {task.why} |
| classes left out, too rare to learn | {_list(task.rare)} |
| split | {split(decisions)} |
| numbers | decimal mark `{table.text.decimal}`, thousands {_mark(table.text.thousands)} |
| words for a missing value | {_list(table.text.missing)} |
| personal data | {_list([d.profile.name for d in decisions if d.pii])} |
| metrics for each value of | {_list([d.profile.name for d in decisions if d.slice])} |
| compared for fairness | {_list([d.profile.name for d in decisions if d.sensitive])} |

Personal data are not used by the model. They never reach `data/interim` in the clear: they are
dropped, or hashed with your key (`prepare.pii`).

## Columns

{markdown([HEADER, *rows(decisions)])}

## Files

| file | rows | sha256 |
|---|---|---|
"""


def file_row(path: Path, height: int) -> str:
    """A line of the list of files."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"| {cell(path.name)} | {height:,} | {digest} |\n"


def split(decisions: list[ColumnPlan]) -> str:
    """How rows come to train, validation and test."""
    for decision in decisions:
        if decision.why.startswith("its rows stay"):
            return f"by the values of {cell(decision.profile.name)}"
    times = [decision.profile.name for decision in decisions if decision.role == "time"]
    return f"by time, {cell(times[0])}" if times else "by a stable hash"


def _list(values: object) -> str:
    listed = [f"`{cell(value)}`" for value in values]  # type: ignore[attr-defined]
    return ", ".join(listed) or "none"


def _mark(mark: str | None) -> str:
    return "not separated" if mark is None else f"`{mark}`"
