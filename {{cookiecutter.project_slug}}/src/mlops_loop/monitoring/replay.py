"""`make replay`: months of requests through the real service, with the loop and without it.

Everything happens in a temporary clone of the last commit, with a store, a log and a cache of its
own. It trains a champion on the first months and serves it. The later months are requested day by
day, their truths come late, and each day ends with a turn of the loop. Meanwhile somebody sends
wrong truths, a model of wrong data is released, and the world changes.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
import polars.selectors as cs
import requests
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from ..commands.experiment import checkout
from ..commands.pipeline import dvc
from ..config import edit
from ..console import Arguments, Row, aligned, figure, markdown, parse, track
from ..data.contract import CHECKED_ROLES, check_values, load_contract, request_columns
from ..files import Content, partitions, read_json, replaced, write_json
from ..lineage import git
from ..models.bootstrap import Scoring, outcome
from ..models.model import load
from ..models.plots import canvas, save
from ..page import write_page
from ..project import Paths, UserError
from ..tracking import history, open_registry
from ..tracking.history import Entry
from .batch import Needs
from .shifts import HARMLESS, SHIFTS, shift, thin

LATE = timedelta(days=3)  # of truths
POISON, RELEASE = (3, 5), 12  # days of the first month: wrong truths, a model of wrong data
WRONG, FEWER = 0.3, 0.6  # shares: of wrong truths, of rows that a harmless drift leaves out
FEWER_FROM = 20  # day of the first month from which it does
USUAL = 0.05  # of the mean of rows a day: real months hold a few rows of other years
BATCH = 200  # records of a request
TOLD = ("promote", "reject", "rollback")  # events of the history that are in the table
# A clone has no .env; what the shell exports is the user's too.
FOREIGN = ("API_KEY_HASHES", "DATABASE_URL", "MLFLOW_TRACKING_URI", "NOTIFY_", "SMTP_", "TRIGGER")
TITLE = "The replayed days, with the loop and without it"
NOBODY = ("-c", "user.name=replay", "-c", "user.email=replay@localhost")

Events = list[tuple[date, Entry]]


@dataclass(frozen=True)
class Replayed:
    """The parts of the user's project that are replayed; `turn` is that of the loop on a day."""

    seed: int
    turn: Callable[[Paths, date], object]
    needs: Needs


def main(paths: Paths, project: Replayed, arguments: Arguments) -> None:
    """Replay MONTHS, with DRIFT from the second on, and print them as a table.

    Raises UserError where the project has no commit or no time column, and for a DRIFT that its
    columns cannot have.
    """
    usual = {"months": "4", "drift": "concept", "source": "", "base": "", "rows": "6000"}
    given, known = parse("replay", arguments, **usual), (*SHIFTS, HARMLESS, "none")
    if given.drift not in known:
        raise UserError(f"DRIFT={given.drift}: no such drift; name one of {', '.join(known)}.")
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ.setdefault("PII_KEY", "replay")
    with temporary_clone(paths) as clone:
        first, later = read_world(clone, project, given)
        train(clone, first, "first")
        git(clone.root, "add", "--all")
        git(clone.root, *NOBODY, "commit", "--quiet", "--message", "Replay")
        rows = change_world(clone, project, later, given.drift)
        answered, events = stream(clone, project, rows, first)
        scoring = project.needs.scoring
        losses = score(clone, scoring, answered)
        months = tell_months(losses, scoring, events)
        with replaced(paths.root / "reports" / "replay") as folder:
            shutil.copytree(clone.monitoring, folder)
            shutil.copy(clone.history, folder)
            write_json(folder / "replay.json", {"drift": given.drift, "months": months})
            (folder / "plots").mkdir()
            save(draw(losses, scoring, events), folder / "plots" / "replay.png")
            text = f"![replay](plots/replay.png)\n\n{markdown(tabulate(months, scoring))}"
            write_page(folder / "replay.html", title="Replay", text=f"# {TITLE}\n\n{text}")
    print(*aligned(tabulate(months, scoring)), sep="\n")
    print("Its picture: reports/replay/replay.html; the monitor's last page: index.html beside it")


@contextmanager
def temporary_clone(paths: Paths) -> Iterator[Paths]:
    """Clone the last commit, without remotes, on the project's environment."""
    commit = git(paths.root, "rev-parse", "HEAD")
    if not commit:
        raise UserError("a replay starts from the last commit, and there is none; commit first.")
    with checkout(commit, paths) as clone:
        (clone.root / ".dvc" / "config.local").unlink()
        for line in dvc(clone.root, "remote", "list").splitlines():
            dvc(clone.root, "remote", "remove", line.split()[0])
        git(clone.root, "remote", "remove", "origin")
        git(clone.root, "switch", "--quiet", "--create", "replay")
        (clone.root / ".venv").symlink_to(paths.root / ".venv")
        yield clone


def read_world(clone: Paths, project: Replayed, given: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the rows to begin with, and those of the months to replay with the `day` of each.

    A source that has other rows for another seed is a simulator: it gives its months again, moved
    by whole weeks. Of any other source the first half of the days is to begin with.
    """
    named = given.months.split(",")
    number = int(given.months) if given.months.isdigit() else len(named)
    values = {"ingest.source": given.source, "ingest.base": given.base}
    values["ingest.months"] = [] if given.months.isdigit() else named
    edit(clone.params, {key: value for key, value in values.items() if value})
    rows, origins = ingest(clone, project.seed)
    days, world = rows["day"].unique().sort(), [rows]
    begin = days[len(days) // 2]
    if origins != ingest(clone, project.seed + 1)[1]:
        begin = days[-1] + timedelta(days=1)
        for again in range(1, 2 + 31 * number // len(days)):
            more, _ = ingest(clone, project.seed + again)
            later = pl.duration(weeks=again * (len(days) // 7))
            world.append(more.with_columns(cs.temporal() + later))
    edit(clone.params, {"seed": project.seed})
    month, is_later = pl.col("day").dt.truncate("1mo"), pl.col("day") >= begin
    drawn = pl.int_range(pl.len()).shuffle(project.seed).over(month) < int(given.rows)
    rows = pl.concat(world, how="diagonal_relaxed").filter(drawn)
    asked = rows.filter(is_later).filter(month.rank("dense") <= number)
    return rows.filter(~is_later).drop("day"), asked.sort("day")


def ingest(clone: Paths, seed: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """Read what the source gives for a seed, but for days with hardly any rows, and its origins."""
    contract = load_contract(clone.contract)
    if not contract.names("time"):
        raise UserError("contract.yaml: no column has role time, so there are no days to replay.")
    edit(clone.params, {"seed": seed})
    dvc(clone.root, "repro", "ingest")
    rows = pl.concat(map(pl.read_parquet, partitions(clone.raw)), how="diagonal_relaxed")
    days = contract.read(rows, contract.names("time")).to_series().dt.date().alias("day")
    usual = pl.len().over("day") >= USUAL * pl.len() / pl.col("day").n_unique()
    return rows.with_columns(days).filter(usual), read_json(clone.raw / "manifest.json")


def train(clone: Paths, rows: pl.DataFrame, name: str) -> None:
    """Train on these rows, as a file of the project, up to a registered version."""
    file = clone.external / f"{name}.parquet"
    rows.write_parquet(file)
    edit(clone.params, {"ingest.source": "file", "ingest.path": str(file)})
    dvc(clone.root, "repro")


def choose_column(clone: Paths, suits: str) -> str:
    """The column of requests that a shift suits and that matters most to the model."""
    columns = {c.name: c for c in request_columns(load_contract(clone.contract))}
    roots = {f.meta.output_name(): f.meta.root_names() for f in load(clone.candidate).features}
    for feature in read_json(clone.explanations)["importance"]:
        for column in (columns[name] for name in roots.get(feature, ()) if name in columns):
            is_number = column.dtype in ("Int64", "Float64") and not column.categories
            kinds = "number" if is_number else "level", "nullable" * column.nullable
            if column.role == "input" and suits in kinds:
                return column.name
    raise UserError(f"DRIFT: the model uses no column of requests that is a {suits}.")


def change_world(clone: Paths, project: Replayed, rows: pl.DataFrame, drift: str) -> pl.DataFrame:
    """The columns of requests, `day`, `truth`, `told` (the truth that is sent), and `kept`.

    Rows that the service would refuse are left out.
    """
    contract, start = load_contract(clone.contract), rows["day"].min()
    target, rules = project.needs.target, project.needs.keep
    keep = pl.all_horizontal(target.is_not_null(), *rules).fill_null(False)
    typed = contract.read(rows, contract.names(*CHECKED_ROLES))
    typed = typed.with_columns(rows["day"], target.alias("truth"), keep.alias("kept"))
    # A shift counts in standard deviations, and what KEEP_ROWS excludes may be of any size.
    kept, day = typed.filter("kept"), (pl.col("day") - start).dt.total_days()
    poison = "mean" if typed["truth"].dtype.is_float() else "noise"
    wrong = shift(kept, poison, "truth", strength=3, share=WRONG)["truth"]
    kept = kept.with_columns(wrong.alias("wrong"))
    later = pl.col("day").dt.truncate("1mo") > start
    late = kept.filter(later)
    if drift == HARMLESS:
        late = thin(late, choose_column(clone, "number"), FEWER)
    elif drift != "none":
        suits = SHIFTS[drift].suits
        column = "truth" if suits == "outcome" else choose_column(clone, suits)
        late = shift(late, drift, column)
    soon, fades = kept.filter(~later), day >= FEWER_FROM
    fewer = thin(soon.filter(fades), choose_column(clone, "number"), FEWER)
    parts = typed.filter(~pl.col("kept")), soon.filter(~fades), fewer, late
    typed = pl.concat(parts, how="diagonal").sort("day", maintain_order=True)
    asked = [c.model_copy(update={"categories": None}) for c in request_columns(contract)]
    refused = check_values(typed, asked)[1]["row"]
    typed = typed.filter(~pl.int_range(pl.len()).is_in(refused.implode()))
    told = pl.when(pl.col("kept") & day.is_between(*POISON)).then("wrong").otherwise("truth")
    return typed.select(*(c.name for c in asked), "day", "truth", told.alias("told"), "kept")


@contextmanager
def serving(clone: Paths) -> Iterator[str]:
    """Serve the clone's champion, as long as the block lasts; yields the address.

    Raises UserError where the service, or a request of the block, fails.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    variables = {**os.environ, "PYTHONPATH": "src", "HOST": "127.0.0.1", "PORT": port}
    command = [sys.executable, "-m", f"{clone.package.name}.serving", "serve"]
    address, log = f"http://127.0.0.1:{port}", clone.root / ".serving.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=clone.root, env=variables, stdout=file, stderr=file)
    try:
        while process.poll() is None:
            with suppress(requests.ConnectionError):
                ask(f"{address}/ready")
                break
            time.sleep(0.1)
        yield address
    except OSError as error:
        said = log.read_text(encoding="utf-8")[-1_000:]
        raise UserError(f"a request to the service failed: {error}\n{said}") from error
    finally:
        process.terminate()
        process.wait()


def ask(address: str, content: Any = None) -> Any:
    """The JSON of a response, to `content` if it is given; raises OSError where it fails."""
    response = requests.request("POST" if content else "GET", address, json=content, timeout=60)
    response.raise_for_status()
    return response.json()


def stream(
    clone: Paths, project: Replayed, rows: pl.DataFrame, known: pl.DataFrame
) -> tuple[pl.DataFrame, Events]:
    """Live through the days; returns the rows with the `version` that answered, and the events."""
    asked = [column.name for column in request_columns(load_contract(clone.contract))]
    days = {day: some for (day,), some in rows.partition_by("day", as_dict=True).items()}
    start, answered, events = min(days), dict[date, pl.DataFrame](), Events()
    seen = len(history.read(clone))
    with serving(clone) as address:
        for day, some in track(sorted(days.items()), "replay"):
            answered[day] = some.hstack(predict(f"{address}/predict", some.select(asked)))
            for truths in (answered[d] for d in answered if d == day - LATE):
                for key, actual in truths.select("id", "told").drop_nulls().iter_rows():
                    ask(f"{address}/feedback", {"prediction_id": key, "actual": actual})
            if (day - start).days == RELEASE:
                train(clone, shift(known, "unit", choose_column(clone, "number")), "wrong")
                git(clone.root, "checkout", "--quiet", ".")
                dvc(clone.root, "checkout", "--quiet", "--force")
            while ask(f"{address}/ready")["outbox_bytes"]:
                time.sleep(0.05)
            project.turn(clone, day + timedelta(days=1))
            entries = history.read(clone)
            events += [(day, e) for e in entries[seen:] if e.event in TOLD]
            seen = len(entries)
    return pl.concat(answered.values()), events


def predict(address: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Request rows in batches; returns the `id` and the `version` of each prediction."""
    texts = rows.with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.6f"))
    found = [ask(address, batch.to_dicts()) for batch in texts.iter_slices(BATCH)]
    table = pl.DataFrame([prediction for batch in found for prediction in batch])
    return table.select(id="prediction_id", version="model_version")


def score(clone: Paths, scoring: Scoring, rows: pl.DataFrame) -> pl.DataFrame:
    """The losses of kept rows by `day`, of the versions that answered and of the first alone."""
    registry = open_registry(clone)
    kept, first, parts = rows.filter("kept"), registry.load(rows["version"][0]), []
    for (version,), some in kept.partition_by("version", as_dict=True).items():
        losses = {
            name: scoring.losses(outcome(model, some["truth"], model.score(some)))
            for name, model in (("with", registry.load(version)), ("without", first))
        }
        parts.append(some.select("day").with_columns(**losses))
    return pl.concat(parts)


def average(losses: pl.DataFrame, scoring: Scoring, period: str) -> list[Content]:
    """The primary metric of each period, with the loop and without it, and its rows."""
    by_period = losses.group_by(pl.col("day").dt.truncate(period))
    table = by_period.agg(pl.len().alias("rows"), pl.all().mean()).sort("day").to_dicts()
    for each in table:
        each |= {name: scoring.from_losses(each[name]) for name in ("with", "without")}
    return table


def tell_months(losses: pl.DataFrame, scoring: Scoring, events: Events) -> list[Content]:
    """The primary metric of each month, and what happened in it."""
    months = average(losses, scoring, "1mo")
    for month in months:
        begin = month.pop("day")
        month["month"] = f"{begin:%Y-%m}"
        inside = [(day, e) for day, e in events if day.replace(day=1) == begin]
        month["events"] = [f"{day:%d} {e.event} {e.version or ''}".strip() for day, e in inside]
    return months


def tabulate(months: list[Content], scoring: Scoring) -> list[Row]:
    """The table of the months, its header first."""
    header = ("month", "rows", f"{scoring.primary} with the loop", "without", "events")
    table: list[Row] = [header]
    for month in months:
        figures = (figure(month[name]) for name in ("with", "without"))
        table.append((month["month"], f"{month['rows']:,}", *figures, ", ".join(month["events"])))
    return table


def draw(losses: pl.DataFrame, scoring: Scoring, events: Events) -> Figure:
    """The primary metric of each day, and the events as upright lines."""
    days = average(losses, scoring, "1d")
    picture, axes = canvas(TITLE, "", scoring.primary, (11, 4))
    for name, colour in (("without", "tab:red"), ("with", "tab:blue")):
        values = [each[name] for each in days]
        axes.plot([each["day"] for each in days], values, color=colour, label=f"{name} the loop")
    for day, event in events:
        place = float(date2num(day))
        axes.axvline(place, color="grey", linestyle="--", linewidth=1)
        words = f" {event.event} {event.version or ''}"
        axes.text(place, axes.get_ylim()[1], words, rotation=90, va="top", size="small")
    axes.legend(loc="lower right")
    return picture
