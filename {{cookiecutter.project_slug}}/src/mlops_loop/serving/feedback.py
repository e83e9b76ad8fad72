"""The metric of one prediction, once its label is known."""

from typing import Any, Literal

Metric = Literal["absolute_error", "correct"]


def metric_of(task: str) -> Metric:
    """The metric by which predictions of a task are compared."""
    return "absolute_error" if task == "regression" else "correct"


def value(metric: Metric, prediction: Any, actual: Any) -> float | None:
    """The absolute error, or 1 for the right class and 0 for a wrong one; None if undefined."""
    if metric == "correct":
        return float(prediction == actual)
    both = is_number(prediction) and is_number(actual)
    return abs(prediction - actual) if both else None


def is_number(value: Any) -> bool:
    """Return True for an int or a float, False for anything else, also a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
