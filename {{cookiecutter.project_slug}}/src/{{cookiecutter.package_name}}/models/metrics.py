"""What an answer is judged by, per task, and how certain a figure is.

Written out in NumPy: a bootstrap computes each figure hundreds of times, and sklearn.metrics spends
most of its time on checking its input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ..errors import UserError
from .model import Array, Floats, Model, by_class

CALIBRATION_BINS = 10
BATCHES, MOST_DRAWN = 1_000, 10_000
LEAST_PROBABILITY = np.finfo(float).eps

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """Rows whose answer is known: the truth, and the model's scores and answers.

    Classes are positions in `Model.classes`; -1 is a class that training has not seen.
    """

    actual: Array
    scores: Floats
    answers: Array

    def __getitem__(self, rows: Any) -> "Outcome":
        return Outcome(self.actual[rows], self.scores[rows], self.answers[rows])


def outcome(model: Model, actual: pl.Series, scores: Floats) -> Outcome:
    """What came of a model's scores of rows with these actual values."""
    return Outcome(model.encode_target(actual), scores, model.decide(scores))


def squared_errors(rows: Outcome) -> Floats:
    """The squared error of each row."""
    return np.asarray((rows.scores - rows.actual) ** 2)


def surprises(rows: Outcome) -> Floats:
    """The surprise at each row's actual class; an unseen class had the probability 0, clipped."""
    given = by_class(rows.scores)[np.arange(len(rows.actual)), rows.actual]
    given = np.where(rows.actual < 0, 0.0, given)
    return np.asarray(-np.log(np.clip(given, LEAST_PROBABILITY, 1)))


def rmse(rows: Outcome) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean(squared_errors(rows))))


def mae(rows: Outcome) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(rows.scores - rows.actual)))


def r2(rows: Outcome) -> float:
    """Share of the variance that is explained; NaN where nothing varies."""
    variance = np.var(rows.actual)
    return float(1 - np.mean((rows.scores - rows.actual) ** 2) / variance) if variance else np.nan


def log_loss(rows: Outcome) -> float:
    """Mean surprise at the actual class."""
    return float(np.mean(surprises(rows)))


def brier(rows: Outcome) -> float:
    """Mean squared error of the probability of the second class."""
    return float(np.mean((rows.scores - (rows.actual == 1)) ** 2))


def accuracy(rows: Outcome) -> float:
    """Share of right answers."""
    return float(np.mean(rows.answers == rows.actual))


def f1(rows: Outcome) -> float:
    """F1 of the second class; NaN where it is neither there nor answered."""
    actual, answered = rows.actual == 1, rows.answers == 1
    named = actual.sum() + answered.sum()
    return float(2 * (actual & answered).sum() / named) if named else np.nan


def f1_macro(rows: Outcome) -> float:
    """Mean F1 of the classes that are there or answered."""
    actual, answers = rows.actual + 1, rows.answers + 1
    size = int(max(actual.max(), answers.max())) + 1
    named = np.bincount(actual, minlength=size) + np.bincount(answers, minlength=size)
    hits = np.bincount(actual[actual == answers], minlength=size)
    return float(np.mean(2 * hits[named > 0] / named[named > 0]))


def ranked(positive: Array, scores: Floats) -> tuple[Floats, Array, Array]:
    """Every threshold from high to low, and the true and false positives that it gives."""
    order = np.argsort(-scores)
    scores, hits = scores[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    return scores[last], hits[last], last + 1 - hits[last]


def roc_auc(rows: Outcome) -> float:
    """Area under the ROC curve; NaN where all rows are of one class."""
    _, hits, alarms = ranked(rows.actual == 1, rows.scores)
    if not hits[-1] or not alarms[-1]:
        return np.nan
    sides = np.append(0, hits / hits[-1]), np.append(0, alarms / alarms[-1])
    return float(np.trapezoid(*sides))


def pr_auc(rows: Outcome) -> float:
    """Average precision; NaN where no row is of the second class."""
    _, hits, alarms = ranked(rows.actual == 1, rows.scores)
    if not hits[-1]:
        return np.nan
    return float(np.sum(np.diff(hits, prepend=0) * hits / (hits + alarms)) / hits[-1])


def mean_error(rows: Outcome) -> float:
    """Mean of predicted minus actual values."""
    return float(np.mean(rows.scores - rows.actual))


def selection_rate(rows: Outcome) -> float:
    """Share of rows answered by the second class; equal rates are demographic parity."""
    return float(np.mean(rows.answers == 1))


def true_positive_rate(rows: Outcome) -> float:
    """Share of the second class that is answered so; equal rates are equal opportunity
    (Hardt, Price and Srebro, 2016). NaN where no row is of the second class."""
    return selection_rate(rows[rows.actual == 1]) if (rows.actual == 1).any() else np.nan


@dataclass(frozen=True)
class Metric:
    """A figure of some rows, and which direction is better."""

    compute: Callable[[Outcome], float]
    higher_is_better: bool = False


LOG_LOSS, ACCURACY = Metric(log_loss), Metric(accuracy, higher_is_better=True)
METRICS = {
    "regression": {
        "rmse": Metric(rmse),
        "mae": Metric(mae),
        "r2": Metric(r2, higher_is_better=True),
    },
    "binary": {
        "roc_auc": Metric(roc_auc, higher_is_better=True),
        "pr_auc": Metric(pr_auc, higher_is_better=True),
        "log_loss": LOG_LOSS,
        "f1": Metric(f1, higher_is_better=True),
        "accuracy": ACCURACY,
        "brier": Metric(brier),
    },
    "multiclass": {
        "f1_macro": Metric(f1_macro, higher_is_better=True),
        "accuracy": ACCURACY,
        "log_loss": LOG_LOSS,
    },
}
# What groups are compared by, beside how well they are served.
FAIRNESS = {
    "regression": METRICS["regression"] | {"mean_error": Metric(mean_error)},
    "binary": METRICS["binary"]
    | {
        "selection_rate": Metric(selection_rate),
        "true_positive_rate": Metric(true_positive_rate),
    },
    "multiclass": METRICS["multiclass"],
}
# What models are compared by: always a loss, defined on any rows.
PRIMARY = {"regression": "rmse", "binary": "log_loss", "multiclass": "log_loss"}


LOSSES = {"regression": squared_errors, "binary": surprises, "multiclass": surprises}


def primary(task: str) -> Callable[[Outcome], float]:
    """The loss that models of a task are compared by."""
    return METRICS[task][PRIMARY[task]].compute


def score(task: str, rows: Outcome) -> Scores:
    """Every metric of the task; None where the rows leave one undefined."""
    values = {name: metric.compute(rows) for name, metric in METRICS[task].items()}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def intervals(
    task: str, rows: Outcome, resamples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float] | None]:
    """Percentile-bootstrap confidence interval of every metric (Efron and Tibshirani, 1993).

    Resamples that leave a metric undefined do not count; None where all do.
    """
    metrics = METRICS[task]

    def figures(chosen: Any) -> Floats:
        some = rows[chosen]
        return np.array([metric.compute(some) for metric in metrics.values()])

    drawn = _bootstrap(figures, len(rows.actual), resamples, seed)
    return {name: _interval(drawn[:, place], confidence) for place, name in enumerate(metrics)}


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


def loss_interval(
    task: str, losses: Floats, resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile-bootstrap interval of the primary metric of rows with these losses."""
    if len(losses) > 10 * BATCHES:
        # Resampling a thousand means is as good as many rows, whose mean is theirs.
        losses = np.array([losses[start::BATCHES].mean() for start in range(BATCHES)])
    rng, size = np.random.default_rng(seed), len(losses)
    means = losses[rng.integers(size, size=(resamples, size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return from_losses(task, low), from_losses(task, high)


def from_losses(task: str, mean: float) -> float:
    """The primary metric of rows whose losses have this mean."""
    return float(np.sqrt(mean) if task == "regression" else mean)


def difference_interval(
    compute: Callable[[Outcome], float],
    rows: Outcome,
    others: Outcome,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Percentile-bootstrap interval of how much higher a figure of `rows` is than of `others`."""

    def drawn(group: Outcome, seed: int) -> Floats:
        return _bootstrap(lambda some: compute(group[some]), len(group.actual), resamples, seed)

    mine, theirs = drawn(rows, seed), drawn(others, seed + 1)
    return _interval(mine - theirs, confidence) or (np.nan, np.nan)


def calibration(rows: Outcome) -> dict[str, Any]:
    """Expected calibration error (Guo et al., 2017), and the bins of equal width behind it.

    Of two classes: the probability of the second against its share. Of several: the probability of
    the answer against the share of right answers.
    """
    binary = rows.scores.ndim == 1
    given = rows.scores if binary else rows.scores.max(axis=1)
    happened = rows.actual == (1 if binary else rows.answers)
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
    thresholds, hits, alarms = ranked(positive, scores)
    return float(thresholds[np.argmax(hits / (hits + alarms + positive.sum()))])


def improvement(
    task: str,
    ours: Outcome,
    theirs: Outcome,
    resamples: int,
    confidence: float,
    seed: int,
    name: str = "",
) -> tuple[float, float, float]:
    """How much better `ours` is than `theirs` in a metric, else the primary, on the same rows.

    Returns the difference, positive if better, with its paired-bootstrap interval; NaN where the
    rows leave the metric undefined.
    """
    metric = METRICS[task][name or PRIMARY[task]]
    sign = 1 if metric.higher_is_better else -1

    def gain(rows: Any) -> float:
        return sign * (metric.compute(ours[rows]) - metric.compute(theirs[rows]))

    gains = _bootstrap(gain, len(ours.actual), resamples, seed)
    low, high = _interval(gains, confidence) or (np.nan, np.nan)
    return gain(slice(None)), low, high


def check_bars(task: str, bars: dict[str, float], key: str = "bars") -> None:
    """Raise UserError for a bar, in this key of `register`, on a metric that the task lacks."""
    metrics = FAIRNESS[task] if key == "fairness" else METRICS[task]
    for name in bars:
        if name not in metrics:
            known = ", ".join(metrics)
            raise UserError(f"params.yaml: register.{key}.{name}: {task} has only {known}.")


def failed_bars(task: str, scores: Scores, bars: dict[str, float]) -> list[str]:
    """One sentence for each bar that the scores do not reach."""
    sentences = []
    for name, bar in bars.items():
        value, higher = scores[name], METRICS[task][name].higher_is_better
        if value is None:
            sentences.append(f"{name} has a bar, but these test rows leave it undefined")
        elif (value < bar) if higher else (value > bar):
            side = "below" if higher else "above"
            sentences.append(f"{name} {value:.4g} is {side} the bar of {bar:g}")
    return sentences


def is_better(task: str, scores: dict[str, float], others: dict[str, float]) -> bool:
    """Whether the primary metric is strictly better."""
    return scores[PRIMARY[task]] < others[PRIMARY[task]]
