"""Tests of days against a reference, calibrated on the reference's own days.

A *scalar* is a number that a day of n rows has one of: the logarithm of observed over expected
loss, a contrast of a number's ranks, the share of a bin. Days differ by more than their rows let
expect, so each scalar has a day effect beside its sampling variance, and the test of a day is

    (value - expected for that weekday) / sqrt(row variance / n + day effect + reference error)

against a t distribution. Arrays are (days x scalars) throughout.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from ..models.types import Array, Floats

WEEK, MONTH = 7, 28
LEAST_DAYS, LEAST_DAYS_OF_WEEKDAYS, LEAST_OF_EACH = 8, 21, 3
STEADIEST = 0.005  # standard deviations: no process is steadier from day to day
OWN_LEVEL = 0.05  # of the F test by which a scalar's own day effect stands for itself
CERTAIN, TINY = 1e6, 1e-12
Prior = tuple[float, float]
NO_PRIOR: Prior = (1e-9, 1.0)


@dataclass(frozen=True)
class Reference:
    """Scalars of a stable day, one value for each scalar but `expected` (7 weekdays x scalars).

    `effect` is the variance of the day effect, `own` that of the error of `expected`, and
    `inflation` the factor of the day effect in a mean of days, which resemble their neighbours.
    """

    expected: Floats
    row_variance: Floats
    effect: Floats
    own: Floats
    dof: Floats
    inflation: Floats
    dispersion: Floats
    day_dof: Floats

    def variance(self, rows: Floats) -> Floats:
        """Variance of the difference of a day from what is expected of it."""
        return self.row_variance / np.maximum(rows, 1) + self.effect + self.own

    def window(self, rest: Floats, rows: Floats, days: int) -> tuple[Floats, Floats]:
        """The mean difference over the last `days` of each day, by rows, and its variance."""
        total = np.maximum(rolling_sum(rows, days), 1)
        mean = rolling_sum(rows * rest, days) / total
        noise = rows * self.row_variance + rows**2 * self.effect
        neighbours = self.effect / days * (self.inflation - 1)
        return mean, rolling_sum(noise, days) / total**2 + self.own + neighbours


def calibrate(
    values: Floats, rows: Floats, row_variance: Floats, weekdays: Array, prior: Prior = NO_PRIOR
) -> Reference:
    """Learn from reference days what a stable day has, and how far stable days differ.

    The day effect of a scalar is moderated by a `prior` that all scalars share (Smyth, 2004).
    Under 8 days nothing is known of day effects: rows are taken as independent.
    """
    days = len(values)
    usual = 1 / np.mean(1 / np.maximum(rows, 1), axis=0)
    expected, seasonal, error = fit_weekdays(values, rows, weekdays)
    rest = values - expected[weekdays]
    day_dof = np.maximum(days - 1 - (WEEK - 1) * seasonal, 1)
    row_variance = np.maximum(row_variance, TINY)
    dispersion = (rest**2).sum(axis=0) / day_dof / (row_variance / usual)
    if days < LEAST_DAYS:
        excess, dof = np.ones_like(usual), np.full_like(usual, CERTAIN)
    else:
        shared, level = min(prior[0], CERTAIN), prior[1]
        alone = stats.f.sf(dispersion / level, day_dof, max(shared, 1)) < OWN_LEVEL
        weight = np.where(alone, 0, shared)
        dof = weight + day_dof
        excess = np.maximum((weight * level + day_dof * dispersion) / dof, 1)
    effect = np.maximum(row_variance / usual * (excess - 1), STEADIEST**2 * row_variance)
    lagged = (rest[1:] * rest[:-1]).sum(axis=0) / np.maximum((rest**2).sum(axis=0), TINY)
    resemblance = np.clip(lagged, 0.2, 0.8)
    return Reference(
        expected=expected,
        row_variance=row_variance,
        effect=effect,
        own=(row_variance / usual + effect) * error,
        dof=dof,
        inflation=(1 + resemblance) / (1 - resemblance),
        dispersion=dispersion,
        day_dof=day_dof,
    )


def fit_weekdays(values: Floats, rows: Floats, weekdays: Array) -> tuple[Floats, Floats, Floats]:
    """Means of weekdays, shrunk to the mean of all days by 1 - 1/F of an analysis of variance.

    Returns them with the share that is not shrunk, and their variance in units of a day's.
    """
    days, scalars = values.shape
    grand = (values * rows).sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
    each = np.bincount(weekdays, minlength=WEEK)
    if days < LEAST_DAYS_OF_WEEKDAYS or each.min() < LEAST_OF_EACH:
        return np.tile(grand, (WEEK, 1)), np.zeros(scalars), np.full(scalars, 1 / days)
    means = np.array([values[weekdays == day].mean(axis=0) for day in range(WEEK)])
    within = ((values - means[weekdays]) ** 2).sum(axis=0) / (days - WEEK)
    between = (each[:, None] * (means - means.mean(axis=0)) ** 2).sum(axis=0) / (WEEK - 1)
    seasonal = np.clip(1 - within / np.maximum(between, 1e-300), 0, 1)
    error = seasonal / each.mean() + (1 - seasonal) / days
    return grand + seasonal * (means - grand), seasonal, error


def share_prior(dispersions: Floats, dof: Floats) -> Prior:
    """Degrees of freedom and level that the dispersions of many scalars share.

    Moments of the logarithm of a scaled F distribution (Smyth, 2004, section 6.2).
    """
    if len(dispersions) < 3:
        return NO_PRIOR
    logs = np.log(np.maximum(dispersions, 1e-3)) - special.digamma(dof / 2) + np.log(dof / 2)
    spread = logs.var(ddof=1) - special.polygamma(1, dof / 2).mean()
    if spread <= 1 / CERTAIN:
        return np.inf, float(np.exp(logs.mean()))
    half = optimize.brentq(lambda x: special.polygamma(1, x) - spread, 1e-3, CERTAIN)
    level = np.exp(logs.mean() + special.digamma(half) - np.log(half))
    return 2 * float(half), float(level)


def rolling_sum(values: Floats, days: int) -> Floats:
    """The sum of the last `days` of each day; fewer at the beginning."""
    total = np.cumsum(values, axis=0)
    total[days:] = total[days:] - total[:-days]
    return total


@dataclass(frozen=True)
class LossTest:
    """The test of a mean loss against its reference: only a rise counts."""

    reference: Reference
    skewness: float

    def rest(self, ratio: Floats, weekdays: Array) -> Floats:
        """The logarithm of a ratio, without what is usual on its weekday."""
        logs = np.log(np.maximum(ratio, 1e-9))[:, None]
        return np.asarray(logs - self.reference.expected[weekdays])

    def p(self, ratio: Floats, rows: Floats, weekdays: Array, days: int) -> Floats:
        """The p value of the last `days` of each day; 1 until there are as many."""
        counts = rows[:, None].astype(float)
        mean, variance = self.reference.window(self.rest(ratio, weekdays), counts, days)
        total = np.maximum(rolling_sum(counts, days), 1)
        z = np.clip(mean / np.sqrt(variance), -8, 12)
        p = stats.t.sf(self._normal(z, total, variance), self.reference.dof)[:, 0]
        return np.where(np.arange(len(p)) < days - 1, 1.0, p)

    def _normal(self, z: Floats, rows: Floats, variance: Floats) -> Floats:
        """Remove the skewness of a mean of losses from z: the inverse of z + g (z^2 - 1) / 6.

        Hall (1992); the logarithm takes some of the skewness already.
        """
        sampling = self.reference.row_variance / rows / variance
        g = max(self.skewness - 3 * float(self.reference.row_variance[0]) ** 0.5, 0.0)
        g = np.maximum(g / np.sqrt(rows) * sampling**1.5, 1e-9)
        root = np.sqrt(np.maximum(1 + 2 * g / 3 * z + g * g / 9, 1e-6))
        return np.where(g > 1e-6, 3 * (root - 1) / g, z)

    def smallest_rise(self, rows: Floats, level: float) -> Floats:
        """The rise of a day's loss that is seen with a probability of 90 %, as a share."""
        deviation = np.sqrt(self.reference.variance(rows[:, None])[:, 0])
        needed = stats.t.isf(level, self.reference.dof[0]) + stats.norm.ppf(0.9)
        return np.asarray(np.expm1(np.minimum(needed * deviation, 50)))


def calibrate_loss(
    ratio: Floats, rows: Floats, weekdays: Array, row_variance: float, skewness: float
) -> LossTest:
    """Calibrate the test on the ratios of the reference days."""
    logs = np.log(np.maximum(ratio, 1e-9))[:, None]
    counts, variance = rows[:, None].astype(float), np.array([row_variance])
    return LossTest(calibrate(logs, counts, variance, weekdays), skewness)
