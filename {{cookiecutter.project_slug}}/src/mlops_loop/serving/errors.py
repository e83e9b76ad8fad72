"""Why a record is not answered. Nothing is said of its values: they may be personal."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from .outbox import OutboxFull, TooLarge
from .predictor import Unusable

MOST_PROBLEMS = 20

STATUS: dict[type[Exception], int] = {
    ValidationError: 422,
    Unusable: 500,
    TooLarge: 413,
    OutboxFull: 503,
    SQLAlchemyError: 503,
}

Detail = str | list[dict[str, str]]


def detail(error: Exception) -> Detail:
    """What is said of an error: field and rule of each problem, or a sentence."""
    if isinstance(error, ValidationError):
        return listed(error.errors(include_url=False, include_input=False, include_context=False))
    if isinstance(error, TooLarge):
        return "the records are more than the prediction log may hold (serving.outbox_bytes)"
    if isinstance(error, OutboxFull):
        return "the prediction log is full; nothing was predicted"
    if isinstance(error, SQLAlchemyError):
        return "the database does not answer"
    return str(error) if isinstance(error, Unusable) else "internal error"


def listed(errors: list[Any]) -> list[dict[str, str]]:
    """The problems that pydantic found, by field and rule."""
    problems = [
        {"field": ".".join(map(str, problem["loc"])) or "body", "rule": problem["msg"]}
        for problem in errors[:MOST_PROBLEMS]
    ]
    if more := len(errors) - len(problems):
        problems.append({"field": "body", "rule": f"{more:,} more problems"})
    return problems
