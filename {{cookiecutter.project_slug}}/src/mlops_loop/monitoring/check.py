"""The check of watched days: observed over expected loss, drift, data quality, and a verdict."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from ..console import figure
from ..files import Content, Figures
from ..models.profile import Profile
from ..models.types import Array, Floats
from .batch import KEYS, Watched
from .drift import ColumnTest
from .notes import describe_rows, find_unusual
from .params import LOSS_SHARES, RAW_SHARE, SLICE_SHARE, Monitoring
from .statistics import LEAST_DAYS, NO_PRIOR, LossTest, calibrate_loss, share_prior

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
        some = losses.filter(slice=of, value=value).sort("day")
        some = some.filter(pl.col("rows") >= LEAST_SHARE * pl.median("rows"))
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


class Comparison:
    """Watched days against a reference, both summed over the days of each check.

    `late` are the days of whose rows too few have known outcomes. Tests add to `alarms`.
    """

    def __init__(self, profile: Profile, watched: Watched, options: Monitoring) -> None:
        self.profile, self.options = profile, options
        self.alarms: list[Alarm] = []
        self.counts = self.by_block(profile.counts, "counts")
        self.losses = self.by_block(profile.losses, "losses")
        self.new_counts = self.by_block(watched.counts, "counts")
        self.new_losses = self.by_block(watched.losses, "losses")
        self.reference, self.now = Series.of(self.losses), Series.of(self.new_losses)
        self.every = Series.of_days(self.by_block(watched.days, "days"))
        known = dict(zip(self.now.days, self.now.rows, strict=True))
        every = zip(self.every.days, self.every.rows, strict=True)
        self.late = {day for day, rows in every if known.get(day, 0) < ENOUGH * rows}
        self.mean = self.reference.observed.sum() / self.reference.rows.sum()
        self.test = self.calibrate(self.reference)

    def by_block(self, table: pl.DataFrame, name: str) -> pl.DataFrame:
        """A table of a profile or of watched days, summed over the days of each check."""
        block = pl.col("day").dt.truncate(f"{self.options.days}d")
        return table.with_columns(block).group_by(KEYS[name]).agg(pl.all().sum())

    def weekdays(self, days: list[date]) -> Array:
        """The weekday of each day; the same of all where a check has several days."""
        return np.array([day.weekday() if self.options.days == 1 else 0 for day in days])

    def blocks(self, days: int) -> int:
        """The number of checks in a window of days."""
        return max(round(days / self.options.days), 1)

    def calibrate(self, reference: Series) -> LossTest:
        """Calibrate the test of observed over expected loss."""
        known, at = self.profile.expectation, self.weekdays(reference.days)
        return calibrate_loss(reference.ratio, reference.rows, at, known.variance, known.skewness)

    def calibrate_means(self, losses: Floats, variance: float, skewness: float) -> LossTest:
        """Calibrate the test of the mean loss of a day, as a multiple of the reference's."""
        rows, at = self.reference.rows, self.weekdays(self.reference.days)
        return calibrate_loss(losses / rows / self.mean, rows, at, variance, skewness)

    def find(self, p: Floats, share: float) -> list[int]:
        """Positions of p values below the level that has this share of a year's alarms."""
        found: list[int] = np.flatnonzero(p < self.options.level(share)).tolist()
        return found

    def add(self, day: date, level: str, about: str, words: str) -> None:
        """Add an alarm."""
        self.alarms.append(Alarm(day, level, about, words))

    def check_losses(self, limits: Figures) -> Content:
        """Compare the loss of each day with the expected one, and with the reference's mean.

        The latter not on late days: check_estimates does it for all of their rows.
        """
        now = self.now
        rows, days = now.rows, now.days
        test = self.test
        at = self.weekdays(days)
        for window, share in LOSS_SHARES.items():
            blocks = self.blocks(window)
            p = test.p(now.ratio, rows, at, blocks)
            for day in self.find(p, share):
                some = slice(max(day - blocks + 1, 0), day + 1)
                ratio = percent(now.observed[some].sum() / now.expected[some].sum())
                since = "this day" if window == 1 else f"the last {window} days"
                self.add(days[day], "act", "loss", f"{since} {ratio} what is expected")
        paged = {alarm.day for alarm in self.alarms}
        known, raw = self.profile.expectation, now.observed / rows / self.mean
        raw_test = self.calibrate_means(self.reference.observed, known.raw_variance, known.skewness)
        p = raw_test.p(raw, rows, at, 1)
        for day in self.find(p, RAW_SHARE):
            if days[day] not in paged | self.late:
                words = f"{percent(raw[day])} the reference, whose rows were easier"
                self.add(days[day], "watch", "loss", words)
        by_day = {
            "day": days,
            "rows": rows.astype(int),
            "observed": now.observed / rows,
            "expected": now.expected / rows,
            "ratio": now.ratio,
            "could_see": test.smallest_rise(rows, self.options.level(LOSS_SHARES[1])),
            "alarm": [day in paged for day in days],
        }
        return {
            **self.check_recent(raw_test, raw, limits),
            "calibrated_on_days": len(self.reference.days) >= LEAST_DAYS,
            "by_day": pl.DataFrame(by_day).to_dicts(),
        }

    def check_recent(self, test: LossTest, losses: Floats, limits: Figures) -> Content:
        """Compare the loss of the last weeks, less two standard errors, with limits."""
        now, mean, weeks = self.now, self.mean, min(self.blocks(RECENT), len(self.now.days))
        recent = slice(-weeks, None)
        rows = now.rows[recent].sum()
        observed, expected = now.observed[recent].sum() / rows, now.expected[recent].sum() / rows
        logs = np.log(losses)[:, None]
        _, variance = test.reference.window(logs, now.rows[:, None], weeks)
        least = observed / mean * np.exp(-2 * np.sqrt(variance[-1, 0]))
        for words, limit in limits.items():
            if least > limit:
                self.add(now.days[-1], "act", "limit", words)
        return {
            "reference": mean,
            "observed": observed,
            "expected": expected,
            "observed_over_expected": observed / expected,
            "observed_over_reference": observed / mean,
            "expected_over_reference": expected / mean,
        }

    def check_slices(self) -> list[Content]:
        """Compare the loss of the last weeks of each declared slice with the expected one."""
        names = self.new_losses.select("slice", "value").unique().sort("slice", "value")
        pairs = [pair for pair in names.iter_rows() if pair[0]]
        found: list[Content] = []
        for of, value in pairs:
            reference = Series.of(self.losses, of, value)
            now = Series.of(self.new_losses, of, value)
            if not reference.days:
                continue
            days = min(self.blocks(RECENT), len(now.days))
            test = self.calibrate(reference)
            at = self.weekdays(now.days)
            p = test.p(now.ratio, now.rows, at, days)
            ratio = now.observed[-days:].sum() / now.expected[-days:].sum()
            each = {"slice": of, "value": value, "rows": int(now.rows[-days:].sum())}
            alarmed = bool(p[-1] < self.options.level(SLICE_SHARE) / len(pairs))
            found.append({**each, "observed_over_expected": ratio, "alarm": alarmed})
            if alarmed:
                last = days * self.options.days
                words = f"{percent(ratio)} what is expected in the last {last} days"
                self.add(now.days[-1], "act", f"loss where {of} is {value}", words)
        return found

    def check_estimates(self) -> Content:
        """Estimate the loss of all rows of each day from their features and scores alone.

        Its standard error is that of observed over expected loss on stable days of as many rows, so
        it holds the difference of days; a change of what inputs mean is in neither.
        """
        every, now, known = self.every, self.now, self.profile.expectation
        rows, days, late, mean = every.rows, every.days, self.late, self.mean
        error = np.sqrt(self.test.reference.variance(rows[:, None])[:, 0])
        estimate = every.expected / rows
        of_rows = max(known.raw_variance - known.variance, 0.0)
        rise = self.calibrate_means(self.reference.expected, of_rows, 0.0)
        p = rise.p(estimate / mean, rows, self.weekdays(days), 1)
        for day in self.find(p, RAW_SHARE):
            if days[day] in late:
                times = percent(estimate[day] / mean)
                words = f"{times} the reference, by an estimate: harder rows"
                self.add(days[day], "watch", "loss", words)
        observed = dict(zip(now.days, now.observed / now.rows, strict=True))
        by_day = {
            "day": days,
            "rows": rows.astype(int),
            "observed": [observed.get(day) for day in days],
            "estimate": estimate,
            "error": estimate * error,
            "low": estimate * np.maximum(1 - 2 * error, 0),
            "high": estimate * (1 + 2 * error),
            "late": [day in late for day in days],
        }
        return {"reference": mean, "by_day": pl.DataFrame(by_day).to_dicts()}

    def check_columns(self, weights: Figures) -> list[Content]:
        """Test the drift of each column: features, predictions, inputs and outcomes."""
        found: list[Content] = []
        columns = self.profile.columns
        tables = {name: matrix(self.counts, name, len(bins)) for name, bins in columns.items()}
        known = []
        for name, (days, table) in tables.items():
            at = self.weekdays(days)
            first = ColumnTest.calibrate(table, columns[name], at, NO_PRIOR)
            known.append(first.dispersions(len(days)))
        dispersions, dof = (np.concatenate(each) for each in zip(*known, strict=True))
        prior = share_prior(dispersions, dof)
        for name, (reference_days, table) in tables.items():
            bins, weight = columns[name], weights[name]
            days, new = matrix(self.new_counts, name, len(bins))
            if not days:
                continue
            test = ColumnTest.calibrate(table, bins, self.weekdays(reference_days), prior)
            drift = test.run(new, self.weekdays(days))
            level = self.options.drift_level(weight, len(reference_days))
            drifted = test.combine(drift.p) < level
            drifted &= [day not in self.options.holidays for day in days]
            for day in np.flatnonzero(drifted):
                self.add(days[day], "watch", name, drift.describe(int(day)))
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


def check(
    profile: Profile,
    watched: Watched,
    options: Monitoring,
    importance: Figures,
    limits: Figures | None = None,
) -> Content:
    """The content of reports/monitoring/latest.json, without what only the caller knows.

    `limits` are multiples of the reference's loss that are too much, by the words for them.
    """
    found = Comparison(profile, watched, options)
    reference = found.reference
    now = found.now
    alarms = found.alarms
    content: Content = {
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
        content["loss"] = found.check_losses(limits or {})
        content["slices"] = found.check_slices()
    content["estimate"] = found.check_estimates()
    content["columns"] = found.check_columns(weigh(profile, importance))
    broken = watched.broken.group_by("column", "rule").agg(pl.sum("rows"))
    content["quality"] = broken.sort("rows", "column", descending=True).to_dicts()
    days = sorted(found.new_counts["day"].unique().to_list())
    last = days[-1]
    content["days"] = {"first": days[0], "last": last, "number": len(days)}
    content["unusual"] = find_unusual(profile, watched.counts, last)
    unsure = pl.col("unsure") / pl.col("rows").clip(1)
    volume = watched.days.sort("day").select("day", rows="given", unsure=unsure)
    content["volume"] = volume.to_dicts()
    content["notes"] = list(describe_rows(content))
    alarms.sort(key=lambda alarm: alarm.day)
    content["alarms"] = [asdict(alarm) for alarm in alarms]
    if now.days:
        content["loss"]["episode"] = find_episode(now, alarms)
    return content | judge(content, alarms, last, now.days[-1] if now.days else last)


def weigh(profile: Profile, importance: Figures) -> dict[str, float]:
    """The share of drift's alarms of each column: half of it equal, half by importance."""
    total = sum(max(value, 0) for value in importance.values()) or 1
    gains = {name: max(value, 0) / total for name, value in importance.items()}
    gains["prediction"] = PREDICTION_IMPORTANCE
    everything, equal = sum(gains.values()), 0.5 / len(profile.columns)
    return {name: equal + 0.5 * gains.get(name, 0) / everything for name in profile.columns}


def matrix(counts: pl.DataFrame, column: str, bins: int) -> tuple[list[date], Floats]:
    """The days that have rows of a column, and their counts (days x bins)."""
    some = counts.filter(column=column)
    rows = some.group_by("day").agg(pl.sum("rows"))
    whole = rows.filter(pl.col("rows") >= LEAST_SHARE * pl.median("rows"))
    some = some.join(whole.select("day"), on="day")
    days, places = np.unique(some["day"], return_inverse=True)
    table = np.zeros((len(days), bins))
    table[places, some["bin"]] = some["rows"]
    return days.tolist(), table


def find_episode(now: Series, alarms: list[Alarm]) -> Content | None:
    """The episode of loss alarms that is not over: its first day, and how the loss rose.

    Recurring, if there was an earlier one; gradual, if a line fits the logarithms of observed over
    expected loss since four weeks before better than any step does.
    """
    paged = sorted({a.day for a in alarms if a.about == "loss" and a.level == "act"})
    if not paged or now.days[-1] - paged[-1] >= QUIET:
        return None
    starts = [day for before, day in pairwise([date.min, *paged]) if day - before > QUIET]
    since, kind = starts[-1], "recurring" if len(starts) > 1 else "sudden"
    some = [day >= since - timedelta(days=RECENT) for day in now.days]
    logs, places = np.log(np.maximum(now.ratio[some], 1e-9)), np.arange(sum(some))
    if kind == "sudden" and len(logs) >= LEAST_DAYS and logs.std():
        steps = [places >= place for place in places[1:]]
        line, *others = np.corrcoef([logs, places, *steps])[0, 1:]
        kind = "gradual" if line > max(others) else kind
    return {"since": since, "kind": kind}


def judge(content: Content, alarms: list[Alarm], last: date, last_known: date) -> Content:
    """The verdict of the last days, and what it rests on, in words.

    An alarm that needs outcomes stands until as many quiet days have outcomes (`last_known`).
    """
    ends = {"act": last_known, "watch": last}
    standing = [alarm for alarm in alarms if ends[alarm.level] - alarm.day < QUIET]
    level = max((alarm.level for alarm in standing), key=LEVELS.index, default="healthy")
    explained = list(sentences(content, standing, level))
    return {"status": level, "standing": len(standing), "sentences": explained}


def sentences(content: Content, standing: list[Alarm], level: str) -> Iterator[str]:
    """Explain the verdict."""
    loss = content.get("loss")
    if level == "healthy":
        yield "The model is as right as its reference lets expect; no alarm stands."
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
    estimated, usual = content["estimate"]["by_day"][-1], figure(content["estimate"]["reference"])
    if estimated["late"]:
        value, error = figure(estimated["estimate"]), figure(2 * estimated["error"])
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


def percent(ratio: float) -> str:
    """A ratio in words."""
    if abs(ratio - 1) < 0.005:
        return "equal to"
    return f"{abs(ratio - 1):.0%} {'above' if ratio >= 1 else 'below'}"
