"""How models are judged, and how certain a figure is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from .model import Model
from .types import Array, Floats

CALIBRATION_BINS = 10
BATCHES, MOST_DRAWN = 1_000, 10_000
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Predictions:
    """Rows whose answer is known: the truth, and the model's scores and answers.

    Classes are positions in `Model.classes`; -1 is a class that training has not seen.
    """

    actual: Array
    scores: Floats
    labels: Array

    def __getitem__(self, rows: Any) -> "Predictions":
        return Predictions(self.actual[rows], self.scores[rows], self.labels[rows])


def outcome(model: Model, actual: pl.Series, scores: Floats) -> Predictions:
    """What came of a model's scores of rows with these actual values."""
    return Predictions(model.encode_target(actual), scores, model.decide(scores))


def ranked(positive: Array, scores: Floats) -> tuple[Floats, Array, Array]:
    """Every threshold from high to low, and the true and false positives that it gives."""
    order = np.argsort(-scores)
    scores, true_positives = scores[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    return scores[last], true_positives[last], last + 1 - true_positives[last]


@dataclass(frozen=True)
class Metric:
    """A figure of some rows, and which direction is better."""

    compute: Callable[[Predictions], float]
    higher_is_better: bool = False


@dataclass(frozen=True)
class Scoring:
    """How one task is judged: `metrics` are reported, and `primary`, a mean of `losses`, decides.

    `root`: primary is the square root of that mean. `gaps` are compared between groups of people.
    """

    metrics: Mapping[str, Metric]
    primary: str
    losses: Callable[[Predictions], Floats]
    root: bool = False
    gaps: Mapping[str, Metric] = field(default_factory=dict)

    def loss(self, rows: Predictions) -> float:
        """The primary metric."""
        return self.metrics[self.primary].compute(rows)

    def score(self, rows: Predictions) -> Scores:
        """Every metric; None where the rows leave one undefined."""
        values = {name: metric.compute(rows) for name, metric in self.metrics.items()}
        return {name: None if np.isnan(value) else value for name, value in values.items()}

    def from_losses(self, mean: float) -> float:
        """The primary metric of rows whose losses have this mean."""
        return float(np.sqrt(mean) if self.root else mean)


@dataclass(frozen=True)
class Bootstrap:
    """Percentile bootstrap: how many resamples, which confidence, from which seed."""

    resamples: int
    confidence: float
    seed: int


def intervals(
    scoring: Scoring, rows: Predictions, options: Bootstrap
) -> dict[str, tuple[float, float] | None]:
    """Percentile-bootstrap confidence interval of every metric (Efron and Tibshirani, 1993).

    Resamples that leave a metric undefined do not count; None where all do.
    """
    metrics = scoring.metrics

    def figures(chosen: Any) -> Floats:
        some = rows[chosen]
        return np.array([metric.compute(some) for metric in metrics.values()])

    drawn = _bootstrap(figures, len(rows.actual), options.resamples, options.seed)
    return {
        name: _interval(drawn[:, place], options.confidence) for place, name in enumerate(metrics)
    }


def _bootstrap(
    compute: Callable[[Any], Floats | float], size: int, resamples: int, seed: int
) -> Floats:
    """What `compute` gives for random choices of `size` rows, one line each.

    Of many rows a choice holds some only, and its distance from the figure of all rows is scaled
    to what as many would have (m out of n bootstrap; Politis, Romano and Wolf, 1999).
    """
    rng, drawn = np.random.default_rng(seed), min(size, MOST_DRAWN)
    whole = compute(slice(None))
    values = np.array([compute(rng.integers(size, size=drawn)) for _ in range(resamples)])
    return values if drawn == size else whole + (values - whole) * np.sqrt(drawn / size)


def _interval(values: Floats, confidence: float) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def loss_interval(scoring: Scoring, losses: Floats, options: Bootstrap) -> tuple[float, float]:
    """Percentile-bootstrap interval of the primary metric of rows with these losses."""
    if len(losses) > 10 * BATCHES:
        # Resampling a thousand means is as good as many rows, whose mean is theirs.
        losses = np.array([losses[start::BATCHES].mean() for start in range(BATCHES)])
    rng, size = np.random.default_rng(options.seed), len(losses)
    means = losses[rng.integers(size, size=(options.resamples, size))].mean(axis=1)
    limits = [(1 - options.confidence) / 2, (1 + options.confidence) / 2]
    low, high = np.quantile(means, limits)
    return scoring.from_losses(low), scoring.from_losses(high)


def difference_interval(
    compute: Callable[[Predictions], float],
    rows: Predictions,
    others: Predictions,
    options: Bootstrap,
) -> tuple[float, float]:
    """Percentile-bootstrap interval of how much higher a figure of `rows` is than of `others`."""

    def drawn(group: Predictions, seed: int) -> Floats:
        return _bootstrap(
            lambda some: compute(group[some]), len(group.actual), options.resamples, seed
        )

    mine, theirs = drawn(rows, options.seed), drawn(others, options.seed + 1)
    return _interval(mine - theirs, options.confidence) or (np.nan, np.nan)


def calibration(rows: Predictions) -> dict[str, Any]:
    """Expected calibration error (Guo et al., 2017), and the bins of equal width behind it.

    Of two classes: the probability of the second against its share. Of several: the probability of
    the answer against the share of right answers.
    """
    binary = rows.scores.ndim == 1
    given = rows.scores if binary else rows.scores.max(axis=1)
    happened = rows.actual == (1 if binary else rows.labels)
    numbers = np.minimum((given * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    masks = [numbers == number for number in np.unique(numbers)]
    bins = [
        {"predicted": given[m].mean(), "observed": happened[m].mean(), "rows": int(m.sum())}
        for m in masks
    ]
    gaps = [b["rows"] * abs(b["predicted"] - b["observed"]) for b in bins]
    return {"error": sum(gaps) / len(given), "bins": bins}


def best_threshold(actual: Array, scores: Floats) -> float:
    """The probability from which answering the second class has the best F1.

    One half where the rows are all of one class, which tells nothing.
    """
    positive = actual == 1
    if positive.all() or not positive.any():
        return 0.5
    thresholds, true_positives, false_positives = ranked(positive, scores)
    return float(
        thresholds[np.argmax(true_positives / (true_positives + false_positives + positive.sum()))]
    )


def improvement(
    metric: Metric, ours: Predictions, theirs: Predictions, options: Bootstrap
) -> tuple[float, float, float]:
    """How much better `ours` is than `theirs` in a metric on the same rows.

    Returns the difference, positive if better, with its paired-bootstrap interval; NaN where the
    rows leave the metric undefined.
    """
    sign = 1 if metric.higher_is_better else -1

    def gain(rows: Any) -> float:
        return sign * (metric.compute(ours[rows]) - metric.compute(theirs[rows]))

    gains = _bootstrap(gain, len(ours.actual), options.resamples, options.seed)
    low, high = _interval(gains, options.confidence) or (np.nan, np.nan)
    return gain(slice(None)), low, high
