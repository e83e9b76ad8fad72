"""Notes of a check: what is unusual about rows, log and requests, without a verdict."""

from collections.abc import Iterator
from datetime import date, timedelta
from statistics import median

import numpy as np
import polars as pl

from ..files import Content
from ..models.profile import Profile
from .batch import UNSURE, Watched
from .log import Log

WEEK, MONTH = 7, 28
WORTH = 0.01  # of the rows: a larger share than the reference's by less is no news
NAMED = 3


def find_unusual(profile: Profile, counts: pl.DataFrame, last: date) -> list[Content]:
    """Shares of the last week's rows that are missing, out of range or unseen in the reference.

    Named are those that exceed the reference's share by one of a hundred rows.
    """
    recent = counts.filter(pl.col("day") > last - timedelta(days=WEEK))
    found = []
    for name, bins in profile.columns.items():
        both = recent.filter(column=name), profile.counts.filter(column=name)
        new, usual = (np.bincount(some["bin"], some["rows"], len(bins)) for some in both)
        if not new.sum():
            continue
        outside = [0, len(bins) - 2] if bins.levels is None else [len(bins) - 2]
        kind = "out of range" if bins.levels is None else "unseen"
        for what, places in (("missing", [len(bins) - 1]), (kind, outside)):
            share = float(new[places].sum() / new.sum())
            reference = float(usual[places].sum() / usual.sum())
            if share - reference >= WORTH:
                found.append({"column": name, "what": what, "share": share})
                found[-1]["reference"] = reference
    return found


def describe_rows(content: Content) -> Iterator[str]:
    """Missing, out of range and unseen values, low confidence and volume, in sentences."""
    for each in content["unusual"]:
        yield (
            f"{each['column']}: {each['share']:.1%} of the last week's values are {each['what']} "
            f"(reference: {each['reference']:.1%})."
        )
    days = content["volume"]
    before, week = days[:-WEEK][-MONTH:], days[-WEEK:]
    unsure, earlier = (
        sum(day["unsure"] * day["rows"] for day in some) / max(sum(day["rows"] for day in some), 1)
        for some in (week, before)
    )
    if unsure - earlier >= WORTH and before:
        yield (
            f"{unsure:.1%} of the last week's predictions have low confidence (a probability under "
            f"{UNSURE:.0%}); before it were {earlier:.1%}."
        )
    if before:
        usual, last = median(day["rows"] for day in before), days[-1]
        if not usual / 2 <= last["rows"] <= usual * 2:
            yield f"{last['day']} has {last['rows']} rows; a day before had {usual:.0f}."


def describe_log(log: Log, watched: Watched, today: date) -> Iterator[str]:
    """Oddities of the log itself, in sentences."""
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
        number, ids = sum(each["unknown"] for each in unknown), unknown[-1]["ids"]
        yield f"{number} truths are of no prediction in the log: {', '.join(ids)}."
    lacking = watched.broken.filter(pl.col("rule").str.contains("^(not null|is )"))
    if lacking.height:
        names = ", ".join(sorted(set(lacking["column"])))
        rows = max(lacking.group_by("column").agg(pl.sum("rows"))["rows"].to_list())
        yield (
            f"{rows} rows or more were asked of a model with another contract ({names}), and are "
            "left out."
        )


def describe_service(service: list[Content], refused: list[Content]) -> Iterator[str]:
    """Slower answers and refused requests, in sentences."""
    timed = [day["p99_ms"] for day in service if "p99_ms" in day]
    if len(timed) > WEEK:
        now, before = median(timed[-WEEK:]), median(timed[:-WEEK])
        if now > 2 * before:
            yield (
                f"99 of 100 answers of the last week took {now:.1f} ms or less; before it were "
                f"{before:.1f} ms."
            )
    if refused:
        total = sum(each["count"] for each in refused)
        most = ", ".join(f"{e['field']} ({e['rule']}) {e['count']}" for e in refused[:NAMED])
        yield f"Requests refused in four weeks, by field and rule: {total}; most of them: {most}."


def summarise(content: Content) -> Content:
    """The figures of a check that the history keeps, the registry plots and the service exposes."""
    figures = {"status": content["status"], "alarms": content.get("standing", 0)}
    figures |= {name: content[name] for name in ("rows", "labelled") if name in content}
    loss = content.get("loss") or {}
    names = ("observed", "expected", "observed_over_expected", "observed_over_reference")
    figures |= {name: loss[name] for name in names if name in loss}
    if "estimate" in content:
        figures["estimate"] = content["estimate"]["by_day"][-1]["estimate"]
    return figures
