"""Violations of the contract and of a project's own checks, and their report."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from ..console import aligned
from ..files import BrokenFile, write_json
from ..project import UserError
from .contract import CHECKED_ROLES, Contract, check_values, compute
from .known_target import ID


@dataclass(frozen=True)
class Violation:
    """A rule that `count` values of a column break, with one of them."""

    file: str
    column: str
    rule: str
    count: int
    example: str


def validate(
    frame: pl.DataFrame, contract: Contract, file: str, checks: Sequence[pl.Expr] = ()
) -> list[Violation]:
    """Every violation of one raw partition; an empty list means that it keeps the contract.

    Raises UserError for a check that cannot be computed.
    """
    of_log = ID in frame.columns  # a month of which may have few rows, or none
    if frame.is_empty():
        return [] if of_log else [Violation(file, "(table)", "has rows", 0, "no rows")]
    violations, checked = [], []
    for column in contract.columns:
        if column.role not in CHECKED_ROLES:
            continue
        if column.name not in frame.columns:
            violations.append(Violation(file, column.name, "is present", 1, "column not found"))
        elif not frame[column.name].count() and not (of_log and column.nullable):
            violations.append(Violation(file, column.name, "has values", frame.height, "all null"))
        else:
            checked.append(column)
    # Reports are committed: personal data must not be in them.
    personal = {column.name for column in contract.columns if column.pii}
    typed, found = check_values(frame, checked)
    groups = found.group_by("column", "rule", maintain_order=True)
    for column, rule, count, row, value in groups.agg(
        count=pl.len(), row=pl.first("row") + 1, value=pl.first("value")
    ).iter_rows():
        example = f"row {row}: {'(personal data)' if column in personal else value}"
        violations.append(Violation(file, column, rule, count, example))
    # What the contract's columns lack is said already.
    lacking = {*contract.names(*CHECKED_ROLES)} - {*typed.columns}
    for check in checks:
        if not lacking.intersection(check.meta.root_names()):
            violations += find_failures(check, typed, personal, file)
    duplicates = frame.height - frame.hash_rows().n_unique()
    shares = [("(table)", "duplicates", duplicates, contract.max_duplicate_share)]
    for column in checked:
        if column.max_missing is not None:
            missing = typed[column.name].null_count()
            shares.append((column.name, "missing", missing, column.max_missing))
    for name, what, count, most in shares:
        if count > most * frame.height:
            share = f"{count / frame.height:.1%} of the rows"
            violations.append(Violation(file, name, f"{what} <= {most:.1%}", count, share))
    return violations


def find_old(contract: Contract, files: Iterable[Path]) -> list[Violation]:
    """The violation of data whose newest row is older than `max_age_days` of the time column.

    Files without the column, or without a time that can be read, are left to `validate`.
    """
    tables = [pl.scan_parquet(file) for file in files]
    for column in contract.columns:
        most, times = column.max_age_days, []
        if most is None:
            continue
        for table in tables:
            if column.name in table.collect_schema():
                newest = contract.read(table, [column.name]).max().cast(pl.Datetime)
                times += newest.drop_nulls().collect().to_series().to_list()
        if times and (age := (datetime.now() - max(times)).days) > most:
            rule = f"<= {most} days old"
            example = f"{max(times):%Y-%m-%d}, {age} days old"
            return [Violation("(newest row)", column.name, rule, 1, example)]
    return []


def find_failures(
    check: pl.Expr, frame: pl.DataFrame, personal: Collection[str], file: str
) -> list[Violation]:
    """The violation of a check that some rows, or the frame as a whole, do not pass."""
    rule = (
        "CHECKS hold one column each of true or false, for each row or for all, from columns of "
        "contract.yaml that are not ignored."
    )
    result = compute(check, frame, rule)
    if result.dtypes != [pl.Boolean] or result.height not in (1, frame.height):
        raise UserError(
            f"definitions.py: {check}: yields {result.height} rows of {result.schema}\n{rule}"
        )
    failed = ~result.to_series().fill_null(True)
    rows, example = failed.arg_true(), "the file as a whole"
    if rows.is_empty():
        return []
    if len(failed) == frame.height:
        row = rows[0]
        values = frame.row(row, named=True) | dict.fromkeys(personal, "(personal data)")
        used = [f"{name} {values[name]}" for name in dict.fromkeys(check.meta.root_names())]
        example = f"row {row + 1}: {', '.join(used)}"
    return [Violation(file, "(check)", failed.name, len(rows), example)]


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
            f"the data violate contract.yaml or CHECKS; nothing was trained.\n{lines}\n"
            f"Fix the data or correct contract.yaml or CHECKS (definitions.py). Full report: {path}"
        )
