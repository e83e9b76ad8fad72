"""Violations of the contract, and their report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from ..console import aligned
from ..files import BrokenFile, write_json
from ..project import UserError
from .contract import CHECKED_ROLES, Contract, check_values


@dataclass(frozen=True)
class Violation:
    """A rule that `count` values of a column break, with one of them."""

    file: str
    column: str
    rule: str
    count: int
    example: str


def validate(frame: pl.DataFrame, contract: Contract, file: str) -> list[Violation]:
    """Every violation of one raw partition; an empty list means that it keeps the contract."""
    if frame.is_empty():
        return [Violation(file, "(table)", "has rows", 0, "no rows")]
    violations, checked = [], []
    for column in contract.columns:
        if column.role not in CHECKED_ROLES:
            continue
        if column.name not in frame.columns:
            violations.append(Violation(file, column.name, "is present", 1, "column not found"))
        elif not frame[column.name].count():
            violations.append(Violation(file, column.name, "has values", frame.height, "all null"))
        else:
            checked.append(column)
    # Reports are committed: personal data must not be in them.
    personal = {column.name for column in contract.columns if column.pii}
    _, found = check_values(frame, checked)
    groups = found.group_by("column", "rule", maintain_order=True)
    for column, rule, count, row, value in groups.agg(
        count=pl.len(), row=pl.col("row").first() + 1, value=pl.col("value").first()
    ).iter_rows():
        example = f"row {row}: {'(personal data)' if column in personal else value}"
        violations.append(Violation(file, column, rule, count, example))
    duplicates = frame.height - frame.hash_rows().n_unique()
    if duplicates > contract.max_duplicate_share * frame.height:
        rule = f"duplicates <= {contract.max_duplicate_share:.1%}"
        share = f"{duplicates / frame.height:.1%} of the rows"
        violations.append(Violation(file, "(table)", rule, duplicates, share))
    return violations


def unreadable(error: BrokenFile) -> Violation:
    """The violation of a file that cannot be read at all."""
    return Violation(error.file, "(file)", "is readable", 1, error.problem)


def write_report(path: Path, rows: Mapping[str, int], violations: Sequence[Violation]) -> None:
    """Write reports/validation.json; raises UserError with a table of the violations, if any."""
    found = [asdict(violation) for violation in violations]
    write_json(path, {"valid": not found, "rows": rows, "violations": found})
    if found:
        table = [tuple(found[0]), *(tuple(map(str, row.values())) for row in found)]
        lines = "\n".join(aligned(table))
        raise UserError(
            f"the data violate contract.yaml; nothing was trained.\n{lines}\n"
            f"Fix the data or correct contract.yaml. Full report: {path}"
        )
