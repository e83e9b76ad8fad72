"""The six steps of a request: validate, gather context, transform, apply, check, present."""

import asyncio
import math
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import numpy as np
import orjson
import polars as pl
from pydantic import BaseModel, Field, TypeAdapter

from ..data.contract import Contract, request_columns
from ..models.explanations import contributions, is_additive
from ..models.model import by_class
from ..models.types import Floats
from . import schema
from . import telemetry as observe
from .batching import DynamicBatcher
from .feedback import is_number
from .follow import CHALLENGER
from .outbox import Outbox, OutboxFull, TooLarge
from .params import Serving
from .router import Part, Record, Router, Shadow, whole
from .versions import LoadedVersion

Span = tuple[float, float]  # the least and the largest value
UNLIMITED: Span = (-math.inf, math.inf)
AT_ONCE = 64  # rows that are scored between two other requests; more go to a thread


class Explanation(BaseModel):
    """What the raw score of a record begins with, and what each feature adds to it."""

    base: float
    contributions: dict[str, float]


class Prediction(BaseModel):
    """The answer to one record."""

    prediction: float | str | int | bool
    prediction_id: str
    model_version: int
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    explanation: Explanation | None = None


class Unusable(Exception):
    """The model gave a number that means nothing."""


@dataclass(frozen=True)
class Origin:
    """Where a prediction was made: written beside each of them."""

    environment: str
    code_version: str


class Predictor:
    """Answers requests with the versions that the router names, and logs what was answered."""

    def __init__(
        self, contract: Contract, options: Serving, router: Router, outbox: Outbox, origin: Origin
    ) -> None:
        self.contract, self.options, self.origin = contract, options, origin
        self.router, self.outbox, self.shadow = router, outbox, Shadow()
        record: Any = schema.record_type(contract)
        limits: Any = {"min_length": 1, "max_length": options.max_rows, "fail_fast": True}
        several = Annotated[list[record], Field(**limits)]
        self.one, self.several = TypeAdapter(record), TypeAdapter(several)
        self._together = DynamicBatcher(self.score)
        self._ranges = {
            column.name: _span(column.min, column.max)
            for column in contract.columns
            if column.dtype in ("Int64", "Float64")
        }
        self._dtypes, columns = schema.dtypes(contract), request_columns(contract)
        self._listed = {c.name: frozenset(c.categories or ()) for c in columns}

    async def answer(
        self, content: bytes, request_id: str, key: str = "", explained: bool = False
    ) -> bytes:
        """The answer to a body that holds one record or a list of them, as JSON.

        Equal keys are answered by the same version, as far as the strategy can. Raises
        ValidationError that names field and rule, Unusable, or OutboxFull.
        """
        started = time.perf_counter()
        records = self.validate(content)
        parts = self.router.parts(records, key or request_id)
        answers: list[Record] = [{} for _ in records]
        for part in parts:
            some = [records[row] for row in part.rows]
            answered = await self._predict(part.served, some, explained)
            for row, answer in zip(part.rows, answered, strict=True):
                answers[row] = answer
        self._log(parts, records, answers, request_id, started)
        self._count(parts, records)
        if self.router.strategy == "shadow":
            self.shadow.offer(len(records), partial(self._shadow, records, request_id))
        return orjson.dumps(answers if _is_list(content) else answers[0])

    async def _predict(
        self, served: LoadedVersion, records: list[Record], explained: bool
    ) -> list[Record]:
        """The answers of one version."""
        answers = self._present(served, await self._apply(served, records))
        if explained:
            rows = schema.frame(records, self._dtypes)
            await asyncio.to_thread(explain, served, rows, answers)
        return answers

    async def _apply(self, served: LoadedVersion, records: list[Record]) -> Floats:
        """Transform and score, in a thread where it takes long enough for others to notice."""
        if len(records) == 1:
            return await self._together.score(served, records[0])
        if len(records) <= AT_ONCE:
            return self.score(served, records)
        return await asyncio.to_thread(self.score, served, records)

    def score(self, served: LoadedVersion, records: list[Record]) -> Floats:
        """The scores of one version, timed."""
        with observe.scoring.labels(served.version).time():
            return served.model.score_typed(schema.frame(records, self._dtypes))

    def _present(self, served: LoadedVersion, scores: Floats) -> list[Record]:
        return present(served, check(scores), self._ranges.get(served.model.target, UNLIMITED))

    def _shadow(self, records: list[Record], request_id: str) -> None:
        """Answer with the challenger, for the log alone."""
        started = time.perf_counter()
        if self.outbox.waiting > self.options.outbox_bytes / 2:  # the rest is for what is shown
            observe.unshown.inc(len(records))
        elif served := self.router.versions.served.get(CHALLENGER):
            answers = self._present(served, self.score(served, records))
            part = whole("shadow", CHALLENGER, served, len(records))
            self._log([part], records, answers, request_id, started, shown=False)

    def can_be(self, actual: Any) -> bool:
        """Whether this may be true for a prediction: a number, or one of the classes."""
        if classes := self.router.versions.champion.model.classes:
            return any(type(actual) is type(known) and actual == known for known in classes)
        return is_number(actual)

    def validate(self, content: bytes) -> list[Record]:
        """The records of a body, as the contract wants them; raises ValidationError."""
        if _is_list(content):
            found = self.several.validate_json(content)
        else:
            found = [self.one.validate_json(content)]
        return [record.model_dump(by_alias=True) for record in found]

    def _log(
        self,
        parts: list[Part],
        records: list[Record],
        answers: list[Record],
        request_id: str,
        started: float,
        shown: bool = True,
    ) -> None:
        """Write predictions to the outbox; raises OutboxFull or TooLarge unless they may drop."""
        now, ms = datetime.now(UTC).replace(tzinfo=None), (time.perf_counter() - started) * 1e3
        common = {"table": "predictions", "time": now, **vars(self.origin)}
        common |= {"request_id": request_id, "latency_ms": ms, "shown": shown}
        entries = [
            {
                **common,
                "id": answers[row]["prediction_id"],
                "version": part.served.version,
                "alias": part.alias,
                "strategy": part.strategy,
                "unit": unit,
                "inputs": records[row],
                "output": answers[row],
            }
            for part in parts
            for row, unit in zip(part.rows, part.units, strict=True)
        ]
        try:
            self.outbox.append(entries)
        except (OutboxFull, TooLarge):
            if self.options.log_full == "refuse":
                raise
            observe.dropped.inc(len(entries))

    def _count(self, parts: list[Part], records: list[Record]) -> None:
        for part in parts:
            observe.predictions.labels(part.served.version).inc(len(part.rows))
        for column, listed in self._listed.items():
            values = [record[column] for record in records]
            nulls = values.count(None)
            if nulls:
                observe.missing.labels(column).inc(nulls)
            new = len(values) - nulls - sum(value in listed for value in values) if listed else 0
            if new:
                observe.unknown.labels(column).inc(new)


def _is_list(content: bytes) -> bool:
    return content.lstrip()[:1] == b"["


def check(scores: Floats) -> Floats:
    """The scores, if each of them is a number; raises Unusable."""
    if not np.isfinite(scores).all():
        raise Unusable("the model gave no number for this input")
    return scores


def present(served: LoadedVersion, scores: Floats, span: Span = UNLIMITED) -> list[Record]:
    """An answer for each row: a value with its interval, or a class with the probability of each.

    The interval stays within `span`, the contract's range of the target; the value may not.
    """
    model = served.model
    answers: list[Record] = [
        {
            "prediction": prediction,
            "prediction_id": str(uuid.uuid4()),
            "model_version": served.version,
        }
        for prediction in model.label(scores).tolist()
    ]
    if model.classes:
        names = [str(label) for label in model.classes]
        for answer, shares in zip(answers, by_class(scores).tolist(), strict=True):
            answer["probabilities"] = dict(zip(names, shares, strict=True))
    elif "prediction_interval" in served.metrics:
        ends, (least, most) = served.metrics["prediction_interval"], span
        for answer, score in zip(answers, scores.tolist(), strict=True):
            answer["interval"] = [min(max(score + end, least), most) for end in ends]
    return answers


def _span(least: Any, most: Any) -> Span:
    return (-math.inf if least is None else least, math.inf if most is None else most)


def explain(served: LoadedVersion, rows: pl.DataFrame, answers: list[Record]) -> None:
    """Add an explanation to each answer; a forest has none."""
    model = served.model
    if not is_additive(model):
        for answer in answers:
            answer["explanation"] = None
        return
    matrix = model.encoder.encode(model.compute(rows))
    values = contributions(model, matrix)
    for answer, (*row, base) in zip(answers, values.tolist(), strict=True):
        found = dict(zip(model.encoder.names, row, strict=True))
        answer["explanation"] = {"base": base, "contributions": found}
