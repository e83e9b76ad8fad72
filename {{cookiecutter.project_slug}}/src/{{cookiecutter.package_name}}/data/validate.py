"""Stage `validate`: hold every raw partition against contract.yaml and CHECKS."""

from mlops_loop.console import track
from mlops_loop.data.contract import load_contract
from mlops_loop.data.known_target import find_definitions
from mlops_loop.data.tables import read_table
from mlops_loop.data.validation import Violation, unreadable, validate, write_report
from mlops_loop.files import BrokenFile, partitions
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..features.definitions import CHECKS, TARGET


def main(paths: Paths) -> None:
    """Validate data/raw into reports/validation.json."""
    contract = load_contract(paths.contract)
    rows: dict[str, int] = {}
    violations: list[Violation] = []
    for path in track(partitions(paths.raw), "validate"):
        try:
            frame = read_table(path)
        except BrokenFile as error:
            violations.append(unreadable(error))
            continue
        rows[path.name] = frame.height
        own, _, checks = find_definitions(frame.columns, contract, TARGET, CHECKS)
        violations += validate(frame, own, path.name, checks)
    write_report(paths.validation_report, rows, violations)


if __name__ == "__main__":
    run_stage(main, PROJECT)
