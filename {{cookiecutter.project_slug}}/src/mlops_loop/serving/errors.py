"""Status and detail of failed requests. A detail names no value: values may be personal."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from .outbox import OutboxFull, TooLarge
from .predictor import InvalidScore

MAX_PROBLEMS = 20

STATUS: dict[type[Exception], int] = {
    ValidationError: 422,
    InvalidScore: 500,
    TooLarge: 413,
    OutboxFull: 503,
    SQLAlchemyError: 503,
}

ErrorDetail = str | list[dict[str, str]]


def detail(error: Exception) -> ErrorDetail:
    """The field and rule of each problem, or a sentence."""
    match error:
        case ValidationError():
            details = {"include_url": False, "include_input": False, "include_context": False}
            return listed(error.errors(**details))
        case InvalidScore():
            return "the model's score for this input is not finite"
        case TooLarge():
            return "the records exceed what the prediction log may hold (serving.outbox_bytes)"
        case OutboxFull():
            return "the prediction log is full; nothing was predicted"
        case SQLAlchemyError():
            return "the database does not answer"
    return "internal error"


def listed(errors: list[Any]) -> list[dict[str, str]]:
    """The problems that pydantic found, by field and rule."""
    problems = [
        {"field": ".".join(map(str, problem["loc"])) or "body", "rule": problem["msg"]}
        for problem in errors[:MAX_PROBLEMS]
    ]
    if more := len(errors) - len(problems):
        problems.append({"field": "body", "rule": f"{more:,} more problems"})
    return problems
