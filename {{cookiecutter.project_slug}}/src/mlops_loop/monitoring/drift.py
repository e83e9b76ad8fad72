"""Drift of a column, from its counts by day and bin: tested, combined and named in words.

A number has four contrasts, orthonormal polynomials of its reference ranks: they rise when values
go up, spread, become skewed, or have heavier tails. Every column has the shares of its bins too.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..models.profile import Bins
from ..models.types import Array, Floats
from .statistics import Prior, Reference, calibrate

FOLLOW, FORGET, CLIP = 0.1, 0.05, 3.0  # the recent level: its weight of a day, of a squared error
LAG = FOLLOW / (2 - FOLLOW)  # variance of the level, in days
DEGREE, ORDERED_DEGREE, MANY = 4, 2, 10  # contrasts of numbers, of many levels; how many are many
WORDS = (
    ("down", "up"),
    ("narrower", "wider"),
    ("skewed to the left", "skewed to the right"),
    ("with lighter tails", "with heavier tails"),
)
LEVEL_WORDS = (
    ("towards levels of lower outcomes", "towards levels of higher outcomes"),
    ("towards middling levels", "towards levels of extreme outcomes"),
)
CLEAR = 1e-3  # p value of a contrast that names a change
WEIGHTS = np.array([0.4, 0.2, 0.1, 0.1])  # of the contrasts; the bins have the rest
NEVER_SEEN = 0.1  # share of the bins' budget for those that the reference does not have
WORTH, RARE, FILLED = 0.01, 0.05, 5  # shares: a change, a rare bin; rows of a well-filled bin
RANK_SD = 0.977  # a shift by a standard deviation of a normal moves the first contrast by this


@dataclass(frozen=True)
class Scalars:
    """Scalars of days, and the variance of one row; the first `contrasts` are contrasts."""

    values: Floats
    rows: Floats
    row_variance: Floats
    contrasts: int


def find_scalars(counts: Floats, bins: Bins, shares: Floats) -> Scalars:
    """The contrasts and the shares of bins of each day; `shares` are the reference's."""
    rows = counts.sum(axis=1, keepdims=True)
    of_bins = counts / np.maximum(rows, 1)
    basis = make_contrasts(shares[:-1], bins)
    width = basis.shape[1]
    present = rows - counts[:, -1:]
    contrasts = counts[:, :-1] @ basis / np.maximum(present, 1)
    behind = [np.repeat(present, width, axis=1), np.repeat(rows, len(shares), axis=1)]
    return Scalars(
        values=np.hstack([contrasts, of_bins]),
        rows=np.hstack(behind),
        row_variance=np.concatenate([np.ones(width), shares * (1 - shares)]),
        contrasts=width,
    )


def make_contrasts(shares: Floats, bins: Bins) -> Floats:
    """Polynomials in the mid-ranks of bins (bins x degree), orthonormal under their shares."""
    held = shares > 0
    wanted = DEGREE if bins.levels is None else ORDERED_DEGREE * (len(bins.levels) > MANY)
    degree = min(wanted, int(held.sum()) - 1)
    if degree < 1:
        return np.zeros((len(shares), 0))
    shares = shares / shares.sum()
    ranks = np.cumsum(shares) - shares / 2
    powers = np.vander(2 * ranks - 1, degree + 1, increasing=True)
    _, triangle = np.linalg.qr(powers[held] * np.sqrt(shares[held])[:, None])
    basis = powers @ np.linalg.inv(triangle) * np.sign(np.diag(triangle))
    if bins.levels is not None:
        basis[~held] = 0  # a level that the reference does not have has no place in the order
    return np.asarray(basis[:, 1:])


@dataclass(frozen=True)
class ColumnTest:
    """The test of a column, calibrated on the reference's counts by day."""

    bins: Bins
    shares: Floats
    reference_rows: float
    reference: Reference
    contrasts: int

    @classmethod
    def calibrate(cls, counts: Floats, bins: Bins, weekdays: Array, prior: Prior) -> "ColumnTest":
        """Learn a column's scalars from the counts of reference days (days x bins)."""
        total = counts.sum()
        shares = counts.sum(axis=0) / total
        scalars = find_scalars(counts, bins, shares)
        reference = calibrate(scalars.values, scalars.rows, scalars.row_variance, weekdays, prior)
        return cls(bins, shares, float(total), reference, scalars.contrasts)

    def dispersions(self, days: int) -> tuple[Floats, Floats]:
        """Dispersions, and their degrees of freedom, of contrasts and well-filled bins."""
        filled = self.shares * self.reference_rows / days >= FILLED
        usable = np.concatenate([np.ones(self.contrasts, bool), filled & (self.shares < 1)])
        return self.reference.dispersion[usable], self.reference.day_dof[usable]

    def run(self, counts: Floats, weekdays: Array) -> "Drift":
        """Test each watched day (days x bins).

        A day must depart from the reference and from the recent level: a slow season which hurts
        nothing is shown and not alarmed. The level is shrunk to the reference (James and Stein,
        1961), so within its noise it is the reference itself.
        """
        scalars, reference = find_scalars(counts, self.bins, self.shares), self.reference
        expected = reference.expected[weekdays]
        rest = scalars.values - expected
        variance = reference.variance(scalars.rows)
        level, ratio = follow(rest, variance, scalars.rows)
        noise = variance * LAG * ratio + reference.own
        kept = np.clip(1 - noise / np.maximum(level**2, 1e-300), 0, 1)
        recent = kept * level
        wider = np.where(kept > 0, ratio, 1)

        z = rest / np.sqrt(variance)
        of_forecast = variance * wider * (1 + LAG * kept**2)
        z_recent = (rest - recent) / np.sqrt(of_forecast)
        departure = np.abs(nearer(z, z_recent))
        p = np.minimum(2 * stats.t.sf(departure, reference.dof), 1)
        first = self.contrasts
        base = np.clip(expected + np.maximum(recent, 0), 0, 1)[:, first:]
        p[:, first:] = self.test_bins(p[:, first:], counts, base, (variance * wider)[:, first:])
        return Drift(self, scalars, rest, z, p)

    def test_bins(self, p: Floats, counts: Floats, base: Floats, variance: Floats) -> Floats:
        """P values of bins: rare ones are counts, and a change of few rows is a note."""
        rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        of_counts = self.count_p(counts, base, variance)
        rare = (self.shares < RARE) & (counts > base * rows)
        p = np.where(rare, np.maximum(p, of_counts), p)
        p = np.where(self.shares <= 0, of_counts, p)
        small = np.abs(counts / rows - base) < WORTH
        return np.where(small, 1, p)

    def count_p(self, counts: Floats, base: Floats, variance: Floats) -> Floats:
        """P values of counts that exceed what is expected: the tail of a negative binomial.

        A bin that the reference does not have is expected to have half a row (Jeffreys).
        """
        rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        mean = np.maximum(base * rows, 0.5 * rows / (self.reference_rows + 1))
        spread = np.where(self.shares <= 0, mean + 2 * mean**2, variance * rows**2)
        spread = np.maximum(spread, 1.0001 * mean)
        size = mean**2 / (spread - mean)
        p = 2 * stats.nbinom.sf(counts - 1, size, size / (size + mean))
        return np.where(counts > mean, np.minimum(p, 1), 1.0)

    def combine(self, p: Floats) -> Floats:
        """One p value of a column a day: its contrasts and bins, combined."""
        of_bins, seen = p[:, self.contrasts :], self.shares > 0
        tests = max(int(seen.sum()) - 1, 1) / (1 - NEVER_SEEN)
        new = max(int((~seen).sum()), 1) / NEVER_SEEN
        least = np.minimum((of_bins * np.where(seen, tests, new)).min(axis=1), 1)
        if not self.contrasts:
            return np.asarray(least)
        weights = WEIGHTS[: self.contrasts]
        every = np.column_stack([p[:, : self.contrasts], least])
        return combine_cauchy(every, np.append(weights, 1 - weights.sum()))


@dataclass(frozen=True)
class Drift:
    """Result of the test of a column on each day."""

    test: ColumnTest
    scalars: Scalars
    rest: Floats
    z: Floats
    p: Floats

    def describe(self, day: int) -> str:
        """The change of a day in words: that of its strongest contrast, else of its bin."""
        p, first = self.p[day], self.test.contrasts
        if first and p[:first].min() < CLEAR:
            strongest = int(np.argmin(p[:first] / WEIGHTS[:first]))
            rest = self.rest[day, strongest]
            words = WORDS if self.test.bins.levels is None else LEVEL_WORDS
            size = f" by {abs(rest) / RANK_SD:.2f} sd" if words is WORDS and not strongest else ""
            return words[strongest][int(rest > 0)] + size
        strongest = int(np.argmin(p[first:]))
        share = self.scalars.values[day, first + strongest]
        before = share - self.rest[day, first + strongest]
        return f"{name_bin(self.test.bins, strongest)}: {before:.1%} → {share:.1%} of the rows"

    def smallest(self, level: float) -> Floats:
        """The shift in standard deviations that each day would show with a probability of 90 %."""
        if not self.test.contrasts:
            return np.full(len(self.rest), np.nan)
        needed = stats.t.isf(level * WEIGHTS[0] / 2, self.test.reference.dof[0])
        deviation = np.sqrt(self.test.reference.variance(self.scalars.rows)[:, 0])
        return np.asarray((needed + stats.norm.ppf(0.9)) * deviation / RANK_SD)


def name_bin(bins: Bins, position: int) -> str:
    """The words for a bin."""
    if position == len(bins) - 1:
        return "missing"
    if bins.levels is not None:
        return [*bins.levels, "unseen values"][position]
    edges = bins.edges or [0.0]
    if position in (0, len(edges)):
        return "below the smallest value" if position == 0 else "above the largest value"
    return f"{edges[position - 1]:.4g} to {edges[position]:.4g}"


def follow(rest: Floats, variance: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """The recent level before each day, and the ratio of its squared errors to the variance."""
    level, ratio = np.zeros(rest.shape[1]), np.ones(rest.shape[1])
    levels, ratios = np.empty_like(rest), np.empty_like(rest)
    for day in range(len(rest)):
        levels[day], ratios[day] = level, ratio
        step, limit = rest[day] - level, CLIP * np.sqrt(variance[day] * ratio)
        squared = np.minimum(step**2 / variance[day], CLIP**2 * ratio)
        seen = rows[day] > 0
        level = np.where(seen, level + FOLLOW * np.clip(step, -limit, limit), level)
        ratio = np.where(seen, np.maximum(1, ratio + FORGET * (squared - ratio)), ratio)
    return levels, ratios


def nearer(one: Floats, other: Floats) -> Floats:
    """The smaller departure of two; none where they are in opposite directions."""
    least = np.where(np.abs(one) < np.abs(other), one, other)
    return np.asarray(least * (np.sign(one) == np.sign(other)))


def combine_cauchy(p: Floats, weights: Floats) -> Floats:
    """Combine p values of each day, dependent ones too (Liu and Xie, 2020)."""
    p = np.clip(p, 1e-300, 0.99)  # a p value of 1 would veto the others
    terms = np.where(p < 1e-8, 1 / (p * np.pi), np.tan((0.5 - p) * np.pi))
    mean = (terms * weights).sum(axis=1) / weights.sum()
    tail = 1 / (np.pi * np.maximum(mean, 1))
    return np.asarray(np.where(mean > 1e8, tail, 0.5 - np.arctan(mean) / np.pi))
