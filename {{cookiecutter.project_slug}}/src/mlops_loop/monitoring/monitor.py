"""`make monitor`: whether the champion is still right, on the terminal, as JSON and as a page."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ..console import figure, parse, working
from ..database import database
from ..files import read_json, rounded, write_json
from ..models import profile
from ..models.bootstrap import Scoring
from ..project import Paths, UserError, load_settings
from ..serving.log_tables import url
from .batch import Champion, NothingToCheck, Watched
from .check import check
from .log import Log, watch_log
from .page import write_page
from .params import Monitoring

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

COLOURS = {"healthy": "green", "watch": "yellow", "act": "red"}
PROFILE, EXPLANATIONS = "models/profile", "reports/explanations.json"  # of a version
SHOWN = 14  # days and columns of the table
HASH = 16  # characters of a hash in the name of a folder
DAY = timedelta(days=1)


def run_check(
    paths: Paths,
    registry: "Registry",
    options: Monitoring,
    scoring: Scoring,
    target: pl.Expr,
    keep: Sequence[pl.Expr],
    *,
    version: str = "champion",
    batch: str = "",
    since: date | None = None,
    until: date | None = None,
    today: date | None = None,
    write: bool = True,
) -> dict[str, Any]:
    """Check a version on the prediction log, or on the rows of a file or folder (`batch`).

    Returns what latest.json holds, and writes it with the page where `write` is true. Of the log it
    checks the days from the day after the version's reference to the day before `today` (UTC; by
    the contract's time column, else by the time of the prediction), unless `since` and `until`
    name others. Raises NothingToCheck where there is no row of them, and UserError where there is
    nothing to compare with.
    """
    found = registry.find(version)
    champion = load_champion(registry, found, scoring, target, keep)
    today = today or datetime.now(UTC).date()
    notes: list[str] = []
    if batch:
        watched = champion.watch_file(Path(batch))
        first, last = since or date.min, until or date.max
    else:
        reference: list[date] = champion.profile.counts["day"].to_list()
        first, last = since or max(reference) + DAY, until or today - DAY
        folder = f"{found.tags['model_hash'][:HASH]}-{found.tags['contract_hash'][:HASH]}"
        place = paths.root / ".serving" / "profiles" / folder
        log = watch_log(champion, database(url(paths)), place)
        watched = log.watched
        notes += describe(log, watched, today)
    # What breaks the contract may have no day.
    chosen = watched.only(pl.col("day").is_between(first, last).fill_null(True))
    if not chosen.counts.height:
        raise NothingToCheck(nothing(watched, first, last))
    explained = read_json(registry.artifact(found, EXPLANATIONS))
    about = {
        "model": registry.name,
        "version": found.name,
        "loss_is": f"root of {scoring.primary}'s loss" if scoring.root else scoring.primary,
        "source": batch or "the prediction log",
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **options.model_dump(),
        "notes": notes,
    }
    result = check(champion.profile, chosen, options, champion.model, explained["importance"])
    content: dict[str, Any] = rounded(about | result)
    if write:
        write_json(paths.monitoring / "latest.json", content)
        write_page(paths.monitoring / "index.html", content)
    return content


def load_champion(
    registry: "Registry",
    version: "Version",
    scoring: Scoring,
    target: pl.Expr,
    keep: Sequence[pl.Expr],
) -> Champion:
    """Load a version with its contract and profile; raises UserError where it has no profile."""
    model, contract = registry.load(version.run_id), registry.contract(version)
    try:
        reference = profile.load(registry.artifact(version, PROFILE))
    except UserError as error:
        raise UserError(
            f"{version} carries no reference profile, as it was trained by an older template; "
            "run `make train` and promote the new version."
        ) from error
    return Champion(model, contract, reference, scoring, target, keep)


def describe(log: Log, watched: Watched, today: date) -> Iterator[str]:
    """What is unusual about the log itself, in sentences."""
    future = int(watched.days.filter(pl.col("day") > today)["given"].sum())
    if future:
        yield (
            f"{future} rows are of days after {today}: they wait for their day, unless a clock is "
            "wrong."
        )
    several, malformed = (
        int(sum(facts.get(name, 0) for facts in log.days.values()))
        for name in ("several", "malformed")
    )
    if several:
        yield f"{several} truths were replaced by a later one of the same prediction."
    if malformed:
        yield f"{malformed} truths are no outcome of this model, and count as unknown."
    unknown = [truths for truths in log.truths.values() if truths["unknown"]]
    if unknown:
        number, ids = sum(t["unknown"] for t in unknown), unknown[-1]["ids"]
        yield f"{number} truths are of no prediction in the log: {', '.join(ids)}."
    lacking = watched.broken.filter(pl.col("rule").str.contains("^(not null|is )"))
    if lacking.height:
        names = ", ".join(sorted(set(lacking["column"])))
        rows = max(lacking.group_by("column").agg(pl.col("rows").sum())["rows"].to_list())
        yield (
            f"{rows} rows or more were asked of a model with another "
            f"contract ({names}), and are left out."
        )


def nothing(watched: Watched, since: date, until: date) -> str:
    """The sentence for a log or file without a row to check."""
    day, rows = pl.col("day"), pl.col("given").sum()
    before, after = (
        int(watched.days.filter(rule).select(rows).item()) for rule in (day < since, day > until)
    )
    return (
        f"no row of a whole day from {since} to {until} can be checked: {before} rows are earlier "
        f"(as the champion's reference is) and {after} later (a day is checked when it is over). "
        "SINCE= and UNTIL= choose other days."
    )


def main(
    paths: Paths,
    options: Monitoring,
    scoring: Scoring,
    target: pl.Expr,
    keep: Sequence[pl.Expr],
    arguments: Sequence[str],
) -> dict[str, Any]:
    """Check the champion and print the verdict; returns and raises as `run_check`."""
    from ..tracking import registry as tracking

    defaults = {"batch": "", "version": "champion", "since": "", "until": ""}
    given = parse("monitor", arguments, **defaults)
    with working("monitor"):
        content = run_check(
            paths,
            tracking.connect(paths, load_settings(paths)),
            options,
            scoring,
            target,
            keep,
            version=given.version,
            batch=given.batch,
            since=parse_day("SINCE", given.since),
            until=parse_day("UNTIL", given.until),
        )
    show(content)
    print(f"The page: {paths.monitoring.relative_to(paths.root) / 'index.html'}")
    return content


def parse_day(name: str, text: str) -> date | None:
    """Read a date, if one is given; raises UserError for anything else."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UserError(f"{name}={text}: no date; write it as 2026-01-31.") from error


def show(content: dict[str, Any]) -> None:
    """Print the verdict and the latest days."""
    from rich.console import Console
    from rich.table import Table

    console, status = Console(highlight=False), content["status"]
    console.print(f"[bold {COLOURS[status]}]{status}[/]: {content['model']} {content['version']}")
    for sentence in content["sentences"]:
        print(f"  {sentence}")
    for note in content["notes"]:
        print(f"  note: {note}")
    known = {day["day"]: day for day in content.get("loss", {}).get("by_day", ())}
    names = ("rows", "known", "observed", "expected", "ratio", "seen from", "estimate")
    table = Table("day", *names, box=None)
    for day in content["estimate"]["by_day"][-SHOWN:]:
        estimate = f"{figure(day['estimate'])} ± {figure(2 * day['error'])}"
        figures = ["0", "", "", "", ""]
        if loss := known.get(day["day"]):
            figures = [str(loss["rows"])]
            figures += [figure(loss[name]) for name in ("observed", "expected", "ratio")]
            figures += [f"+{loss['could_see']:.0%}"]
        table.add_row(day["day"], str(day["rows"]), *figures, estimate)
    console.print(table)
