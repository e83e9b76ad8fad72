"""`make retrain`: candidates on fresh rows, in a clone and with commits of their own.

The best one is judged against the champion on the same latest rows. Killed anywhere, it starts
over: its branch is there before the version, and the gate moves the aliases last.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import polars as pl

from ..config import changed, edit, read_yaml
from ..console import Arguments, figure, parse
from ..data.contract import CHECKED_ROLES, load_contract
from ..data.known_target import find_definitions
from ..data.sources import Partition, list_partitions
from ..database import now
from ..files import Content, partitions, read_json, rounded, write_text
from ..lineage import author
from ..models.bootstrap import Scoring
from ..project import Paths, UserError
from ..tracking import history, open_registry
from .check import LEAST_SHARE
from .clone import Clone, open_clone
from .decide import APPROVAL, describe, find_freeze
from .evidence import FAILED, PROMOTED, READ, REFUSED, WAITING, Evidence
from .notify import notify
from .params import Candidate, Limits, Retrain
from .rows import LabelledLog, find_aside
from .turn import alone

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

MANUAL, LOG = "manual", "log"  # a trigger that nothing forbids, and a source
OUT_OF_FOLD = "models/out_of_fold.parquet"  # of a version
MESSAGES = {PROMOTED: "promoted", WAITING: "waiting for approval", REFUSED: "retraining done"}


@dataclass(frozen=True)
class Yours:
    """The parts of the project that a retraining needs.

    `params` are those of params.yaml. `decide` combines the triggers. `check_base` raises UserError
    where the trees of models/base cannot be continued in a checkout. `register` takes the registry,
    the checkout that holds the best candidate, and why one that is better is kept back, if so; it
    returns what gate.json holds.
    """

    params: Any
    options: Retrain
    sources: ModuleType
    scoring: Scoring
    target: pl.Expr
    decide: Callable[[Evidence], dict[str, str]]
    check_base: Callable[[Paths], None]
    register: Callable[["Registry", Paths, str], Content]


def run(paths: Paths, yours: Yours, check: Content, today: date, trigger: str = "") -> Content:
    """Retrain where a trigger fires, or `trigger` names what has; returns what the history records.

    `check` is the content of the latest check, or empty. The caller holds the lock `alone`. Raises
    UserError where a retraining fails, which is recorded.
    """
    registry = open_registry(paths)
    champion = registry.find("champion")
    entries = history.read(paths, *READ)
    files = list_files(paths, yours)
    evidence = Evidence(today, check, entries, yours.options, find_new(paths, files, entries))
    fired = {trigger: f"TRIGGER={trigger}"} if trigger else yours.decide(evidence)
    forbidden = ""
    if fired and trigger != MANUAL:
        frozen = find_freeze(paths)
        forbidden = describe(frozen) if frozen else evidence.forbidden()
    why = "; ".join(filter(None, [*fired.values(), forbidden])) or "no trigger fires"
    by = author(paths.root) if trigger else "loop"
    day = str(today)
    told = [(entry.reason, entry.day) for entry in history.read(paths, "trigger")[-1:]]
    if told != [(why, today)]:
        history.append(paths, "trigger", by=by, reason=why, day=day, fired=[*fired])
    if forbidden or not fired:
        return {"outcome": None, "reason": why}
    notify(paths, "trigger", why, champion=champion.number)
    about: Content = {"by": by, "day": day, "trigger": "+".join(fired), "why": why, "files": files}
    try:
        with open_clone(paths, about["trigger"]) as clone:
            done = about | train(clone, yours, registry, champion, evidence, why)
    except UserError as error:
        history.append(paths, "retrain", reason=str(error), outcome=FAILED, **about)
        notify(paths, "retraining failed", str(error), trigger=about["trigger"])
        raise
    history.append(paths, "retrain", **done)
    facts = {name: done[name] for name in ("version", "trigger", "branch")}
    notify(paths, MESSAGES[done["outcome"]], done["reason"], **facts)
    return done


def list_files(paths: Paths, yours: Yours) -> dict[str, str]:
    """The partitions of the project's source, but for those of the log, with their origins."""
    ingest = yours.params.ingest
    found: list[Partition] = []
    if source := find_source(ingest.model_dump()):
        ingest = ingest.model_copy(update={"source": source})
        found = list_partitions(yours.sources, ingest, yours.params.seed, paths)
    return {partition.name: partition.origin for partition in found}


def find_source(ingest: Content) -> str | None:
    """The source that there is besides the log."""
    return ingest.get("beside") if ingest["source"] == LOG else ingest["source"]


def find_new(paths: Paths, files: dict[str, str], entries: Sequence[history.Entry]) -> list[str]:
    """The partitions that the last training did not have; none if nothing tells."""
    manifest = paths.raw / "manifest.json"
    known = [entry.content["files"] for entry in entries if "files" in entry.content]
    if not known and manifest.exists():
        known = [read_json(manifest)]
    return [name for name, origin in files.items() if known and known[-1].get(name) != origin]


def train(
    clone: Clone,
    yours: Yours,
    registry: "Registry",
    champion: "Version",
    evidence: Evidence,
    why: str,
) -> Content:
    """Train every candidate in the clone, judge the best, and keep its commits."""
    options = yours.options
    until = evidence.today - timedelta(days=options.delay_days)
    limits = find_limits(registry, champion) if yours.params.task == "regression" else None
    done = take_rows(clone, yours, limits, evidence, until)
    newest = find_newest(clone.copy, yours.target, until)
    text = clone.copy.params.read_text(encoding="utf-8")
    message = f"{clone.trigger}: {why}"
    losses: dict[str, float] = {}
    commits: dict[str, str] = {}
    bases: dict[str, Content] = {}
    problems: list[str] = []
    for name, candidate in options.candidates.items():
        write_text(clone.copy.params, text)
        try:
            bases[name] = bring_base(clone, registry, champion, candidate)
            given = (candidate, newest, bases[name], f"{name}, {message}")
            commits[name] = try_candidate(clone, yours, *given)
            losses[name] = read_json(clone.copy.metrics)["test"][yours.scoring.primary]
        except UserError as error:
            problems.append(f"{name}: {error}")
    if not losses:
        raise UserError("no candidate could be trained: " + "; ".join(problems))
    best = min(losses, key=lambda name: losses[name])
    clone.restore(commits[best])
    branch = clone.find_branch(evidence.today)
    clone.keep(commits[best], f"refs/heads/{branch}")
    if clone.trigger != MANUAL and (frozen := find_freeze(clone.paths)):
        raise UserError(f"{describe(frozen)}; what was trained is on branch {branch}.")

    keep_back = ""
    if options.rollout != "promote" or options.approval == "human":
        keep_back = f"better, and kept back: rollout {options.rollout}, approval {options.approval}"
    judged = yours.register(registry, clone.copy, keep_back)
    version, reasons = judged["version"], judged["reasons"]
    outcome = PROMOTED if judged["alias"] == "champion" and version != champion.number else REFUSED
    if keep_back in reasons:
        outcome = WAITING
        registry.tag(version, {APPROVAL: WAITING})
    if version and (commit := clone.find_commit(registry.find(version))):
        clone.keep(commit, f"refs/loop/v{version}")
        clone.publish(branch)
    return done | {
        "outcome": outcome,
        "reason": "; ".join(reasons),
        "version": version,
        "branch": branch,
        "until": str(newest or until),
        "candidates": losses,
        "best": best,
        "base": bases[best]["train.base"],
        "problems": problems,
    }


def find_limits(registry: "Registry", champion: "Version") -> Limits:
    """The range of the outcomes that the champion learned from, widened by itself on both sides."""
    known = pl.read_parquet(registry.artifact(champion, OUT_OF_FOLD))["actual"].to_numpy()
    low, high = float(known.min()), float(known.max())
    lowest, highest = rounded([2 * low - high, 2 * high - low])
    return lowest, highest


def take_rows(
    clone: Clone, yours: Yours, limits: Limits | None, evidence: Evidence, until: date
) -> Content:
    """Ingest the rows of the source and of the log; returns what of the latter was set aside."""
    clone.bring_data()
    ingest = read_yaml(clone.copy.params)["ingest"]
    done: Content = {"set_aside": {}, "rows_aside": 0}
    is_logged = os.environ.get("DATABASE_URL") or clone.paths.log.exists()
    if yours.options.rows == LOG and is_logged:
        log = LabelledLog.open(clone.paths, load_contract(clone.copy.contract), yours.target)
        aside, rows = find_aside(log, limits, evidence)
        done = {"set_aside": aside.model_dump(mode="json"), "rows_aside": rows}
        # DVC reads no dates, but texts.
        changes = {"source": LOG, "beside": find_source(ingest), "until": str(until)}
        ingest |= {**changes, "set_aside": done["set_aside"]}
    edit(clone.copy.params, {"ingest": ingest})
    clone.repro("--force", "--single-item", "ingest")
    return done


def find_newest(copy: Paths, target: pl.Expr, until: date) -> date | None:
    """The newest whole day of data/raw with known outcomes; None without a time column."""
    contract, days = load_contract(copy.contract), []
    if not (time := contract.names("time")):
        return None
    for path in partitions(copy.raw):
        raw = pl.scan_parquet(path)
        own, outcome, _ = find_definitions(raw.collect_schema().names(), contract, target, ())
        rows = own.read(raw, own.names(*CHECKED_ROLES)).filter(outcome.is_not_null())
        days.append(rows.select(pl.col(time[0]).cast(pl.Date).alias("day")).collect())
    counts = pl.concat(days).drop_nulls().group_by("day").len()
    # Days with few rows are stray or cut off.
    whole = counts.filter(pl.col("len") >= LEAST_SHARE * pl.median("len"))
    return max((day for day in whole["day"] if day <= until), default=None)


def bring_base(
    clone: Clone, registry: "Registry", champion: "Version", candidate: Candidate
) -> Content:
    """The parameters of a candidate's base: the champion, whose model is brought, or none.

    A stateful candidate learns from the days that the champion has not learned from; the last of
    so many versions in a row has no base. Raises UserError where there are no days.
    """
    row, version = 1, champion
    while (base := registry.record(version).params.get("train.base", "None")) != "None":
        row += 1
        version = registry.find(base)
    if row >= (candidate.stateful or 0):
        return {"train.base": None}
    known = pl.read_parquet(registry.artifact(champion, OUT_OF_FOLD))
    if "time" not in known.columns:
        raise UserError("it is stateful, and contract.yaml has no time column.")
    since = known.select(pl.col("time").dt.date().max()).item() + timedelta(days=1)
    shutil.rmtree(clone.copy.base, ignore_errors=True)
    shutil.copytree(registry.model_files(champion), clone.copy.base)
    return {"train.base": champion.number, "prepare.since": str(since)}


def try_candidate(
    clone: Clone,
    yours: Yours,
    candidate: Candidate,
    newest: date | None,
    base: Content,
    message: str,
) -> str:
    """Train and evaluate a candidate on parameters that are committed; returns the last commit."""
    values = dict(candidate.model_extra or {})
    if newest:
        begin = newest - timedelta(days=(candidate.days or 1) - 1)
        window = {"prepare.since": candidate.days and str(begin), "prepare.until": None}
        values = window | {"prepare.old_share": 0.0} | values
        if not yours.params.prepare.group:  # whose equal values stay in one split
            judged = newest - timedelta(days=yours.options.judge_days - 1)
            values["prepare.test_from"] = str(judged)
    elif candidate.days:
        raise UserError("it has a window of days, and contract.yaml no time column.")
    values |= base
    changed(yours.params, values)
    edit(clone.copy.params, values)
    if base["train.base"]:
        clone.repro("featurize")
        yours.check_base(clone.copy)
    if candidate.tune:
        clone.tune()
    first = clone.commit(f"Retrain {message}", clone.base, "params.yaml", "data")
    clone.repro("evaluate")
    return clone.commit(f"Results of {message}", first, "dvc.lock", "reports")


def main(paths: Paths, yours: Yours, check: Callable[..., Content], arguments: Arguments) -> None:
    """Retrain by TRIGGER, or where a trigger fires on a check of now; print what came of it."""
    given = parse("retrain", arguments, trigger="")
    with alone(paths):
        registry, content = open_registry(paths), {}
        try:
            content = check(paths, registry, write=False)
        except UserError as error:
            print(f"The log tells no trigger anything: {error}")
        done = run(paths, yours, content, now().date(), given.trigger)
    show(done, yours.scoring.primary)


def show(done: Content, metric: str) -> None:
    """Print what came of a retraining."""
    if not done["outcome"]:
        print(f"Nothing was trained: {done['reason']}.")
        return
    losses = (f"{name} {figure(loss)}" for name, loss in done["candidates"].items())
    print(f"{metric} of the candidates: {', '.join(losses)}", *done["problems"], sep="\n")
    if done["rows_aside"]:
        print(f"{done['rows_aside']} truths that contradict the rest were set aside.")
    known = f"version {done['version']}" if done["version"] else "no version"
    print(f"{done['best']}, {known}, is {done['outcome']}: {done['reason']}")
    print(f"`git merge {done['branch']}` brings its parameters and results into your branch.")
    if done["outcome"] == WAITING:
        print("`make approve` makes it the champion, `make reject REASON='…'` does not.")
