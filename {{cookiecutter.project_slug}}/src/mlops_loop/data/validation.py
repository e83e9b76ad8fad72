"""Violations of the contract, and the report of them."""

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

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
    used = [column for column in contract.columns if column.role in CHECKED_ROLES]
    missing = [column.name for column in used if column.name not in frame.columns]
    all_null = [c.name for c in used if c.name not in missing and not frame[c.name].count()]
    checked = [column for column in used if column.name not in (*missing, *all_null)]
    return [
        *(Violation(file, name, "is present", 1, "column not found") for name in missing),
        *(Violation(file, name, "has values", frame.height, "all null") for name in all_null),
        *_grouped(_without_people(check_values(frame, checked, contract.text)[1], contract), file),
        *_duplicates(frame, contract, file),
    ]


def _without_people(found: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Reports are committed: a personal value that breaks a rule is not shown in them."""
    personal = pl.col("column").is_in([column.name for column in contract.columns if column.pii])
    hidden = pl.when(personal).then(pl.lit("(personal data)")).otherwise("value")
    return found.with_columns(value=hidden)


def _grouped(found: pl.DataFrame, file: str) -> list[Violation]:
    groups = found.group_by("column", "rule", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("row").first(), pl.col("value").first()
    )
    return [
        Violation(file, g["column"], g["rule"], g["count"], f"row {g['row'] + 1}: {g['value']}")
        for g in groups.iter_rows(named=True)
    ]


def _duplicates(frame: pl.DataFrame, contract: Contract, file: str) -> list[Violation]:
    count = frame.height - frame.hash_rows().n_unique()
    if count <= contract.max_duplicate_share * frame.height:
        return []
    rule = f"duplicates <= {contract.max_duplicate_share:.1%}"
    return [Violation(file, "(table)", rule, count, f"{count / frame.height:.1%} of the rows")]


def unreadable(error: BrokenFile) -> Violation:
    """The violation of a file that cannot be read at all."""
    return Violation(error.file, "(file)", "is readable", 1, error.problem)


def write_report(path: Path, rows: dict[str, int], violations: list[Violation]) -> None:
    """Write reports/validation.json; raises UserError with a table if anything is violated."""
    report = {
        "valid": not violations,
        "rows": rows,
        "violations": [asdict(violation) for violation in violations],
    }
    write_json(path, report)
    if violations:
        raise UserError(
            "the data break contract.yaml; nothing was trained.\n"
            f"{_table(violations)}\n"
            f"Mend the data, or edit contract.yaml where it is wrong (all of it: {path})."
        )


def _table(violations: list[Violation]) -> str:
    rows = [("file", "column", "rule", "count", "example")]
    rows += [(v.file, v.column, v.rule, str(v.count), v.example) for v in violations]
    widths = [min(max(len(row[i]) for row in rows), 60) for i in range(5)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)
