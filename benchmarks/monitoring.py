"""False alarms of the monitor in simulated stable worlds, and what it sees in changed ones.

SEED was committed before the first run. Alarms are counted as a person counts them: a new one begins
after seven quiet days.
"""

import sys
from dataclasses import dataclass
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

SEED, QUIET = 20261129, 7
DAYS, TRIALS, COLUMNS = 2_000, 400, 10
OPTIONS = Monitoring(alarms_per_year=1, every="1d")
Floats = NDArray[np.float64]
GRID = stats.norm.ppf(np.arange(1, 20) / 20)
NUMBER = Bins(edges=[-9.0, *GRID.tolist(), 9.0])
CATEGORY, SHARES = Bins(levels=["a", "b", "c", "d", "e"]), np.full(5, 0.2)


@dataclass
class World:
    """Days that differ by chance: weekday, day-to-day and yearly effects of each column."""

    rng: np.random.Generator
    seasonal: float = 0.0
    yearly: float = 0.0

    def __post_init__(self) -> None:
        self.tau = self.seasonal * self.rng.uniform(0, 0.06, COLUMNS)
        self.week = self.seasonal * self.rng.normal(0, 0.12, (7, COLUMNS))
        self.year = self.yearly * self.rng.uniform(0, 1, COLUMNS)
        self.phase = self.rng.uniform(0, 1, COLUMNS)

    def shifts(self, first: int, days: int) -> Floats:
        """Shift of each column on each day (days x columns), in standard deviations."""
        number = np.arange(first, first + days)
        lasting = self.lasting(days, COLUMNS)
        season = np.sin(2 * np.pi * (number[:, None] / 365 + self.phase))
        return self.week[number % 7] + self.tau * lasting + self.year * season

    def lasting(self, days: int, columns: int) -> Floats:
        """Effects of days that resemble their neighbours, with a correlation of 0.3."""
        effects = self.rng.normal(size=(days, columns))
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

    def losses(self, days: int, rows: int) -> Floats:
        """Mean exponential losses over what is expected, with a day effect of 5 % if seasonal."""
        effect = 0.05 * self.seasonal * self.lasting(days, 1)[:, 0]
        return self.rng.gamma(rows, 1 / rows, days) * np.exp(effect)


def bins(column: int) -> Bins:
    """The bins of a column."""
    return CATEGORY if column % 3 == 2 else NUMBER


def calibrate(world: World, days: int, rows: int) -> list[ColumnTest]:
    """The test of each column, with the dispersions that they share."""
    at, shifts = np.arange(days) % 7, world.shifts(0, days)
    tables = [world.counts(column, shifts[:, column], rows) for column in range(COLUMNS)]
    first = [ColumnTest.calibrate(t, bins(c), at, NO_PRIOR) for c, t in enumerate(tables)]
    known = zip(*(test.dispersions(days) for test in first), strict=True)
    prior = share_prior(*map(np.concatenate, known))
    return [ColumnTest.calibrate(t, bins(c), at, prior) for c, t in enumerate(tables)]


def episodes(alarms: NDArray[Any]) -> int:
    """Alarms that begin after seven quiet days."""
    days = np.flatnonzero(alarms)
    return int(len(days) and 1 + (np.diff(days) > QUIET).sum())


def stable(world: World, reference: int, rows: int, days: int) -> dict[str, float]:
    """Alarms a year of both tiers in a stable world."""
    at, shifts = (reference + np.arange(days)) % 7, world.shifts(reference, days)
    level = OPTIONS.drift_level(1 / COLUMNS, reference)
    drifted = np.zeros(days, bool)
    for column, test in enumerate(calibrate(world, reference, rows)):
        found = test.run(world.counts(column, shifts[:, column], rows), at)
        drifted |= test.combine(found.p) < level
    many = np.full(max(days, reference), rows)
    known = world.losses(reference, rows)
    test = calibrate_loss(known, many[:reference], np.arange(reference) % 7, 1.0, 2.0)
    watched, paged = world.losses(days, rows), np.zeros(days, bool)
    for window, share in LOSS_SHARES.items():
        paged |= test.p(watched, many[:days], at, window) < OPTIONS.level(share)
    years = days / 365
    return {
        "drift, alarms a year": episodes(drifted) / years,
        "loss, alarms a year": episodes(paged) / years,
        "both": episodes(drifted | paged) / years,
    }


def see_drift(world: World, rows: int, column: int, shift: float, trials: int) -> float:
    """The share of first days on which a shift of one of ten columns is seen."""
    test = calibrate(world, 90, rows)[column]
    level, at = OPTIONS.drift_level(1 / COLUMNS, 90), np.zeros(1, int)
    days = [world.counts(column, np.array([shift]), rows) for _ in range(trials)]
    return float(np.mean([test.combine(test.run(day, at).p)[0] < level for day in days]))


def see_loss(world: World, rows: int, rise: float, trials: int) -> float:
    """The share of first days on which a rise of the loss is seen."""
    many, known, at = np.full(trials, rows), np.full(90, rows), np.arange(max(trials, 90)) % 7
    test = calibrate_loss(world.losses(90, rows), known, at[:90], 1.0, 2.0)
    p = test.p((1 + rise) * world.losses(trials, rows), many, at[:trials], 1)
    return float((p < OPTIONS.level(LOSS_SHARES[1])).mean())


WORLDS = {"iid": (0.0, 0.0), "weekday and day effects": (1.0, 0.0), "and a slow year": (1.0, 0.1)}


def measure(days: int, trials: int) -> tuple[Rows, Rows]:
    """Rows of false alarms, and of what is seen."""
    alarms: Rows = []
    for name, (seasonal, yearly) in WORLDS.items():
        for reference in (31, 90):
            for rows in (200, 1_000, 10_000):
                rng = np.random.default_rng([SEED, len(alarms)])
                found = stable(World(rng, seasonal, yearly), reference, rows, days)
                cell = {"world": name, "reference days": reference, "rows a day": rows}
                alarms.append(cell | found)
    world = World(np.random.default_rng(SEED))
    seen = {
        "one of ten columns up by 0.2 sd, 1,000 rows": see_drift(world, 1_000, 0, 0.2, trials),
        "one of ten columns up by 0.1 sd, 5,000 rows": see_drift(world, 5_000, 0, 0.1, trials),
        "loss +20 %, 1,000 outcomes": see_loss(world, 1_000, 0.2, trials),
        "loss +10 %, 2,000 outcomes": see_loss(world, 2_000, 0.1, trials),
    }
    return alarms, [{"change": change, "seen on its first day": s} for change, s in seen.items()]


def main() -> None:
    """Measure what the dial promises."""
    alarms, seen = measure(DAYS, TRIALS)
    note = f"Ten columns, {DAYS:,} days a cell, one seed; the dial asks for one alarm a year."
    publish("monitoring", alarms, note)
    publish("monitoring_power", seen, f"90 reference days without day effects, {TRIALS} days each.")
