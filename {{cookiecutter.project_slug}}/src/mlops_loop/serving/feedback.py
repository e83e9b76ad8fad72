"""How good one answer was, once its truth is known."""

from typing import Any, Literal

Kpi = Literal["absolute_error", "correct"]


def of_task(task: str) -> Kpi:
    """What answers of a task are judged by."""
    return "absolute_error" if task == "regression" else "correct"


def value(kpi: Kpi, answer: Any, actual: Any) -> float | None:
    """The error, or 1 for a right class and 0 for a wrong one; None where one is no number."""
    if kpi == "correct":
        return float(answer == actual)
    return abs(answer - actual) if is_number(answer) and is_number(actual) else None


def is_number(value: Any) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
