"""False alarms of the monitor in simulated stable worlds, and what it sees in changed ones.

SEED was committed before the first run. Alarms are counted as a person counts them: a new one begins
after seven quiet days. Of the rivals, which have no such rule, days with an alarm are counted too; their
rules are written out here, on the same counts by bin, not installed.
"""

import sys
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .common import TEMPLATE, Rows, publish

sys.dont_write_bytecode = True  # every file of the template folder would be rendered
sys.path.insert(0, str(TEMPLATE / "{{cookiecutter.project_slug}}" / "src"))
from mlops_loop.models.profile import Bins
from mlops_loop.monitoring.drift import ColumnTest
from mlops_loop.monitoring.params import LOSS_SHARES, Monitoring
from mlops_loop.monitoring.statistics import NO_PRIOR, calibrate_loss, share_prior
from scipy import stats

SEED, QUIET, CAP, REFERENCES = 20261129, 7, 0.995, 10
DAYS, TRIALS, COLUMNS = 2_000, 400, (10, 30)
OPTIONS = Monitoring(alarms_per_year=1, every="1d")
Floats = NDArray[np.float64]
GRID = stats.norm.ppf(np.arange(1, 20) / 20)
NUMBER = Bins(edges=[-9.0, *GRID.tolist(), 9.0])
# The mean of a lognormal that is clipped at its quantile CAP.
MEAN = np.exp(0.5) * stats.norm.cdf(stats.norm.ppf(CAP) - 1)
MEAN += (1 - CAP) * np.exp(stats.norm.ppf(CAP))
CATEGORY, SHARES = Bins(levels=["a", "b", "c", "d", "e"]), np.full(5, 0.2)


@dataclass
class World:
    """Days that differ by chance: weekday, day-to-day and yearly effects of each column.

    In a `heavy` world effects of days have the tails of t with 4 degrees of freedom, half of their
    variance is shared by all columns, and losses are lognormal, clipped as a profile clips them.
    """

    rng: np.random.Generator
    seasonal: float = 0.0
    yearly: float = 0.0
    heavy: bool = False
    columns: int = 10

    def __post_init__(self) -> None:
        self.tau = self.seasonal * self.rng.uniform(0, 0.06, self.columns)
        self.week = self.seasonal * self.rng.normal(0, 0.12, (7, self.columns))
        self.year = self.yearly * self.rng.uniform(0, 1, self.columns)
        self.phase = self.rng.uniform(0, 1, self.columns)
        some = self.draw(1_000_000) if self.heavy else np.array([])
        self.variance = float(some.var()) if self.heavy else 1.0
        self.skewness = float(stats.skew(some)) if self.heavy else 2.0

    def shifts(self, first: int, days: int) -> Floats:
        """Shift of each column on each day (days x columns), in standard deviations."""
        number = np.arange(first, first + days)
        lasting = self.lasting(days, self.columns)
        if self.heavy:
            lasting = np.sqrt(0.5) * (lasting + self.lasting(days, 1))
        season = np.sin(2 * np.pi * (number[:, None] / 365 + self.phase))
        return self.week[number % 7] + self.tau * lasting + self.year * season

    def lasting(self, days: int, columns: int) -> Floats:
        """Effects of days that resemble their neighbours, with a correlation of 0.3."""
        effects = self.rng.normal(size=(days, columns))
        if self.heavy:
            effects = self.rng.standard_t(4, size=(days, columns)) / np.sqrt(2)
        for day in range(1, days):
            effects[day] = 0.3 * effects[day - 1] + np.sqrt(1 - 0.09) * effects[day]
        return effects

    def counts(self, column: int, shifts: Floats, rows: int) -> Floats:
        """Counts of a column by day: every third is a category, the others are numbers."""
        if column % 3 == 2:
            tilted = SHARES * np.exp(shifts[:, None] * np.linspace(-1, 1, 5))
            shares = np.hstack([tilted, np.zeros((len(shifts), 2))])
        else:
            inner = np.diff(stats.norm.cdf(np.array([-9, *GRID, 9]) - shifts[:, None]))
            shares = np.pad(inner, ((0, 0), (1, 2)))
        drawn = self.rng.multinomial(rows, shares / shares.sum(axis=1, keepdims=True))
        return drawn.astype(float)

    def draw(self, rows: int) -> Floats:
        """Losses of rows of a heavy world, over what is expected: their mean is 1."""
        losses = np.minimum(self.rng.lognormal(0, 1, rows), np.exp(stats.norm.ppf(CAP)))
        return losses / MEAN

    def losses(self, days: int, rows: int) -> Floats:
        """Mean losses of days over what is expected, with a day effect of 5 % if seasonal."""
        effect = np.exp(0.05 * self.seasonal * self.lasting(days, 1)[:, 0])
        if self.heavy:
            return effect * [self.draw(rows).mean() for _ in range(days)]
        return effect * self.rng.gamma(rows, 1 / rows, days)


def bins(column: int) -> Bins:
    """The bins of a column."""
    return CATEGORY if column % 3 == 2 else NUMBER


def calibrate(world: World, days: int, rows: int) -> list[ColumnTest]:
    """The test of each column, with the dispersions that they share."""
    at, shifts = np.arange(days) % 7, world.shifts(0, days)
    tables = [world.counts(c, shifts[:, c], rows) for c in range(world.columns)]
    first = [ColumnTest.calibrate(t, bins(c), at, NO_PRIOR) for c, t in enumerate(tables)]
    known = zip(*(test.dispersions(days) for test in first), strict=True)
    prior = share_prior(*map(np.concatenate, known))
    return [ColumnTest.calibrate(t, bins(c), at, prior) for c, t in enumerate(tables)]


def episodes(alarms: NDArray[Any]) -> int:
    """Alarms that begin after seven quiet days."""
    days = np.flatnonzero(alarms)
    return int(len(days) and 1 + (np.diff(days) > QUIET).sum())


def stable(world: World, reference: int, rows: int, days: int) -> dict[str, float]:
    """Alarms a year of both tiers in a stable world, and days a year with an alarm of each rival."""
    at, shifts = (reference + np.arange(days)) % 7, world.shifts(reference, days)
    level = OPTIONS.drift_level(1 / world.columns, reference)
    drifted, others = np.zeros(days, bool), []
    for column, test in enumerate(calibrate(world, reference, rows)):
        counts = world.counts(column, shifts[:, column], rows)
        drifted |= test.combine(test.run(counts, at).p) < level
        others.append(rivals(counts, test))
    evidently, psi, ks = (np.array(each) for each in zip(*others, strict=True))
    many = np.full(max(days, reference), rows)
    known = world.losses(reference, rows)
    facts = world.variance, world.skewness
    test = calibrate_loss(known, many[:reference], np.arange(reference) % 7, *facts)
    watched, paged = world.losses(days, rows), np.zeros(days, bool)
    for window, share in LOSS_SHARES.items():
        paged |= test.p(watched, many[:days], at, window) < OPTIONS.level(share)
    years = days / 365
    return {
        "drift, alarms a year": episodes(drifted) / years,
        "loss, alarms a year": episodes(paged) / years,
        "both": episodes(drifted | paged) / years,
        "Evidently, half": float((evidently.mean(axis=0) >= 0.5).sum()) / years,
        "Evidently, any": float(evidently.any(axis=0).sum()) / years,
        "PSI > 0.2, any": float(psi.any(axis=0).sum()) / years,
        "p < 0.05, any": float(ks.any(axis=0).sum()) / years,
    }


def rivals(counts: Floats, test: ColumnTest) -> tuple[Floats, Floats, Floats]:
    """The days on which a column has drifted for Evidently, by PSI, and by a p value under 0.05.

    Evidently's for references of over 1,000 rows: normed Wasserstein distance, or Jensen-Shannon
    distance of categories, above 0.1. The p values are those of Kolmogorov and Smirnov, or chi2.
    """
    shares, rows = counts / counts.sum(axis=1, keepdims=True), counts.sum(axis=1)
    known = test.shares + 1e-12
    both = shares + 1e-12
    psi = ((both - known) * np.log(both / known)).sum(axis=1) > 0.2
    if test.bins.levels:
        middle = (both + known) / 2
        part = both * np.log2(both / middle) + known * np.log2(known / middle)
        expected = np.maximum(rows[:, None] * known, 1e-9)
        squares = np.where(known > 1e-9, (counts - expected) ** 2 / expected, 0).sum(axis=1)
        p = stats.chi2.sf(squares, (known > 1e-9).sum() - 1)
        return np.sqrt(part.sum(axis=1) / 2) > 0.1, psi, p < 0.05
    apart = np.abs(np.cumsum(shares - known, axis=1))
    edges = np.clip(np.array(test.bins.edges), -3.5, 3.5)
    distance = (apart[:, 1 : len(edges)] * np.diff(edges)).sum(axis=1)
    size = rows * test.reference_rows / (rows + test.reference_rows)
    p = stats.kstwobign.sf(np.sqrt(size) * apart.max(axis=1))
    return distance > 0.1, psi, p < 0.05


def see_drift(world: World, rows: int, column: int, shift: float, trials: int) -> float:
    """The share of first days on which a shift of one of ten columns is seen."""
    test = calibrate(world, 90, rows)[column]
    level, at = OPTIONS.drift_level(1 / world.columns, 90), np.zeros(1, int)
    days = [world.counts(column, np.array([shift]), rows) for _ in range(trials)]
    return float(np.mean([test.combine(test.run(day, at).p)[0] < level for day in days]))


def see_loss(
    world: World, rows: int, rise: float, trials: int, known: float = 0.0, days: int = 1
) -> float:
    """The share of times at which a rise of the loss is seen within so many days.

    A share of the variance is `known` by the loss model. Ten references, as one is a draw.
    """
    many, at, seen = np.full(trials, rows), np.arange(max(trials, 90)) % 7, []
    unknown = rows / (1 - known)
    facts = 1 - known, 2 * np.sqrt(1 - known)
    for _ in range(REFERENCES):
        reference, watched = (world.rng.gamma(unknown, 1 / unknown, n) for n in (90, trials))
        test = calibrate_loss(reference, np.full(90, rows), at[:90], *facts)
        p = test.p((1 + rise) * watched, many, at[:trials], 1)
        found = p < OPTIONS.level(LOSS_SHARES[1])
        whole = found[: trials // days * days]
        seen.append(float(whole.reshape(-1, days).any(axis=1).mean()))
    return float(np.mean(seen))


WORLDS: dict[str, dict[str, Any]] = {
    "iid": {},
    "weekday and day effects": {"seasonal": 1.0},
    "and a slow year": {"seasonal": 1.0, "yearly": 0.1},
    "heavy tails, columns alike": {"seasonal": 1.0, "heavy": True},
}


def measure(days: int, trials: int) -> tuple[Rows, Rows]:
    """Rows of false alarms, and of what is seen."""
    alarms: Rows = []
    for columns, (name, facts) in product(COLUMNS, WORLDS.items()):
        for reference, rows in product((31, 90), (200, 1_000, 10_000)):
            rng = np.random.default_rng([SEED, len(alarms)])
            found = stable(World(rng, columns=columns, **facts), reference, rows, days)
            cell = {"columns": columns, "world": name, "reference days": reference}
            alarms.append({**cell, "rows a day": rows, **found})
    world = World(np.random.default_rng(SEED))
    seen = {
        "one of ten columns up by 0.2 sd, 1,000 rows": see_drift(world, 1_000, 0, 0.2, trials),
        "one of ten columns up by 0.1 sd, 5,000 rows": see_drift(world, 5_000, 0, 0.1, trials),
        "loss +20 %, 1,000 outcomes": see_loss(world, 1_000, 0.2, trials),
        "loss +10 %, 2,000 outcomes": see_loss(world, 2_000, 0.1, trials),
        "the same, on one of two days": see_loss(world, 2_000, 0.1, trials, days=2),
        "the same, 30 % of the variance expected": see_loss(world, 2_000, 0.1, trials, 0.3),
    }
    return alarms, [{"change": change, "seen on its first day": s} for change, s in seen.items()]


def main() -> None:
    """Measure what the dial promises."""
    alarms, seen = measure(DAYS, TRIALS)
    for_long = [row["both"] for row in alarms if row["reference days"] >= 90]
    years = len(for_long) * DAYS / 365
    most = stats.chi2.isf(0.05, 2 * sum(for_long) * DAYS / 365 + 2) / 2 / years
    note = (
        f"{DAYS:,} days a cell, one seed; the dial asks for one alarm a year. With 90 reference days "
        f"both tiers have {np.mean(for_long):.2f} a year, with a 95 % upper bound of {most:.2f}. Rivals: "
        "days a year with an alarm, by rules written out on the same counts."
    )
    publish("monitoring", alarms, note)
    note = (
        f"90 reference days without day effects, {TRIALS} days each, losses of {REFERENCES} "
        "references. No test at this level sees a rise of 10 % of 2,000 exponential losses on its first "
        "day more often than 0.90, if it knew the reference without error."
    )
    publish("monitoring_power", seen, note)
