"""`make adopt`: a table or query of yours in place of the example, or one more file of the table.

Reads and decides first; then contract.yaml, params.yaml, features/definitions.py, docs/ and
data/external change together or not at all. Nothing is committed.
"""

import re
import shutil
from argparse import Namespace
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ...config import Ingest, edit
from ...console import aligned, parse, working
from ...data.contract import load_contract
from ...data.sources import Query, read_query
from ...data.tables import read_table
from ...data.validation import validate
from ...files import replaced, write_text
from ...lineage import NOT_CODE, git
from ...project import Paths, UserError
from ..pipeline import run_module
from . import render
from .profile import TEMPORAL, profile
from .roles import find_task, find_totals, plan_columns

NOT_TABLES = (":(exclude)*.csv*", ":(exclude)*.tsv*", ":(exclude)*.parquet")
TASKS = ("regression", "classification")


@dataclass(frozen=True)
class Plan:
    """All that will be written: texts (None removes the file), params, the folder of the data."""

    folder: Path
    texts: dict[Path, str | None]
    params: dict[str, object]
    summary: list[str]


def plan_new_table(args: Namespace, raw: pl.DataFrame, paths: Paths) -> Plan:
    """Plan every column of an unknown table; raises UserError if nothing can be predicted."""
    table = profile(raw)
    dates = [name for name, p in table.items() if p.column.dtype in TEMPORAL]
    for argument, name, known in (
        ("TARGET", args.target or "", table),
        ("TIME", args.time, ["none", *dates]),
        ("GROUP", args.group, table),
        ("TASK", args.task, TASKS),
    ):
        if name not in (None, *known):
            raise UserError(f"{argument}={name}: is not suitable; choose {', '.join(known)}.")
    for total in find_totals(table):
        raise UserError(f"{args.data}: row {total + 1} holds the sums of all others; delete it.")
    task = find_task(table[args.target], args.task)
    plans = plan_columns(table, args.target, task, args.time, args.group)
    if not any(plan.kind for plan in plans):
        reasons = "\n".join(aligned(render.column_table(plans)))
        raise UserError(f"{args.data}: no column is left to predict from.\n{reasons}")
    title = args.data.name.split(".")[0]
    folder = paths.external / (re.sub(r"\W+", "_", title).strip("_").lower() or "table")
    time = next((plan.column.name for plan in plans if plan.column.role == "time"), None)
    by, duplicates = args.group or time, 1 - raw.hash_rows().n_unique() / raw.height
    card = render.data_card(title, args.target, task, by or "a stable hash", plans)
    texts = {
        paths.contract: render.contract_text(paths.contract, duplicates, task, plans),
        paths.definitions: render.definitions(paths.definitions, args.target, task, plans),
        paths.data_card: card + render.file_row(args.data, raw.height),
        **{path: None for path in folder.glob("*") if path.name != args.data.name},
        **without_example(paths),
    }
    place = folder.relative_to(paths.root).as_posix()
    params = render.params(place, task, args.group, raw.height, shuffled=by is None)
    summary = [*aligned(render.column_table(plans)), ""]
    summary += [f"  task        {task.name}: {task.why}", f"  split by    {by or 'a stable hash'}"]
    return Plan(folder, texts, params, summary)


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
    known, target = [column.name for column in contract.columns], predicted.meta.root_names()
    problems = [f"{name}: is new" for name in raw.columns if name not in known]
    broken = [f"{v.column}: {v.count} break `{v.rule}`, {v.example}" for v in violations]
    if any(v.rule.startswith("is ") for v in violations):
        problems += broken
    if args.target not in (None, *target):
        problems.append(f"TARGET={args.target}: the project predicts {', '.join(target)}")
    if problems:
        raise UserError(
            f"{args.data}: another table than contract.yaml describes; nothing was changed.\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nFix the file, or adopt it in place of the old table with TARGET=… FORCE=1."
        )
    place = folder / args.data.name
    if place.exists() and place.resolve() != args.data.resolve():
        raise UserError(f"{place}: is there already; rename a new file. Nothing was changed.")
    summary = [f"  {args.data.name}: {raw.height:,} rows, of the columns that contract.yaml lists"]
    if broken:
        summary += [f"  {sentence}" for sentence in broken]
        summary += ["  Fix the file or widen contract.yaml: until then `make train` stops there."]
    card = paths.data_card
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    return Plan(folder, {card: text + render.file_row(args.data, raw.height)}, {}, summary)


def without_example(paths: Paths) -> dict[Path, str | None]:
    """Remove the example's own files, and its words from the charter and the behaviour."""
    modules = (m for folder in ("src", "tests") for m in (paths.root / folder).rglob("*.py"))
    marked = (m for m in modules if m.read_text(encoding="utf-8").startswith('"""Example: '))
    texts: dict[Path, str | None] = dict.fromkeys(marked)
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


def carry_out(plan: Plan, data: Path | None, paths: Paths) -> list[str]:
    """Write everything, the file first, if it is one; returns the keys that params.yaml lacks."""
    place, missing = plan.folder / (data.name if data else ""), []
    pointer = plan.folder.with_name(f"{plan.folder.name}.dvc")
    with all_or_nothing(paths.root, [*plan.texts, paths.params, pointer, place]):
        if data and place.resolve() != data.resolve():
            with replaced(place) as temporary:
                shutil.copyfile(data, temporary)
        for path, text in plan.texts.items():
            path.unlink() if text is None else write_text(path, text)
        if plan.params:
            missing, definitions = edit(paths.params, plan.params), str(paths.definitions)
            run_module(paths.root, "black", "--quiet", definitions)
            # Names may be longer than a line, and hold letters that look like others.
            run_module(paths.root, "ruff", "check", "--quiet", "--add-noqa", definitions)
        if data:
            run_module(paths.root, "dvc", "add", "--quiet", str(plan.folder))
    return missing


def check_clean(paths: Paths) -> None:
    """Raise UserError where files differ from git's last commit: changes could be lost.

    Tables that lie about, like the one to adopt, are not code.
    """
    if git(paths.root, "rev-parse", "--verify", "HEAD"):
        how = ("--porcelain", "--untracked-files=all", "--", ".")
        if changes := git(paths.root, "status", *how, *NOT_CODE, *NOT_TABLES):
            raise UserError(
                f"these files differ from the last commit; commit or stash them first:\n{changes}"
            )


def main(paths: Paths, predicted: pl.Expr, ingest: Ingest, arguments: Sequence[str]) -> None:
    """Adopt DATA, the first file of a table or one more of it, or a QUERY of SOURCE_URL."""
    names = ("data", "query", "increment", "target", "time", "group", "task", "force")
    args = parse("adopt", arguments, **dict.fromkeys(names))
    if (args.data is None) == (args.query is None):
        raise UserError("name the file or a query: make adopt DATA=path/to/file TARGET=column")
    args.data = Path(args.data or "query").expanduser().absolute()
    check_clean(paths)
    with working(f"reading {args.data.name}"):
        if args.query:
            query = Query(query=args.query, increment=args.increment)
            plan = plan_new_table(args, read_query(query, paths), paths)
            plan.params["ingest"] = {"source": "sql", **query.model_dump()}
        elif ingest.source == "file" and args.force in (None, "0"):
            plan = plan_new_file(args, read_table(args.data), paths, predicted, ingest)
        else:
            plan = plan_new_table(args, read_table(args.data), paths)
    print(*plan.summary, sep="\n")
    missing = carry_out(plan, None if args.query else args.data, paths)
    if not args.query:
        print(f"  files       {plan.folder.relative_to(paths.root)}, held by DVC")
    if missing:
        print(f"  not set     {', '.join(missing)}: params.yaml has no such key")
    print("  next        read docs/data_card.md, then make train")
