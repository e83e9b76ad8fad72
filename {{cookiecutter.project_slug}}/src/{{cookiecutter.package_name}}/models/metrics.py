"""The metrics of each task; add your own to SCORING.

Written in NumPy: a bootstrap computes each hundreds of times, and sklearn.metrics is far slower.
"""

import numpy as np

from mlops_loop.models.bootstrap import Bootstrap, Metric, Predictions, Scoring, ranked
from mlops_loop.models.model import by_class
from mlops_loop.models.slices import Judging
from mlops_loop.models.types import Floats

from ..params import Evaluate, Params, Register

LEAST_PROBABILITY = np.finfo(float).eps


def squared_errors(rows: Predictions) -> Floats:
    """Squared error of each row."""
    return np.asarray((rows.scores - rows.actual) ** 2)


def log_losses(rows: Predictions) -> Floats:
    """Negative log-likelihood of each true class (clipped; 0 for classes unseen in training)."""
    likelihood = by_class(rows.scores)[np.arange(len(rows.actual)), rows.actual]
    likelihood = np.where(rows.actual < 0, 0.0, likelihood)
    return np.asarray(-np.log(np.clip(likelihood, LEAST_PROBABILITY, 1)))


def rmse(rows: Predictions) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean(squared_errors(rows))))


def mae(rows: Predictions) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(rows.scores - rows.actual)))


def r2(rows: Predictions) -> float:
    """Coefficient of determination; NaN where the actual values are constant."""
    variance = np.var(rows.actual)
    return float(1 - np.mean((rows.scores - rows.actual) ** 2) / variance) if variance else np.nan


def log_loss(rows: Predictions) -> float:
    """Mean negative log-likelihood of the true class."""
    return float(np.mean(log_losses(rows)))


def brier(rows: Predictions) -> float:
    """Mean squared error of the probability of the second class."""
    return float(np.mean((rows.scores - (rows.actual == 1)) ** 2))


def accuracy(rows: Predictions) -> float:
    """Share of correct predictions."""
    return float(np.mean(rows.labels == rows.actual))


def f1(rows: Predictions) -> float:
    """F1 of the second class; NaN where it is neither actual nor predicted."""
    actual, predicted = rows.actual == 1, rows.labels == 1
    named = actual.sum() + predicted.sum()
    return float(2 * (actual & predicted).sum() / named) if named else np.nan


def f1_macro(rows: Predictions) -> float:
    """Mean F1 of the classes that are actual or predicted."""
    actual, predicted = rows.actual + 1, rows.labels + 1
    size = int(max(actual.max(), predicted.max())) + 1
    named = np.bincount(actual, minlength=size) + np.bincount(predicted, minlength=size)
    true_positives = np.bincount(actual[actual == predicted], minlength=size)
    return float(np.mean(2 * true_positives[named > 0] / named[named > 0]))


def roc_auc(rows: Predictions) -> float:
    """Area under the ROC curve; NaN where all rows are of one class."""
    _, true, false = ranked(rows.actual == 1, rows.scores)
    if not true[-1] or not false[-1]:
        return np.nan
    return float(np.trapezoid(np.append(0, true / true[-1]), np.append(0, false / false[-1])))


def pr_auc(rows: Predictions) -> float:
    """Average precision; NaN where no row is of the second class."""
    _, true, false = ranked(rows.actual == 1, rows.scores)
    precision_gains = np.diff(true, prepend=0) * true / (true + false)
    return float(np.sum(precision_gains) / true[-1]) if true[-1] else np.nan


def mean_error(rows: Predictions) -> float:
    """Mean of predicted minus actual values."""
    return float(np.mean(rows.scores - rows.actual))


def selection_rate(rows: Predictions) -> float:
    """Share of rows predicted as the second class; equal rates are demographic parity."""
    return float(np.mean(rows.labels == 1))


def true_positive_rate(rows: Predictions) -> float:
    """Share of the second class that is found; equal rates are equal opportunity (Hardt et al.,
    2016). NaN where no row is of the second class."""
    return selection_rate(rows[rows.actual == 1]) if (rows.actual == 1).any() else np.nan


LOG_LOSS, ACCURACY = Metric(log_loss), Metric(accuracy, higher_is_better=True)

# A primary metric is a mean of losses, lower is better, and defined on any rows.
SCORING = {
    "regression": Scoring(
        metrics={
            "rmse": Metric(rmse),
            "mae": Metric(mae),
            "r2": Metric(r2, higher_is_better=True),
        },
        primary="rmse",
        losses=squared_errors,
        root=True,
        gaps={"mean_error": Metric(mean_error)},
    ),
    "binary": Scoring(
        metrics={
            "roc_auc": Metric(roc_auc, higher_is_better=True),
            "pr_auc": Metric(pr_auc, higher_is_better=True),
            "log_loss": LOG_LOSS,
            "f1": Metric(f1, higher_is_better=True),
            "accuracy": ACCURACY,
            "brier": Metric(brier),
        },
        primary="log_loss",
        losses=log_losses,
        gaps={
            "selection_rate": Metric(selection_rate),
            "true_positive_rate": Metric(true_positive_rate),
        },
    ),
    "multiclass": Scoring(
        metrics={
            "f1_macro": Metric(f1_macro, higher_is_better=True),
            "accuracy": ACCURACY,
            "log_loss": LOG_LOSS,
        },
        primary="log_loss",
        losses=log_losses,
    ),
}


def judging(params: Params, options: Evaluate | Register) -> Judging:
    """The task's metrics, and the bootstrap of a section of params.yaml."""
    bootstrap = Bootstrap(options.resamples, options.confidence, params.seed)
    return Judging(SCORING[params.task], bootstrap, params.evaluate.slices.min_rows)
