"""The check of watched days: observed over expected loss, drift, data quality, and a verdict."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from ..console import figure
from ..models.model import Model
from ..models.profile import Profile
from ..models.types import Array, Floats
from .batch import KEYS, Watched
from .drift import ColumnTest
from .notes import describe_rows, find_unusual, list_days
from .params import LOSS_SHARES, RAW_SHARE, SLICE_SHARE, Monitoring
from .statistics import LEAST_DAYS, NO_PRIOR, calibrate_loss, share_prior

QUIET = timedelta(days=7)  # after so many days without an alarm a new one begins
LEAST_SHARE = 0.05  # of the usual rows: days with fewer are cut off or stray, and are not tested
ENOUGH = 0.5  # of a day's rows: where fewer outcomes are known, the loss is estimated
RECENT, DRIFTED = 28, 5  # days that a slice is judged on; columns that the verdict names
PREDICTION_IMPORTANCE = 0.3  # beside features, whose importances sum to 1
LEVELS = ("healthy", "watch", "act")


@dataclass(frozen=True)
class Alarm:
    """A test that found something on a day."""

    day: date
    level: str  # watch | act
    about: str
    words: str


@dataclass(frozen=True)
class Series:
    """Days with known outcomes: rows, and sums of observed and of expected losses."""

    days: list[date]
    rows: Floats
    observed: Floats
    expected: Floats

    @classmethod
    def of(cls, losses: pl.DataFrame, of: str = "", value: str = "") -> "Series":
        """The days of all rows, or of a slice."""
        some = losses.filter(pl.col("slice") == of, pl.col("value") == value).sort("day")
        some = some.filter(pl.col("rows") >= LEAST_SHARE * pl.col("rows").median())
        sums = (some[name].to_numpy().astype(float) for name in ("rows", "loss", "expected"))
        return cls(some["day"].to_list(), *sums)

    @classmethod
    def of_days(cls, days: pl.DataFrame) -> "Series":
        """The days of all rows, known outcomes or not: what is observed is what is expected."""
        as_losses = days.with_columns(slice=pl.lit(""), value=pl.lit(""), loss="expected")
        return cls.of(as_losses)

    @property
    def ratio(self) -> Floats:
        """Observed over expected loss of each day."""
        return self.observed / self.expected


def check(
    profile: Profile,
    watched: Watched,
    options: Monitoring,
    model: Model,
    importance: Mapping[str, float],
    limits: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The content of reports/monitoring/latest.json, without what only the caller knows.

    `limits` are multiples of the reference's loss that are too much, by the words for them.
    """
    counts = by_block(profile.counts, "counts", options)
    losses = by_block(profile.losses, "losses", options)
    new_counts = by_block(watched.counts, "counts", options)
    new_losses = by_block(watched.losses, "losses", options)
    reference, now = Series.of(losses), Series.of(new_losses)
    every = Series.of_days(by_block(watched.days, "days", options))
    known = dict(zip(now.days, now.rows, strict=True))
    late = {
        day
        for day, rows in zip(every.days, every.rows, strict=True)
        if known.get(day, 0) < ENOUGH * rows
    }
    alarms: list[Alarm] = []
    content: dict[str, Any] = {
        "rows": int(watched.days["given"].sum()),
        "dropped": int(watched.days["dropped"].sum()),
        "labelled": int(now.rows.sum()),
    }
    content["reference"] = {
        "days": len(reference.days),
        "rows": int(reference.rows.sum()),
        "first": reference.days[0],
        "last": reference.days[-1],
    }
    if now.days:
        content["loss"] = check_losses(profile, reference, now, late, options, limits or {}, alarms)
        content["slices"] = check_slices(losses, new_losses, profile, options, alarms)
    content["estimate"] = check_estimates(profile, reference, every, now, late, options, alarms)
    content["columns"] = check_columns(
        profile, counts, new_counts, options, weigh(profile, model, importance), alarms
    )
    broken = watched.broken.group_by("column", "rule").agg(pl.col("rows").sum())
    content["quality"] = broken.sort("rows", "column", descending=True).to_dicts()
    days = sorted(new_counts["day"].unique().to_list())
    content["days"] = {"first": days[0], "last": days[-1], "number": len(days)}
    content["unusual"] = find_unusual(profile, watched.counts, days[-1])
    content["volume"] = list_days(watched.days)
    content["notes"] = list(describe_rows(content))
    alarms.sort(key=lambda alarm: alarm.day)
    content["alarms"] = [asdict(alarm) for alarm in alarms]
    if now.days:
        content["loss"]["episode"] = find_episode(now, alarms)
    return content | judge(content, alarms, days[-1], now.days[-1] if now.days else days[-1])


def by_block(table: pl.DataFrame, name: str, options: Monitoring) -> pl.DataFrame:
    """A table of a profile or of watched days, summed over the days of each check."""
    block = pl.col("day").dt.truncate(options.every)
    return table.with_columns(block).group_by(KEYS[name]).agg(pl.all().sum())


def weekdays(days: list[date], options: Monitoring) -> Array:
    """The weekday of each day; the same of all where a check has several days."""
    return np.array([day.weekday() if options.days == 1 else 0 for day in days])


def check_losses(
    profile: Profile,
    reference: Series,
    now: Series,
    late: set[date],
    options: Monitoring,
    limits: Mapping[str, float],
    alarms: list[Alarm],
) -> dict[str, Any]:
    """Compare the loss of each day with the expected one, and with the reference's mean.

    The latter not on days of `late` outcomes: check_estimates does it for all of their rows. Limits
    are compared with the last weeks' loss less two standard errors.
    """
    known, at = profile.expectation, weekdays(reference.days, options)
    test = calibrate_loss(reference.ratio, reference.rows, at, known.variance, known.skewness)
    mean = reference.observed.sum() / reference.rows.sum()
    usual, raw = (series.observed / series.rows / mean for series in (reference, now))
    raw_test = calibrate_loss(usual, reference.rows, at, known.raw_variance, known.skewness)
    at = weekdays(now.days, options)
    for window, share in LOSS_SHARES.items():
        p = test.p(now.ratio, now.rows, at, blocks(window, options))
        for day in np.flatnonzero(p < options.level(share)):
            words = f"{window_words(window)} {excess(now, int(day), blocks(window, options))}"
            alarms.append(Alarm(now.days[day], "act", "loss", words))
    paged = {alarm.day for alarm in alarms}
    p = raw_test.p(raw, now.rows, at, 1)
    for day in np.flatnonzero(p < options.level(RAW_SHARE)):
        if now.days[day] not in paged | late:
            words = f"{percent(raw[day])} the reference, whose rows were easier"
            alarms.append(Alarm(now.days[day], "watch", "loss", words))
    level = options.level(LOSS_SHARES[1])
    by_day = {
        "day": now.days,
        "rows": now.rows.astype(int),
        "observed": now.observed / now.rows,
        "expected": now.expected / now.rows,
        "ratio": now.ratio,
        "could_see": test.smallest_rise(now.rows, level),
        "alarm": [day in paged for day in now.days],
    }
    weeks = min(blocks(RECENT, options), len(now.days))
    recent = slice(-weeks, None)
    rows = now.rows[recent].sum()
    observed, expected = now.observed[recent].sum() / rows, now.expected[recent].sum() / rows
    _, variance = raw_test.reference.window(np.log(raw)[:, None], now.rows[:, None], weeks)
    least = observed / mean * np.exp(-2 * np.sqrt(variance[-1, 0]))
    for words, limit in limits.items():
        if least > limit:
            alarms.append(Alarm(now.days[-1], "act", "limit", words))
    return {
        "reference": mean,
        "observed": observed,
        "expected": expected,
        "observed_over_expected": observed / expected,
        "observed_over_reference": observed / mean,
        "expected_over_reference": expected / mean,
        "calibrated_on_days": len(reference.days) >= LEAST_DAYS,
        "by_day": pl.DataFrame(by_day).to_dicts(),
    }


def check_estimates(
    profile: Profile,
    reference: Series,
    every: Series,
    now: Series,
    late: set[date],
    options: Monitoring,
    alarms: list[Alarm],
) -> dict[str, Any]:
    """Estimate the loss of all rows of each day from their features and scores alone.

    Its standard error is that of observed over expected loss on stable days of as many rows, so it
    holds the difference of days; a change of what inputs mean is in neither.
    """
    known, at = profile.expectation, weekdays(reference.days, options)
    test = calibrate_loss(reference.ratio, reference.rows, at, known.variance, known.skewness)
    error = np.sqrt(test.reference.variance(every.rows[:, None])[:, 0])
    mean = reference.observed.sum() / reference.rows.sum()
    estimate = every.expected / every.rows

    of_rows = max(known.raw_variance - known.variance, 0.0)
    usual = reference.expected / reference.rows / mean
    rise = calibrate_loss(usual, reference.rows, at, of_rows, 0.0)
    p = rise.p(estimate / mean, every.rows, weekdays(every.days, options), 1)
    for day in np.flatnonzero(p < options.level(RAW_SHARE)):
        if every.days[day] in late:
            words = f"{percent(estimate[day] / mean)} the reference, by an estimate: harder rows"
            alarms.append(Alarm(every.days[day], "watch", "loss", words))
    observed = dict(zip(now.days, now.observed / now.rows, strict=True))
    by_day = {
        "day": every.days,
        "rows": every.rows.astype(int),
        "observed": [observed.get(day) for day in every.days],
        "estimate": estimate,
        "error": estimate * error,
        "low": estimate * np.maximum(1 - 2 * error, 0),
        "high": estimate * (1 + 2 * error),
        "late": [day in late for day in every.days],
    }
    return {"reference": mean, "by_day": pl.DataFrame(by_day).to_dicts()}


def check_slices(
    losses: pl.DataFrame,
    new_losses: pl.DataFrame,
    profile: Profile,
    options: Monitoring,
    alarms: list[Alarm],
) -> list[dict[str, Any]]:
    """Compare the loss of the last weeks of each declared slice with the expected one."""
    known, found = profile.expectation, []
    names = new_losses.select("slice", "value").unique(maintain_order=True).sort("slice", "value")
    pairs = [pair for pair in names.iter_rows() if pair[0]]
    for of, value in pairs:
        reference, now = Series.of(losses, of, value), Series.of(new_losses, of, value)
        if not reference.days:
            continue
        at = weekdays(reference.days, options)
        test = calibrate_loss(reference.ratio, reference.rows, at, known.variance, known.skewness)
        days = min(blocks(RECENT, options), len(now.days))
        p = test.p(now.ratio, now.rows, weekdays(now.days, options), days)
        ratio = now.observed[-days:].sum() / now.expected[-days:].sum()
        alarmed = bool(p[-1] < options.level(SLICE_SHARE) / len(pairs))
        found.append({"slice": of, "value": value, "rows": int(now.rows[-days:].sum())})
        found[-1] |= {"observed_over_expected": ratio, "alarm": alarmed}
        if alarmed:
            words = f"{percent(ratio)} what is expected in the last {days * options.days} days"
            alarms.append(Alarm(now.days[-1], "act", f"loss where {of} is {value}", words))
    return found


def weigh(profile: Profile, model: Model, importance: Mapping[str, float]) -> dict[str, float]:
    """The share of drift's alarms of each column: half of it equal, half by importance."""
    total = sum(max(value, 0) for value in importance.values()) or 1
    gains = {name: max(value, 0) / total for name, value in importance.items()}
    gains["prediction"] = PREDICTION_IMPORTANCE
    everything = sum(gains.values())
    return {
        name: 0.5 / len(profile.columns) + 0.5 * gains.get(name, 0) / everything
        for name in profile.columns
    }


def matrix(counts: pl.DataFrame, column: str, bins: int) -> tuple[list[date], Floats]:
    """The days that have rows of a column, and their counts (days x bins)."""
    some = counts.filter(pl.col("column") == column)
    rows = some.group_by("day").agg(pl.col("rows").sum())
    whole = rows.filter(pl.col("rows") >= LEAST_SHARE * pl.col("rows").median())
    some = some.join(whole.select("day"), on="day")
    days = sorted(some["day"].unique().to_list())
    table = np.zeros((len(days), bins))
    places = np.searchsorted(np.array(days, "datetime64[D]"), some["day"].to_numpy())
    table[places, some["bin"].to_numpy()] = some["rows"].to_numpy()
    return days, table


def check_columns(
    profile: Profile,
    counts: pl.DataFrame,
    new_counts: pl.DataFrame,
    options: Monitoring,
    weights: Mapping[str, float],
    alarms: list[Alarm],
) -> list[dict[str, Any]]:
    """Test the drift of each column: features, predictions, inputs and outcomes."""
    found = []
    tables = {name: matrix(counts, name, len(bins)) for name, bins in profile.columns.items()}
    first = {
        name: ColumnTest.calibrate(table, profile.columns[name], weekdays(days, options), NO_PRIOR)
        for name, (days, table) in tables.items()
    }
    known = [first[name].dispersions(len(days)) for name, (days, _) in tables.items()]
    prior = share_prior(*(np.concatenate(each) for each in zip(*known, strict=True)))
    for name, (reference_days, table) in tables.items():
        bins, weight = profile.columns[name], weights[name]
        days, new = matrix(new_counts, name, len(bins))
        if not days:
            continue
        test = ColumnTest.calibrate(table, bins, weekdays(reference_days, options), prior)
        drift = test.run(new, weekdays(days, options))
        level = options.drift_level(weight, len(reference_days))
        drifted = test.combine(drift.p) < level
        for day in np.flatnonzero(drifted):
            alarms.append(Alarm(days[day], "watch", name, drift.describe(int(day))))
        found.append(
            {
                "column": name,
                "importance": weight,
                "alarm_days": int(drifted.sum()),
                "missing": float(new[-1, -1] / new[-1].sum()),  # on the last day
                "could_see": float(drift.smallest(level)[-1]),
                "by_day": {"day": days, "z": drift.z[:, 0].tolist(), "alarm": drifted.tolist()},
                "reference_shares": test.shares.tolist(),
                "shares": (new.sum(axis=0) / new.sum()).tolist(),
            }
        )
    return found


def find_episode(now: Series, alarms: list[Alarm]) -> dict[str, Any] | None:
    """The episode of loss alarms that is not over: its first day, and how the loss rose.

    Recurring, if there was an earlier one; gradual, if a line fits the logarithms of observed over
    expected loss since four weeks before better than any step does.
    """
    paged = sorted({a.day for a in alarms if a.about == "loss" and a.level == "act"})
    if not paged or now.days[-1] - paged[-1] >= QUIET:
        return None
    starts = [day for before, day in pairwise([date.min, *paged]) if day - before > QUIET]
    since, kind = starts[-1], "sudden"
    if len(starts) > 1:
        kind = "recurring"
    else:
        some = [day >= since - timedelta(days=RECENT) for day in now.days]
        logs, rows = np.log(np.maximum(now.ratio[some], 1e-9)), now.rows[some]
        places = np.arange(len(logs), dtype=float)
        steps = [(places >= place).astype(float) for place in places[1:]]
        fits = [unexplained(each, logs, rows) for each in steps]
        if len(logs) >= LEAST_DAYS and unexplained(places, logs, rows) < min(fits):
            kind = "gradual"
    return {"since": since, "kind": kind}


def unexplained(x: Floats, y: Floats, weights: Floats) -> float:
    """The weighted sum of squares that a line of y on x leaves."""
    line = np.polynomial.Polynomial.fit(x, y, 1, w=np.sqrt(weights))
    return float((weights * (y - line(x)) ** 2).sum())


def judge(
    content: dict[str, Any], alarms: list[Alarm], last: date, last_known: date
) -> dict[str, Any]:
    """The verdict of the last days, and what it rests on, in words.

    An alarm that needs outcomes stands until as many quiet days have outcomes (`last_known`).
    """
    standing = [
        alarm
        for alarm in alarms
        if (last_known if alarm.level == "act" else last) - alarm.day < QUIET
    ]
    level = max((alarm.level for alarm in standing), key=LEVELS.index, default="healthy")
    explained = list(sentences(content, standing, level))
    return {"status": level, "standing": len(standing), "sentences": explained}


def sentences(content: dict[str, Any], standing: list[Alarm], level: str) -> Iterator[str]:
    """Explain the verdict."""
    loss = content.get("loss")
    if level == "healthy":
        yield "The model is as right as its reference lets expect; nothing that matters has moved."
    if loss:
        ratio, inputs = loss["observed_over_expected"], loss["expected_over_reference"]
        relation = f"The loss is {percent(ratio)} what the rows let expect"
        if episode := loss["episode"]:
            relation += f", {episode['kind']} since {episode['since']}"
            relation += ": inputs no longer mean what they meant"
        yield f"{relation}."
        yield f"How hard the rows are: their expected loss is {percent(inputs)} the reference's."
        last = loss["by_day"][-1]
        yield (
            f"On {last['day']}, with {last['rows']} rows, a rise of the loss of "
            f"{last['could_see']:.0%} or more would have been seen (in 9 of 10 cases)."
        )
        if not loss["calibrated_on_days"]:
            yield "The reference has too few days to know how days differ; rows are taken as alike."
    estimated = content["estimate"]["by_day"][-1]
    if estimated["late"]:
        value, error, usual = (
            figure(number)
            for number in (
                estimated["estimate"],
                2 * estimated["error"],
                content["estimate"]["reference"],
            )
        )
        yield (
            f"{'Outcomes are late' if loss else 'No outcome is known'}: the loss of "
            f"{estimated['day']} is estimated at {value} ± {error} (reference: {usual}). No "
            "estimate can see that inputs no longer mean what they meant: that takes outcomes."
        )
    others = [alarm for alarm in standing if alarm.about != "loss" or alarm.level == "watch"]
    latest = {alarm.about: alarm for alarm in others}
    for alarm in [*latest.values()][-DRIFTED:]:
        about = f"{alarm.about} on {alarm.day}: " if alarm.about != "limit" else ""
        yield f"{about}{alarm.words}."


def excess(now: Series, day: int, days: int) -> str:
    """The loss of a window over the expected one, in words."""
    some = slice(max(day - days + 1, 0), day + 1)
    ratio = now.observed[some].sum() / now.expected[some].sum()
    return f"{percent(ratio)} what is expected"


def percent(ratio: float) -> str:
    """A ratio in words."""
    if abs(ratio - 1) < 0.005:
        return "equal to"
    return f"{abs(ratio - 1):.0%} {'above' if ratio >= 1 else 'below'}"


def window_words(days: int) -> str:
    """The words for a window."""
    return "this day" if days == 1 else f"the last {days} days"


def blocks(days: int, options: Monitoring) -> int:
    """The number of checks in a window of days."""
    return max(round(days / options.days), 1)
