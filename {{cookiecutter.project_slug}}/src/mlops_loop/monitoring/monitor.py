"""`make monitor`: whether the champion is still right, on the terminal, as JSON and as a page."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ..console import Arguments, Row, aligned, figure, parse, working
from ..database import database
from ..files import Content, Figures, read_json, rounded, write_json
from ..lineage import author
from ..models import profile
from ..models.bootstrap import Scoring
from ..page import write_page
from ..project import Paths, UserError
from ..serving.log_tables import is_number, url
from ..tracking import history, open_registry
from .batch import Champion, Needs, NothingToCheck
from .check import check
from .log import watch_log
from .notes import describe_log, describe_service, summarise

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

PROFILE, METRICS = "models/profile", "reports/metrics.json"  # of a version
EXPLANATIONS = "reports/explanations.json"
SHOWN = 14  # days and columns of the table
EVENTS = ("promote", "rollback")  # that the page has on its time axis
HASH = 16  # characters of a hash in the name of a folder
SERVICE_DAYS = 90
DAY = timedelta(days=1)


def run_check(
    paths: Paths,
    registry: "Registry",
    needs: Needs,
    *,
    version: str = "champion",
    batch: str = "",
    since: date | None = None,
    until: date | None = None,
    today: date | None = None,
    write: bool = True,
) -> Content:
    """Check a version on the prediction log, or on the rows of a file or folder (`batch`).

    Returns what latest.json holds; where `write` is true, writes it, the page, and figures into
    the version's monitoring run. Of the log it checks the days from the day after the version's
    reference to the day before `today` (UTC; by the contract's time column, else by the time of the
    prediction), unless `since` and `until` name others. Raises NothingToCheck where there is no row
    of them, and UserError where there is nothing to compare with.
    """
    found = registry.find(version)
    champion, scoring = load_champion(registry, found, needs), needs.scoring
    today = today or datetime.now(UTC).date()
    if batch:
        watched = champion.watch_file(Path(batch))
        first, last, more = since or date.min, until or date.max, Content(notes=[])
    else:
        folder = f"{found.tags['model_hash'][:HASH]}-{found.tags['contract_hash'][:HASH]}"
        place = paths.root / ".serving" / "profiles" / folder
        log = watch_log(champion, database(url(paths)), place)
        watched = log.watched
        service = [{"day": day, **facts} for day, facts in sorted(log.days.items())][-SERVICE_DAYS:]
        notes = [*describe_log(log, watched, today), *describe_service(service, log.refused)]
        more = Content(service=service, refused=log.refused, notes=notes)
        reference: list[date] = champion.profile.counts["day"].drop_nulls().to_list()
        first, last = since or max(reference) + DAY, until or today - DAY
        if needs.options.looks > 1:  # the day that is not over, too
            last = until or today
    # What breaks the contract may have no day.
    chosen = watched.only(pl.col("day").is_between(first, last).fill_null(True))
    if not chosen.counts.height:
        raise NothingToCheck(
            f"of {watched.days['given'].sum()} rows none is of a day from {first} to {last}, which "
            "is after the champion's reference and over; SINCE= and UNTIL= choose other days."
        )
    about = {
        "model": registry.name,
        "version": found.name,
        "loss_is": f"root of {scoring.primary}'s loss" if scoring.root else scoring.primary,
        "source": batch or "the prediction log",
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **needs.options.model_dump(mode="json"),
        "events": [
            {"day": entry.day, "event": entry.event, "version": entry.version}
            for entry in history.read(paths, *EVENTS)
            if first <= entry.day <= last
        ],
    }
    importance = read_json(registry.artifact(found, EXPLANATIONS))["importance"]
    limits = find_limits(read_json(registry.artifact(found, METRICS)), scoring, needs.bars)
    result = check(champion.profile, chosen, needs.options, importance, limits)
    more["notes"] += result.pop("notes")
    content: Content = rounded(about | result | more)
    if write:
        write_json(paths.monitoring / "latest.json", content)
        title = f"{content['status']}: {registry.name} {found.name}"
        page = paths.monitoring / "index.html"
        write_page(page, "monitoring/page.html.j2", title=title, **content)
        figures = {k: v for k, v in summarise(content).items() if is_number(v)}
        if found.number:
            registry.log_check(found.number, today, figures)
    return content


def find_limits(metrics: Content, scoring: Scoring, bars: Figures) -> dict[str, float]:
    """Multiples of the reference's loss at which the primary metric misses bar or baseline.

    `metrics` is the content of the version's metrics.json: the metric is taken to rise as the loss.
    """
    name = scoring.primary
    usual = metrics["test"][name]
    limits = {
        f"no better than the baseline, whose {name} is": metrics["baseline"][name],
        f"worse than the bar, which for {name} is": bars.get(name),
    }
    return {
        f"the loss has risen so much that the model is {words} {figure(limit)}": limit / usual
        for words, limit in limits.items()
        if limit is not None and usual
    }


def load_champion(registry: "Registry", version: "Version", needs: Needs) -> Champion:
    """Load a version with its contract and profile; raises UserError where it has no profile."""
    model, contract = registry.load(version.run_id), registry.contract(version)
    try:
        reference = profile.load(registry.artifact(version, PROFILE))
    except UserError as error:
        raise UserError(
            f"{version} carries no reference profile, as it was trained by an older template; "
            "run `make train` and promote the new version."
        ) from error
    return Champion(model, contract, reference, needs.scoring, needs.target, needs.keep)


def main(paths: Paths, needs: Needs, arguments: Arguments) -> Content:
    """Check a version, record it and print the verdict; returns and raises as `run_check`."""
    defaults = {"batch": "", "version": "champion", "since": "", "until": ""}
    given = parse("monitor", arguments, **defaults)
    days = {name: parse_day(name.upper(), vars(given)[name]) for name in ("since", "until")}
    with working("monitor"):
        registry = open_registry(paths)
        asked = {"version": given.version, "batch": given.batch, **days}
        content = run_check(paths, registry, needs, **asked)
    reason = f"{content['status']}: {' '.join(content['sentences'])}"
    known = {"source": content["source"], **summarise(content)}
    if content["version"].isdigit():
        version = int(content["version"])
        by = author(paths.root)
        history.append(paths, "check", by=by, reason=reason, version=version, **known)
    show(content)
    print(f"The page: {paths.monitoring.relative_to(paths.root) / 'index.html'}")
    return content


def parse_day(name: str, text: str) -> date | None:
    """Read a date, if one is given; raises UserError for anything else."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UserError(f"{name}={text}: no date; write it as 2026-01-31.") from error


def show(content: Content) -> None:
    """Print the verdict and the latest days."""
    print(f"{content['status']}: {content['model']} {content['version']}")
    for sentence in content["sentences"]:
        print(f"  {sentence}")
    for note in content["notes"]:
        print(f"  note: {note}")
    known = {day["day"]: day for day in content.get("loss", {}).get("by_day", ())}
    names = ("rows", "known", "observed", "expected", "ratio", "rise seen", "estimate")
    table: list[Row] = [("day", *names)]
    for day in content["estimate"]["by_day"][-SHOWN:]:
        estimate = f"{figure(day['estimate'])} ± {figure(2 * day['error'])}"
        loss = known.get(day["day"], {"rows": 0})
        shown = [figure(loss.get(name)) for name in ("observed", "expected", "ratio", "could_see")]
        table.append((day["day"], str(day["rows"]), str(loss["rows"]), *shown, estimate))
    print(*aligned(table), sep="\n")
