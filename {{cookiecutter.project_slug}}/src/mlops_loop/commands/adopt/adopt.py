"""`make adopt`: a table of your own in place of the example, or one more file of the same table.

Reads and decides first; then contract.yaml, params.yaml, features/definitions.py, docs/ and
data/external change together or not at all. Nothing is committed.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ...console import aligned, working
from ...data.contract import Contract, load_contract
from ...data.tables import read_table
from ...data.validation import Violation, validate
from ...files import replaced, write_text
from ...lineage import NOT_CODE, git
from ...project import Paths, UserError
from ...sections import Ingest
from . import data_card as card
from .definitions import definitions, slug
from .profile import Table, profile
from .roles import check_names, decide, find_task
from .write import contract_text, params_text, tree_size

NOT_TABLES = (":(exclude)*.csv*", ":(exclude)*.tsv*", ":(exclude)*.parquet")
TASKS = ("regression", "classification", "binary", "multiclass")


@dataclass(frozen=True)
class Options:
    """What the user asks for."""

    data: Path
    target: str | None
    time: str | None
    group: str | None
    task: str | None
    force: bool


@dataclass(frozen=True)
class Plan:
    """All that will be written: texts (None removes the file), and the folder of the data."""

    texts: dict[Path, str | None]
    folder: Path
    fresh: bool
    said: list[str]


def plan_new_table(args: Options, raw: pl.DataFrame, paths: Paths) -> Plan:
    """Decide about every column of an unknown table."""
    if args.target is None:
        raise UserError("name the column to predict: make adopt DATA=file TARGET=column")
    table = profile(raw)
    named_time = None if args.time == "none" else args.time
    check_names(table, target=args.target, time=named_time, group=args.group)
    check_time(table, named_time)
    table, task = find_task(table, args.target, args.task)
    decisions = decide(table, args.target, task, args.time, args.group)
    if all(decision.kind == "none" for decision in decisions):
        reasons = "\n".join(f"  {d.profile.name}: {d.why}" for d in decisions)
        raise UserError(f"{args.data}: no column is left to predict from.\n{reasons}")
    folder = paths.external / slug(args.data.name.split(".")[0])
    title = args.data.name.split(".")[0]
    ordered = args.group or any(decision.role == "time" for decision in decisions)
    size = tree_size(table.frame.height, shuffled=not ordered)
    page = card.page(title, args.target, task, table, decisions)
    texts = {
        paths.contract: contract_text(paths.contract, table, task, decisions),
        paths.params: params_text(paths, folder, task, args.group, size),
        paths.definitions: definitions(
            paths.definitions.read_text(encoding="utf-8"), args.target, task, decisions
        ),
        paths.data_card: page + card.file_row(args.data, raw.height),
        **without_example(paths),
    }
    said = [
        *aligned([card.HEADER, *card.rows(decisions)]),
        "",
        f"  target      {args.target}",
        f"  task        {task.name}: {task.why}",
        f"  split       {card.split(decisions)}",
        f"  slices      {', '.join(d.profile.name for d in decisions if d.slice) or 'none'}",
        f"  sensitive   {', '.join(d.profile.name for d in decisions if d.sensitive) or 'none'}",
    ]
    return Plan(texts, folder, True, said)


def check_time(table: Table, time: str | None) -> None:
    """Raise UserError for a time column that holds no dates."""
    if time and not table.profiles[time].dtype.startswith("Date"):
        raise UserError(f"TIME={time}: holds {table.profiles[time].dtype}, not dates.")


def plan_new_file(
    args: Options, raw: pl.DataFrame, paths: Paths, predicted: pl.Expr, ingest: Ingest
) -> Plan:
    """One more file of the table that the project knows; raises UserError if it is another one."""
    contract = load_contract(paths.contract)
    folder = place(paths, ingest)
    violations = validate(raw, contract, args.data.name)
    difference = differences(raw, contract, violations)
    target = predicted.meta.root_names()
    if args.target is not None and args.target not in target:
        difference.append(f"TARGET={args.target}: the project predicts {', '.join(target)}")
    if difference:
        raise UserError(
            f"{args.data}: another table than contract.yaml describes; nothing was changed.\n"
            + "\n".join(f"  {line}" for line in difference)
            + "\nMend the file, or adopt it in place of the old table with TARGET=… FORCE=1."
        )
    check_place(args.data, folder)
    listed = paths.data_card.read_text(encoding="utf-8") if paths.data_card.exists() else ""
    said = [f"  {args.data.name}: {raw.height:,} rows, of the columns that contract.yaml lists"]
    changes = [(v.column, v.rule, str(v.count), v.example) for v in violations]
    if changes:
        said += aligned([("column", "breaks the rule", "count", "example"), *changes])
        said += ["  Mend the file or widen contract.yaml: until then `make train` stops there."]
    row = card.file_row(args.data, raw.height)
    return Plan({paths.data_card: listed + row}, folder, False, said)


def place(paths: Paths, ingest: Ingest) -> Path:
    """The folder of the project's files; raises UserError where params.yaml names a single file."""
    path = (ingest.model_extra or {}).get("path")
    folder = paths.root / str(path)
    if not folder.is_dir():
        raise UserError(
            f"params.yaml: ingest.path: {path} is no folder; move your file into one, name that "
            "there and give it to `dvc add`, or adopt anew with TARGET=... FORCE=1."
        )
    return folder


def differences(raw: pl.DataFrame, contract: Contract, violations: list[Violation]) -> list[str]:
    """How the columns of a table differ from the contract's: missing, new, of another type."""
    known = [column.name for column in contract.columns]
    missing = [f"{name}: is missing" for name in known if name not in raw.columns]
    new = [f"{name}: is new" for name in raw.columns if name not in known]
    other = [
        f"{v.column}: {v.count} values are no {v.rule.removeprefix('is ')}, {v.example}"
        for v in violations
        if v.rule.startswith("is ") and v.column in raw.columns
    ]
    return [*missing, *new, *other]


def check_place(data: Path, folder: Path) -> None:
    """Raise UserError if the folder has a file of this name already."""
    place = folder / data.name
    if place.exists() and place.resolve() != data.resolve():
        same = place.read_bytes() == data.read_bytes()
        problem = "is there already" if same else "has other content; rename the new file"
        raise UserError(f"{place}: {problem}. Nothing was changed.")


def without_example(paths: Paths) -> dict[Path, str | None]:
    """The example's own files, to be removed, and what is left of its charter and behaviour."""
    texts: dict[Path, str | None] = {path: None for path in paths.example if path.exists()}
    if texts and paths.charter.exists():
        charter = paths.charter.read_text(encoding="utf-8")
        own = re.sub(r"^>.*\n", "", charter, flags=re.MULTILINE)
        texts[paths.charter] = re.sub(r"\n{3,}", "\n\n", own)
    if texts and paths.behaviour.exists():
        behaviour = paths.behaviour.read_text(encoding="utf-8")
        texts[paths.behaviour] = re.sub(r"^[^#].*\n", "", behaviour, flags=re.MULTILINE)
    return texts


@contextmanager
def all_or_nothing(root: Path, paths: Collection[Path]) -> Iterator[None]:
    """Put files back as they were, and remove new ones, if anything fails."""
    with TemporaryDirectory(dir=root, prefix=".adopt-") as folder:
        backups = {path: Path(folder) / str(number) for number, path in enumerate(paths)}
        for path, backup in backups.items():
            if path.exists():
                # A link costs nothing, however large the file; nothing here writes into files.
                backup.hardlink_to(path)
        try:
            yield
        except BaseException:
            for path, backup in backups.items():
                backup.replace(path) if backup.exists() else path.unlink(missing_ok=True)
            raise


def carry_out(plan: Plan, data: Path, paths: Paths) -> None:
    """Write everything, the data first, and give the data to DVC."""
    place = plan.folder / data.name
    pointer = plan.folder.with_name(f"{plan.folder.name}.dvc")
    others = {path for path in plan.folder.glob("*") if path != place} if plan.fresh else set()
    with all_or_nothing(paths.root, [*plan.texts, pointer, place, *others]):
        if place.resolve() != data.resolve():
            with replaced(place) as temporary:
                shutil.copyfile(data, temporary)
        for path in others:
            path.unlink()
        for path, text in plan.texts.items():
            write(path, text)
        if paths.definitions in plan.texts:
            tool(paths, "black", "--quiet", paths.definitions)
        tool(paths, "dvc", "add", "--quiet", plan.folder)


def write(path: Path, text: str | None) -> None:
    """Write a text, or remove the file where there is none."""
    if text is None:
        path.unlink()
        return
    write_text(path, text)


def tool(paths: Paths, *command: str | Path) -> None:
    """Run a tool of this environment; raises UserError with its words."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=paths.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{command[0]}: {done.stderr.strip()} Nothing was changed.")


def check_clean(paths: Paths) -> None:
    """Raise UserError where git holds a commit and files differ from it: they could be lost.

    Tables that lie about, like the one to adopt, are nobody's code.
    """
    if git(paths.root, "rev-parse", "--verify", "HEAD"):
        how = ("--porcelain", "--untracked-files=all", "--", ".")
        changes = git(paths.root, "status", *how, *NOT_CODE, *NOT_TABLES)
        if changes:
            listed = "\n".join(f"  {line}" for line in changes.splitlines())
            raise UserError(
                f"these files differ from the last commit; commit or stash them first:\n{listed}"
            )


def parse(arguments: Sequence[str]) -> Options:
    """The arguments as make passes them on; blank ones are as good as none."""
    parser = argparse.ArgumentParser(prog="make adopt")
    for name in ("data", "target", "time", "group", "task", "force"):
        parser.add_argument(f"--{name}", type=lambda value: value or None)
    given = parser.parse_args(arguments)
    if given.data is None:
        raise UserError("name the file: make adopt DATA=path/to/file TARGET=column")
    if given.task not in (None, *TASKS):
        raise UserError(f"TASK={given.task}: is none of {', '.join(TASKS)}.")
    data = Path(given.data).expanduser().absolute()
    return Options(
        data, given.target, given.time, given.group, given.task, given.force not in (None, "0")
    )


def main(paths: Paths, predicted: pl.Expr, ingest: Ingest, arguments: Sequence[str]) -> None:
    """Adopt DATA: the first file of a table, or one more of it."""
    args = parse(arguments)
    check_clean(paths)
    known = ingest.source == "file"
    with working(f"reading {args.data.name}"):
        raw = read_table(args.data)
        plan = (
            plan_new_file(args, raw, paths, predicted, ingest)
            if known and not args.force
            else plan_new_table(args, raw, paths)
        )
    print("\n".join(plan.said))
    carry_out(plan, args.data, paths)
    print(f"  files       {plan.folder.relative_to(paths.root)}, held by DVC")
    if plan.fresh:
        print("  decided in  contract.yaml, params.yaml, features/definitions.py: edit them")
    print("  next        read docs/data_card.md, then make train")
