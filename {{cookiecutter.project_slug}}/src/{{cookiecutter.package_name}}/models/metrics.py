"""What a prediction is judged by, per task, and how certain a figure is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from .model import Floats


@dataclass(frozen=True)
class Metric:
    """A function of sklearn.metrics, and which direction is better."""

    function: str
    higher_is_better: bool = False

    def score(self, actual: Floats, predicted: Floats) -> float:
        """Compare predicted with actual values."""
        import sklearn.metrics  # two seconds that a gate without a champion does not need

        return float(getattr(sklearn.metrics, self.function)(actual, predicted))


METRICS = {
    "regression": {
        "rmse": Metric("root_mean_squared_error"),
        "mae": Metric("mean_absolute_error"),
        "r2": Metric("r2_score", higher_is_better=True),
    }
}
PRIMARY = {"regression": "rmse"}


def score(task: str, actual: Floats, predicted: Floats) -> dict[str, float]:
    """Every metric of the task."""
    return {name: m.score(actual, predicted) for name, m in METRICS[task].items()}


def intervals(
    task: str, actual: Floats, predicted: Floats, resamples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile-bootstrap confidence interval of every metric (Efron and Tibshirani, 1993)."""
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(resamples):
        rows = rng.integers(len(actual), size=len(actual))
        scores.append(list(score(task, actual[rows], predicted[rows]).values()))
    low, high = np.quantile(scores, _tails(confidence), axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(METRICS[task], low, high, strict=True)}


def improvement(
    task: str,
    actual: Floats,
    ours: Floats,
    theirs: Floats,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float, float]:
    """How much better `ours` is than `theirs` in the primary metric, on the same rows.

    Returns the difference, positive if better, with its paired-bootstrap interval.
    """
    metric = METRICS[task][PRIMARY[task]]
    sign = 1 if metric.higher_is_better else -1

    def gain(rows: Any) -> float:
        ours_score = metric.score(actual[rows], ours[rows])
        return sign * (ours_score - metric.score(actual[rows], theirs[rows]))

    rng = np.random.default_rng(seed)
    gains = [gain(rng.integers(len(actual), size=len(actual))) for _ in range(resamples)]
    low, high = np.quantile(gains, _tails(confidence))
    return gain(slice(None)), float(low), float(high)


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def check_bars(task: str, bars: dict[str, float]) -> None:
    """Raise UserError for a bar on a metric that the task does not have."""
    for name in bars:
        if name not in METRICS[task]:
            known = ", ".join(METRICS[task])
            raise UserError(f"params.yaml: register.bars.{name}: {task} has only {known}.")


def failed_bars(task: str, scores: dict[str, float], bars: dict[str, float]) -> list[str]:
    """One sentence for each bar that the scores do not reach."""
    sentences = []
    for name, bar in bars.items():
        higher = METRICS[task][name].higher_is_better
        if (scores[name] < bar) if higher else (scores[name] > bar):
            side = "below" if higher else "above"
            sentences.append(f"{name} {scores[name]:.4g} is {side} the bar of {bar:g}")
    return sentences


def is_better(task: str, scores: dict[str, float], others: dict[str, float]) -> bool:
    """Whether the primary metric is strictly better."""
    name = PRIMARY[task]
    if METRICS[task][name].higher_is_better:
        return scores[name] > others[name]
    return scores[name] < others[name]
