"""Status and detail of failed requests. A detail names no value: values may be personal."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from .outbox import OutboxFull, TooLarge
from .predictor import InvalidScore

MAX_PROBLEMS = 20

STATUS: dict[type[Exception], int] = {
    ValidationError: 422,
    RequestValidationError: 422,
    InvalidScore: 500,
    TooLarge: 413,
    OutboxFull: 503,
    SQLAlchemyError: 503,
}
DETAIL: dict[type[Exception], str] = {
    InvalidScore: "the model's score for this input is not finite",
    TooLarge: "the records exceed what the prediction log may hold (serving.outbox_bytes)",
    OutboxFull: "the prediction log is full; nothing was predicted",
    SQLAlchemyError: "the database does not answer",
}
ErrorDetail = str | list[dict[str, str]]


def detail(error: Any) -> ErrorDetail:
    """The field and rule of each problem, or a sentence."""
    if not isinstance(error, ValidationError | RequestValidationError):
        found = (text for kind, text in DETAIL.items() if isinstance(error, kind))
        return next(found, "internal error")
    broken = error.errors()
    problems = [
        {"field": ".".join(map(str, problem["loc"])) or "body", "rule": problem["msg"]}
        for problem in broken[:MAX_PROBLEMS]
    ]
    if more := len(broken) - len(problems):
        problems.append({"field": "body", "rule": f"{more:,} more problems"})
    return problems
