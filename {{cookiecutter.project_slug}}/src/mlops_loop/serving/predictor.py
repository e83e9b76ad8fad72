"""A request in six steps: validate, choose versions, transform, score, check, present; and log."""

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
from . import schema, telemetry
from .batching import DynamicBatcher
from .feedback import is_number
from .follow import CHALLENGER
from .outbox import Outbox, OutboxFull, TooLarge
from .params import Serving
from .router import Assignment, Record, Router, Shadow, assign_all
from .versions import LoadedVersion

MAX_INLINE_ROWS = 64  # are scored on the event loop; more go to a thread


class Explanation(BaseModel):
    """The raw score of a record as a base and what each feature adds to it."""

    base: float
    contributions: dict[str, float]


class Prediction(BaseModel):
    """The prediction for one record."""

    prediction: float | str | int | bool
    prediction_id: str
    model_version: int
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    explanation: Explanation | None = None


class InvalidScore(Exception):
    """The model's score is not a finite number."""


@dataclass(frozen=True)
class ServingContext:
    """The place where predictions are made, logged with each of them."""

    environment: str
    code_version: str


class Predictor:
    """Predicts with the versions that the router chooses, and logs each prediction."""

    def __init__(
        self,
        contract: Contract,
        options: Serving,
        router: Router,
        outbox: Outbox,
        context: ServingContext,
    ) -> None:
        self.contract, self.options, self.context = contract, options, context
        self.router, self.outbox, self.shadow = router, outbox, Shadow()
        record: Any = schema.record_type(contract)
        limits: Any = {"min_length": 1, "max_length": options.max_rows, "fail_fast": True}
        self.one = TypeAdapter(record)
        self.several = TypeAdapter(Annotated[list[record], Field(**limits)])
        self._dtypes = schema.dtypes(contract)
        scoring: DynamicBatcher[LoadedVersion, Record, Any] = DynamicBatcher(self.score)
        self._scoring, self._logging = scoring, DynamicBatcher(self._write)
        self._ranges: dict[str, Any] = {
            c.name: (
                -math.inf if c.min is None else c.min,
                math.inf if c.max is None else c.max,
            )
            for c in contract.columns
        }
        self._listed = {c.name: frozenset(c.categories or ()) for c in request_columns(contract)}

    async def predict(
        self, content: bytes, request_id: str, key: str = "", explain: bool = False
    ) -> bytes:
        """Predict a body that holds one record or a list of them; returns JSON.

        Equal keys get the same version where the strategy allows it. Raises ValidationError that
        names field and rule, InvalidScore, OutboxFull or TooLarge.
        """
        started = time.perf_counter()
        records = self.validate(content)
        assignments = self.router.assign(records, key or request_id)
        predictions: list[Record] = [{} for _ in records]
        for each in assignments:
            chosen = [records[row] for row in each.rows]
            found = self.present(each.served, await self._score(each.served, chosen))
            if explain:
                rows = schema.frame(chosen, self._dtypes)
                await asyncio.to_thread(add_explanations, each.served, rows, found)
            for row, prediction in zip(each.rows, found, strict=True):
                predictions[row] = prediction
        entries = self._entries(assignments, records, predictions, request_id, started)
        await self._logging.submit(self.outbox, entries)
        self._count(assignments, records)
        if self.router.strategy == "shadow":
            self.shadow.offer(len(records), partial(self._predict_unseen, records, request_id))
        return orjson.dumps(predictions if _is_list(content) else predictions[0])

    async def _score(self, served: LoadedVersion, records: list[Record]) -> Floats:
        if len(records) == 1:
            return np.array([await self._scoring.submit(served, records[0])])
        if len(records) <= MAX_INLINE_ROWS:
            return self.score(served, records)
        return await asyncio.to_thread(self.score, served, records)

    def score(self, served: LoadedVersion, records: list[Record]) -> Floats:
        """Transform and score records with one version, timed."""
        with telemetry.scoring.labels(served.version).time():
            return served.model.score_typed(schema.frame(records, self._dtypes))

    def present(self, served: LoadedVersion, scores: Floats) -> list[Record]:
        """Turn scores into predictions: a value with its interval, or a class with probabilities.

        The interval stays within the contract's range of the target; the value may not. Raises
        InvalidScore.
        """
        if not np.isfinite(scores).all():
            raise InvalidScore
        model, number = served.model, served.version
        predictions: list[Record] = [
            {"prediction": value, "prediction_id": str(uuid.uuid4()), "model_version": number}
            for value in model.label(scores).tolist()
        ]
        if model.classes:
            names = [str(label) for label in model.classes]
            for prediction, shares in zip(predictions, by_class(scores).tolist(), strict=True):
                prediction["probabilities"] = dict(zip(names, shares, strict=True))
        elif ends := served.metrics.get("prediction_interval"):
            least, most = self._ranges.get(model.target, (-math.inf, math.inf))
            for prediction, score in zip(predictions, scores.tolist(), strict=True):
                prediction["interval"] = [min(max(score + end, least), most) for end in ends]
        return predictions

    def _predict_unseen(self, records: list[Record], request_id: str) -> None:
        """Predict with the challenger, for the log alone."""
        started = time.perf_counter()
        if self.outbox.waiting > self.options.outbox_bytes / 2:  # the rest is for what is shown
            telemetry.unshown.inc(len(records))
        elif served := self.router.versions.served.get(CHALLENGER):
            predictions = self.present(served, self.score(served, records))
            assignment = assign_all("shadow", CHALLENGER, served, len(records))
            entries = self._entries([assignment], records, predictions, request_id, started)
            self._write(self.outbox, [[{**each, "shown": False} for each in entries]])

    def is_label(self, actual: Any) -> bool:
        """Check that a value may be the truth of a prediction: a number, or one of the classes."""
        if classes := self.router.versions.champion.model.classes:
            return any(type(actual) is type(known) and actual == known for known in classes)
        return is_number(actual)

    def validate(self, content: bytes) -> list[Record]:
        """Parse the records of a body by the contract; raises ValidationError."""
        if _is_list(content):
            found = self.several.validate_json(content)
        else:
            found = [self.one.validate_json(content)]
        return [record.model_dump(by_alias=True) for record in found]

    def _entries(
        self,
        assignments: list[Assignment],
        records: list[Record],
        predictions: list[Record],
        request_id: str,
        started: float,
    ) -> list[Record]:
        """The rows of the prediction log."""
        common = {
            "table": "predictions",
            "time": datetime.now(UTC).replace(tzinfo=None),
            "request_id": request_id,
            "latency_ms": (time.perf_counter() - started) * 1e3,
            "shown": True,
            **vars(self.context),
        }
        return [
            {
                **common,
                "id": predictions[row]["prediction_id"],
                "version": each.served.version,
                "alias": each.alias,
                "strategy": each.strategy,
                "unit": unit,
                "inputs": records[row],
                "output": predictions[row],
            }
            for each in assignments
            for row, unit in zip(each.rows, each.units, strict=True)
        ]

    def _write(self, outbox: Outbox, several: list[list[Record]]) -> list[None]:
        """Write to the outbox; raises OutboxFull or TooLarge unless records may be dropped."""
        try:
            outbox.append([entry for entries in several for entry in entries])
        except (OutboxFull, TooLarge):
            if self.options.log_full == "refuse" or len(several) > 1:
                raise
            telemetry.dropped.inc(len(several[0]))
        return [None] * len(several)

    def _count(self, assignments: list[Assignment], records: list[Record]) -> None:
        for each in assignments:
            telemetry.predictions.labels(each.served.version).inc(len(each.rows))
        for column, listed in self._listed.items():
            values = [record[column] for record in records]
            if nulls := values.count(None):
                telemetry.missing.labels(column).inc(nulls)
            new = len(values) - nulls - sum(value in listed for value in values) if listed else 0
            if new:
                telemetry.unknown.labels(column).inc(new)


def _is_list(content: bytes) -> bool:
    return content.lstrip()[:1] == b"["


def add_explanations(served: LoadedVersion, rows: pl.DataFrame, predictions: list[Record]) -> None:
    """Add an explanation to each prediction; None where the model is not additive."""
    model = served.model
    if not is_additive(model):
        for prediction in predictions:
            prediction["explanation"] = None
        return
    values = contributions(model, model.encoder.encode(model.compute(rows)))
    for prediction, (*row, base) in zip(predictions, values.tolist(), strict=True):
        found = dict(zip(model.encoder.names, row, strict=True))
        prediction["explanation"] = {"base": base, "contributions": found}
