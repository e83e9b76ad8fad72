"""`make adopt`: a table of your own in place of the example, or one more file of the same table.

Reads and decides first; then contract.yaml, params.yaml, features/definitions.py, docs/ and
data/external change together or not at all. Nothing is committed.
"""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ...config import edit
from ...console import aligned, parse, working
from ...data.contract import DTYPES, Contract, load_contract
from ...data.tables import read_table
from ...data.validation import Violation, validate
from ...files import replaced, write_text
from ...lineage import NOT_CODE, git
from ...project import Paths, UserError
from ...sections import Ingest
from . import data_card, render
from .profile import TEMPORAL, profile
from .roles import check_names, find_task, plan_columns

NOT_TABLES = (":(exclude)*.csv*", ":(exclude)*.tsv*", ":(exclude)*.parquet")
TASKS = ("regression", "classification", "binary", "multiclass")


@dataclass(frozen=True)
class Plan:
    """All that will be written: texts (None removes the file), params, the folder of the data."""

    folder: Path
    texts: dict[Path, str | None]
    params: dict[str, object]
    summary: list[str]


def plan_new_table(args: Namespace, raw: pl.DataFrame, paths: Paths) -> Plan:
    """Plan every column of an unknown table; raises UserError if nothing can be predicted."""
    if args.target is None:
        raise UserError("name the column to predict: make adopt DATA=file TARGET=column")
    table = profile(raw)
    time = None if args.time == "none" else args.time
    check_names(table, target=args.target, time=time, group=args.group)
    if time and table.profiles[time].dtype not in TEMPORAL:
        raise UserError(f"TIME={time}: holds {table.profiles[time].dtype}, not dates.")
    table, task = find_task(table, args.target, args.task)
    plans = plan_columns(table, args.target, task, args.time, args.group)
    if not any(plan.kind for plan in plans):
        reasons = "\n".join(f"  {plan.profile.name}: {plan.why}" for plan in plans)
        raise UserError(f"{args.data}: no column is left to predict from.\n{reasons}")
    title = args.data.name.split(".")[0]
    folder = paths.external / (re.sub(r"\W+", "_", title).strip("_").lower() or "table")
    shuffled = not args.group and all(plan.role != "time" for plan in plans)
    page = data_card.page(title, args.target, task, table, plans)
    texts = {
        paths.contract: render.contract_text(paths.contract, table, task, plans),
        paths.definitions: render.definitions(paths.definitions, args.target, task, plans),
        paths.data_card: page + data_card.file_row(args.data, raw.height),
        **without_example(paths),
    }
    place = folder.relative_to(paths.root).as_posix()
    params = render.params(place, task, args.group, raw.height, shuffled)
    return Plan(folder, texts, params, data_card.summary_lines(args.target, task, plans))


def plan_new_file(
    args: Namespace, raw: pl.DataFrame, paths: Paths, predicted: pl.Expr, ingest: Ingest
) -> Plan:
    """Plan one more file of the known table; raises UserError if it is another table."""
    contract, path = load_contract(paths.contract), (ingest.model_extra or {}).get("path")
    folder = paths.root / str(path)
    if not folder.is_dir():
        raise UserError(
            f"params.yaml: ingest.path: {path} is not a folder; move your file into one, name that "
            "there and give it to `dvc add`, or adopt anew with TARGET=... FORCE=1."
        )
    violations = validate(raw, contract, args.data.name)
    difference = differences(raw, contract, violations)
    target = predicted.meta.root_names()
    if args.target is not None and args.target not in target:
        difference.append(f"TARGET={args.target}: the project predicts {', '.join(target)}")
    if difference:
        raise UserError(
            f"{args.data}: another table than contract.yaml describes; nothing was changed.\n"
            + "\n".join(f"  {line}" for line in difference)
            + "\nFix the file, or adopt it in place of the old table with TARGET=… FORCE=1."
        )
    place = folder / args.data.name
    if place.exists() and place.resolve() != args.data.resolve():
        same = place.read_bytes() == args.data.read_bytes()
        problem = "is there already" if same else "has other content; rename the new file"
        raise UserError(f"{place}: {problem}. Nothing was changed.")
    summary = [f"  {args.data.name}: {raw.height:,} rows, of the columns that contract.yaml lists"]
    changes = [(v.column, v.rule, str(v.count), v.example) for v in violations]
    if changes:
        summary += aligned([("column", "breaks the rule", "count", "example"), *changes])
        summary += ["  Fix the file or widen contract.yaml: until then `make train` stops there."]
    card = paths.data_card
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    return Plan(folder, {card: text + data_card.file_row(args.data, raw.height)}, {}, summary)


def differences(raw: pl.DataFrame, contract: Contract, violations: list[Violation]) -> list[str]:
    """List how the columns of a table differ from the contract's: missing, new, of another type."""
    dtypes = {column.name: column.dtype for column in contract.columns}
    other = [
        f"{v.column}: {v.count} values are no {dtypes[v.column]}, {v.example}"
        for v in violations
        if v.column in dtypes and v.rule == f"is {DTYPES[dtypes[v.column]]}"
    ]
    missing = [f"{name}: is missing" for name in dtypes if name not in raw.columns]
    return missing + [f"{name}: is new" for name in raw.columns if name not in dtypes] + other


def without_example(paths: Paths) -> dict[Path, str | None]:
    """Remove the example's own files, and its words from the charter and the behaviour."""
    texts: dict[Path, str | None] = {path: None for path in paths.example if path.exists()}
    for path, example in ((paths.charter, r"(?m)^>.*\n"), (paths.behaviour, r"(?m)^[^#\n].*\n")):
        if texts and path.exists():
            own = re.sub(example, "", path.read_text(encoding="utf-8"))
            texts[path] = re.sub(r"\n{3,}", "\n\n", own)
    return texts


@contextmanager
def all_or_nothing(root: Path, paths: Collection[Path]) -> Iterator[None]:
    """Restore files, and remove new ones, if anything fails."""
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


def carry_out(plan: Plan, data: Path, paths: Paths) -> list[str]:
    """Write everything, the data first; returns the keys that params.yaml lacks."""
    place, missing = plan.folder / data.name, []
    pointer = plan.folder.with_name(f"{plan.folder.name}.dvc")
    others = {path for path in plan.folder.glob("*") if path != place} if plan.params else set()
    with all_or_nothing(paths.root, [*plan.texts, paths.params, pointer, place, *others]):
        if place.resolve() != data.resolve():
            with replaced(place) as temporary:
                shutil.copyfile(data, temporary)
        for path in others:
            path.unlink()
        for path, text in plan.texts.items():
            path.unlink() if text is None else write_text(path, text)
        if plan.params:
            missing = edit(paths.params, plan.params)
            tool(paths, "black", "--quiet", paths.definitions)
        tool(paths, "dvc", "add", "--quiet", plan.folder)
    return missing


def tool(paths: Paths, *command: str | Path) -> None:
    """Run a tool of this environment; raises UserError with its message."""
    command_line = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(command_line, cwd=paths.root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{command[0]}: {done.stderr.strip()} Nothing was changed.")


def check_clean(paths: Paths) -> None:
    """Raise UserError where files differ from git's last commit: changes could be lost.

    Tables that lie about, like the one to adopt, are not code.
    """
    if git(paths.root, "rev-parse", "--verify", "HEAD"):
        how = ("--porcelain", "--untracked-files=all", "--", ".")
        changes = git(paths.root, "status", *how, *NOT_CODE, *NOT_TABLES)
        if changes:
            listed = "\n".join(f"  {line}" for line in changes.splitlines())
            raise UserError(
                f"these files differ from the last commit; commit or stash them first:\n{listed}"
            )


def read_arguments(arguments: Sequence[str]) -> Namespace:
    """Read the arguments of `make adopt`."""
    names = ("data", "target", "time", "group", "task", "force")
    args = parse("adopt", arguments, **dict.fromkeys(names))
    if args.data is None:
        raise UserError("name the file: make adopt DATA=path/to/file TARGET=column")
    if args.task not in (None, *TASKS):
        raise UserError(f"TASK={args.task}: is none of {', '.join(TASKS)}.")
    args.data, args.force = Path(args.data).expanduser().absolute(), args.force not in (None, "0")
    return args


def main(paths: Paths, predicted: pl.Expr, ingest: Ingest, arguments: Sequence[str]) -> None:
    """Adopt DATA: the first file of a table, or one more of it."""
    args = read_arguments(arguments)
    check_clean(paths)
    with working(f"reading {args.data.name}"):
        raw = read_table(args.data)
        if ingest.source == "file" and not args.force:
            plan = plan_new_file(args, raw, paths, predicted, ingest)
        else:
            plan = plan_new_table(args, raw, paths)
    print(*plan.summary, sep="\n")
    missing = carry_out(plan, args.data, paths)
    print(f"  files       {plan.folder.relative_to(paths.root)}, held by DVC")
    if plan.params:
        print("  decided in  contract.yaml, params.yaml, features/definitions.py: edit them")
    if missing:
        print(f"  not set     {', '.join(missing)}: params.yaml has no such key")
    print("  next        read docs/data_card.md, then make train")
