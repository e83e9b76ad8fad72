"""What an answer is judged by, per task, and how certain a figure is.

Written out in NumPy: a bootstrap computes each figure hundreds of times, and sklearn.metrics spends
most of its time on checking its input.
"""

import numpy as np

from mlops_loop.models.bootstrap import Bootstrap, Metric, Predictions, Scoring, ranked
from mlops_loop.models.model import by_class
from mlops_loop.models.slices import Judging
from mlops_loop.models.types import Floats

from ..params import Evaluate, Params, Register

LEAST_PROBABILITY = np.finfo(float).eps


def squared_errors(rows: Predictions) -> Floats:
    """The squared error of each row."""
    return np.asarray((rows.scores - rows.actual) ** 2)


def log_losses(rows: Predictions) -> Floats:
    """The surprise at each row's actual class; an unseen class had the probability 0, clipped."""
    given = by_class(rows.scores)[np.arange(len(rows.actual)), rows.actual]
    given = np.where(rows.actual < 0, 0.0, given)
    return np.asarray(-np.log(np.clip(given, LEAST_PROBABILITY, 1)))


def rmse(rows: Predictions) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean(squared_errors(rows))))


def mae(rows: Predictions) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(rows.scores - rows.actual)))


def r2(rows: Predictions) -> float:
    """Share of the variance that is explained; NaN where nothing varies."""
    variance = np.var(rows.actual)
    return float(1 - np.mean((rows.scores - rows.actual) ** 2) / variance) if variance else np.nan


def log_loss(rows: Predictions) -> float:
    """Mean surprise at the actual class."""
    return float(np.mean(log_losses(rows)))


def brier(rows: Predictions) -> float:
    """Mean squared error of the probability of the second class."""
    return float(np.mean((rows.scores - (rows.actual == 1)) ** 2))


def accuracy(rows: Predictions) -> float:
    """Share of right answers."""
    return float(np.mean(rows.labels == rows.actual))


def f1(rows: Predictions) -> float:
    """F1 of the second class; NaN where it is neither there nor answered."""
    actual, answered = rows.actual == 1, rows.labels == 1
    named = actual.sum() + answered.sum()
    return float(2 * (actual & answered).sum() / named) if named else np.nan


def f1_macro(rows: Predictions) -> float:
    """Mean F1 of the classes that are there or answered."""
    actual, answers = rows.actual + 1, rows.labels + 1
    size = int(max(actual.max(), answers.max())) + 1
    named = np.bincount(actual, minlength=size) + np.bincount(answers, minlength=size)
    true_positives = np.bincount(actual[actual == answers], minlength=size)
    return float(np.mean(2 * true_positives[named > 0] / named[named > 0]))


def roc_auc(rows: Predictions) -> float:
    """Area under the ROC curve; NaN where all rows are of one class."""
    _, true_positives, false_positives = ranked(rows.actual == 1, rows.scores)
    if not true_positives[-1] or not false_positives[-1]:
        return np.nan
    sides = np.append(0, true_positives / true_positives[-1]), np.append(
        0, false_positives / false_positives[-1]
    )
    return float(np.trapezoid(*sides))


def pr_auc(rows: Predictions) -> float:
    """Average precision; NaN where no row is of the second class."""
    _, true_positives, false_positives = ranked(rows.actual == 1, rows.scores)
    if not true_positives[-1]:
        return np.nan
    return float(
        np.sum(
            np.diff(true_positives, prepend=0) * true_positives / (true_positives + false_positives)
        )
        / true_positives[-1]
    )


def mean_error(rows: Predictions) -> float:
    """Mean of predicted minus actual values."""
    return float(np.mean(rows.scores - rows.actual))


def selection_rate(rows: Predictions) -> float:
    """Share of rows answered by the second class; equal rates are demographic parity."""
    return float(np.mean(rows.labels == 1))


def true_positive_rate(rows: Predictions) -> float:
    """Share of the second class that is answered so; equal rates are equal opportunity
    (Hardt, Price and Srebro, 2016). NaN where no row is of the second class."""
    return selection_rate(rows[rows.actual == 1]) if (rows.actual == 1).any() else np.nan


LOG_LOSS, ACCURACY = Metric(log_loss), Metric(accuracy, higher_is_better=True)

# The loss that decides between models is defined on any rows; add metrics of your own beside it.
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
    """What rows are judged by: the task's metrics, and a bootstrap as a section asks for it."""
    bootstrap = Bootstrap(options.resamples, options.confidence, params.seed)
    return Judging(SCORING[params.task], bootstrap, params.evaluate.slices.min_rows)
