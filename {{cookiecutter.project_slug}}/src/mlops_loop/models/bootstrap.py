"""Metrics of predictions, their bootstrap intervals, calibration and the decision threshold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from ..files import Content
from .model import Model, encode_target
from .types import Array, Floats

CALIBRATION_BINS = 10
BATCHES, MOST_DRAWN = 1_000, 10_000
Scores = dict[str, float | None]
Interval = tuple[float, float]
Statistic = Callable[[Any], float]  # of a selection of rows


@dataclass(frozen=True)
class Predictions:
    """Rows with known labels: actual values, and a model's scores and predicted labels.

    Classes are positions in `Model.classes`; -1 is a class unseen in training.
    """

    actual: Array
    scores: Floats
    labels: Array

    def __getitem__(self, rows: Any) -> "Predictions":
        return Predictions(self.actual[rows], self.scores[rows], self.labels[rows])


def outcome(model: Model, actual: pl.Series, scores: Floats) -> Predictions:
    """Combine a model's scores with the actual values of the same rows."""
    return Predictions(encode_target(actual, model.classes), scores, model.decide(scores))


def ranked(positive: Array, scores: Floats) -> tuple[Floats, Array, Array]:
    """Every threshold in descending order, with its true and false positives."""
    order = np.argsort(-scores)
    scores = scores[order]
    changes = np.flatnonzero(np.diff(scores))
    last = np.append(changes, len(scores) - 1)
    true_positives = np.cumsum(positive[order])[last]
    return scores[last], true_positives, last + 1 - true_positives


@dataclass(frozen=True)
class Metric:
    """A metric of some rows, and its direction."""

    compute: Callable[[Predictions], float]
    higher_is_better: bool = False

    def of(self, rows: Predictions) -> Statistic:
        """The metric of a selection of these rows."""
        return lambda selected: self.compute(rows[selected])


@dataclass(frozen=True)
class Scoring:
    """The metrics of a task: all are reported, and `primary`, a mean of `losses`, decides.

    `root`: primary is the square root of that mean. `gaps` are compared between groups of people.
    """

    metrics: Mapping[str, Metric]
    primary: str
    losses: Callable[[Predictions], Floats]
    root: bool = False
    gaps: Mapping[str, Metric] = field(default_factory=dict)

    def score(self, rows: Predictions) -> Scores:
        """Every metric; None where the rows leave it undefined."""
        values = {name: metric.compute(rows) for name, metric in self.metrics.items()}
        return {name: None if np.isnan(value) else value for name, value in values.items()}

    def from_losses(self, mean: float) -> float:
        """The primary metric of rows with this mean loss."""
        return float(np.sqrt(mean) if self.root else mean)


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap (Efron and Tibshirani, 1993)."""

    resamples: int
    confidence: float
    seed: int

    def resample(self, compute: Statistic, size: int) -> Floats:
        """Compute a value of each of the random samples of `size` rows.

        Of many rows a sample holds only some, and its distance from the value of all rows is scaled
        accordingly (m out of n bootstrap; Politis, Romano and Wolf, 1999).
        """
        rng = np.random.default_rng(self.seed)
        drawn = min(size, MOST_DRAWN)
        whole = compute(slice(None))
        values = np.array([compute(rng.integers(size, size=drawn)) for _ in range(self.resamples)])
        return values if drawn == size else whole + (values - whole) * np.sqrt(drawn / size)

    def percentiles(self, values: Floats) -> Interval:
        """Percentile interval of resampled values; undefined ones do not count, NaN if all are."""
        known = values[~np.isnan(values)]
        if not len(known):
            return np.nan, np.nan
        low, high = np.quantile(known, [(1 - self.confidence) / 2, (1 + self.confidence) / 2])
        return float(low), float(high)

    def interval(self, compute: Statistic, size: int) -> Interval:
        """Percentile interval of a value of `size` rows."""
        return self.percentiles(self.resample(compute, size))


def intervals(
    scoring: Scoring, rows: Predictions, bootstrap: Bootstrap
) -> dict[str, Interval | None]:
    """Bootstrap interval of every metric; None where it is undefined in all resamples."""
    found = {}
    for name, metric in scoring.metrics.items():
        limits = bootstrap.interval(metric.of(rows), len(rows.actual))
        found[name] = None if np.isnan(limits).any() else limits
    return found


def loss_interval(scoring: Scoring, losses: Floats, bootstrap: Bootstrap) -> Interval:
    """Bootstrap interval of the primary metric of rows with these losses."""
    if len(losses) > 10 * BATCHES:
        # Resampling a thousand means is as good as many rows, whose mean is theirs.
        losses = np.array([losses[start::BATCHES].mean() for start in range(BATCHES)])
    low, high = bootstrap.interval(lambda rows: float(losses[rows].mean()), len(losses))
    return scoring.from_losses(low), scoring.from_losses(high)


def difference_interval(
    metric: Metric, ours: Predictions, others: Predictions, bootstrap: Bootstrap
) -> Interval:
    """Bootstrap interval of the difference of a metric between two independent groups of rows."""
    independent = replace(bootstrap, seed=bootstrap.seed + 1)
    drawn = bootstrap.resample(metric.of(ours), len(ours.actual))
    drawn -= independent.resample(metric.of(others), len(others.actual))
    return bootstrap.percentiles(drawn)


def improvement(
    metric: Metric, ours: Predictions, theirs: Predictions, bootstrap: Bootstrap
) -> tuple[float, float, float]:
    """Improvement of `ours` over `theirs` in a metric on the same rows, positive if better.

    Returns it with its paired bootstrap interval; NaN where the rows leave the metric undefined.
    """
    sign = 1 if metric.higher_is_better else -1

    def gain(rows: Any) -> float:
        return sign * (metric.compute(ours[rows]) - metric.compute(theirs[rows]))

    return gain(slice(None)), *bootstrap.interval(gain, len(ours.actual))


def calibration(rows: Predictions) -> Content:
    """Expected calibration error (Guo et al., 2017), and its bins of equal width.

    Binary: probability of the second class against its share. Multiclass: probability of the
    predicted class against the share of correct predictions.
    """
    binary = rows.scores.ndim == 1
    predicted = rows.scores if binary else rows.scores.max(axis=1)
    observed = rows.actual == (1 if binary else rows.labels)
    numbers = np.minimum((predicted * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts = np.bincount(numbers)
    rows_inside = counts[counts > 0]
    mean, share = (
        np.bincount(numbers, values)[counts > 0] / rows_inside for values in (predicted, observed)
    )
    error = np.average(np.abs(mean - share), weights=rows_inside)
    bins = pl.DataFrame({"predicted": mean, "observed": share, "rows": rows_inside})
    return {"error": float(error), "bins": bins.to_dicts()}


def best_threshold(actual: Array, scores: Floats) -> float:
    """The decision threshold with the best F1; 0.5 where all rows are of one class."""
    positive = actual == 1
    if positive.all() or not positive.any():
        return 0.5
    thresholds, true_positives, false_positives = ranked(positive, scores)
    f1 = true_positives / (true_positives + false_positives + positive.sum())
    return float(thresholds[np.argmax(f1)])
