"""A request in six steps: validate, choose versions, transform, score, check, present; and log."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from ..database import now
from ..models.explanations import contributions
from ..models.model import by_class
from ..models.types import Floats
from . import telemetry
from .follow import CHALLENGER
from .log_tables import is_number
from .log_tables import predictions as log
from .params import Serving
from .prediction_log import Outbox, OutboxFull, TooLarge
from .router import Assignment, Router, SeveralUnits
from .schema import Record, Records, RequestSchema, is_list
from .versions import LoadedVersion

MAX_PROBLEMS = 20
MAX_SHADOW = 100  # requests that wait for the challenger
Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")


class InvalidScore(Exception):
    """The model's score is not a finite number."""


# The status of a failed request, and its detail: no value, which may be personal.
FAILURES: dict[type[Exception], tuple[int, str]] = {
    ValidationError: (422, ""),
    RequestValidationError: (422, ""),
    SeveralUnits: (422, "send one record: serving.sticky_by chooses a version for each"),
    InvalidScore: (500, "the model's score for this input is not finite"),
    TooLarge: (413, "the records exceed what the prediction log may hold (serving.outbox_bytes)"),
    OutboxFull: (503, "the prediction log is full; nothing was predicted"),
    SQLAlchemyError: (503, "the database does not answer"),
}


def describe(error: Exception) -> str | list[dict[str, str]]:
    """The field and rule of each problem, or a sentence."""
    if not isinstance(error, ValidationError | RequestValidationError):
        found = (text for kind, (_, text) in FAILURES.items() if isinstance(error, kind))
        return next(found, "internal error")
    broken = error.errors()
    problems = [
        {"field": ".".join(map(str, problem["loc"])) or "body", "rule": problem["msg"]}
        for problem in broken[:MAX_PROBLEMS]
    ]
    if more := len(broken) - len(problems):
        problems.append({"field": "body", "rule": f"{more:,} more problems"})
    return problems


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
    fallback: Literal["baseline"] | None = None
    explanation: Explanation | None = None


class DynamicBatcher(Generic[Key, Item, Result]):
    """Collects items that arrive together; `process` is called with those of an equal key.

    Starting Polars and LightGBM is most of the cost of a row: sixteen take twice as long as one.
    One transaction of the outbox for several requests: 3,220 requests a second instead of 2,270.
    """

    def __init__(self, process: Callable[[Key, list[Item]], Iterable[Result]]) -> None:
        self._process = process
        self._waiting: dict[int, list[tuple[Item, asyncio.Future[Result]]]] = {}

    async def submit(self, key: Key, item: Item) -> Result:
        """Process one item with others; raises what processing it raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if id(key) not in self._waiting:
            self._waiting[id(key)] = []
            future.get_loop().call_soon(lambda: self._resolve(key, self._waiting.pop(id(key))))
        self._waiting[id(key)].append((item, future))
        return await future

    def _resolve(self, key: Key, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        batch = [one for one in batch if not one[1].cancelled()]
        if not batch:
            return
        try:
            results = self._process(key, [item for item, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            else:  # only the request whose item fails gets its error
                for one in batch:
                    self._resolve(key, [one])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)


class Predictor:
    """Predicts with the versions that the router chooses, and logs each prediction.

    Requests are those that the champion's contract allows, until another champion is served.
    `context` is the environment and the code's version, logged with each prediction.
    """

    def __init__(
        self, options: Serving, router: Router, outbox: Outbox, context: Mapping[str, str]
    ) -> None:
        self.options, self.context = options, context
        self.router, self.outbox = router, outbox
        self._shadow, self._room = ThreadPoolExecutor(1), BoundedSemaphore(MAX_SHADOW)
        scoring: DynamicBatcher[LoadedVersion, Record, Any] = DynamicBatcher(score)
        self._scoring, self._logging = scoring, DynamicBatcher(self._write)

    async def predict(
        self, content: bytes, request_id: str, key: str = "", explain: bool = False
    ) -> bytes:
        """Predict a body that holds one record or a list of them; returns JSON.

        Equal keys get the same version where the strategy allows it. Raises ValidationError that
        names field and rule, SeveralUnits, InvalidScore, OutboxFull or TooLarge.
        """
        started = time.perf_counter()
        champion, served = self.router.versions.champion, self.router.versions.served
        records = champion.requests.validate(content)
        chosen = self.router.assign(served, records, key or request_id)
        predictions = present(chosen.served, await self._score(chosen.served, records))
        if explain:
            await asyncio.to_thread(add_explanations, chosen.served, records, predictions)
        entries = self._entries(chosen, records, predictions, request_id, started)
        await self._logging.submit(self.outbox, entries)
        count(champion.requests, chosen.served, records)
        if self.options.strategy == "shadow" and CHALLENGER in served:
            if self._room.acquire(blocking=False):
                self._shadow.submit(self._predict_unseen, served[CHALLENGER], records, request_id)
            else:
                telemetry.unshown.inc(len(records))
        return orjson.dumps(predictions if is_list(content) else predictions[0])

    async def _score(self, served: LoadedVersion, records: Records) -> Floats:
        if len(records) == 1:
            return np.array([await self._scoring.submit(served, records[0])])
        return await asyncio.to_thread(score, served, records)

    def _predict_unseen(self, served: LoadedVersion, records: Records, request_id: str) -> None:
        """Predict with the challenger, for the log alone; a failure is counted."""
        started = time.perf_counter()
        try:
            if self.outbox.waiting > self.options.outbox_bytes / 2:  # the rest is for what is shown
                raise OutboxFull
            predictions = present(served, score(served, records))
            unseen = Assignment("shadow", CHALLENGER, served)
            entries = self._entries(unseen, records, predictions, request_id, started)
            self.outbox.append(log, [{**each, "shown": False} for each in entries])
        except Exception as error:
            telemetry.unshown.inc(len(records))
            telemetry.log("shadow", problem=type(error).__name__)
        finally:
            self._room.release()

    def is_label(self, actual: Any) -> bool:
        """Check that a value may be the truth of a prediction: a number, or one of the classes."""
        if classes := self.router.versions.champion.model.classes:
            return any(type(actual) is type(known) and actual == known for known in classes)
        return is_number(actual)

    def _entries(
        self,
        chosen: Assignment,
        records: Records,
        predictions: Records,
        request_id: str,
        started: float,
    ) -> Records:
        """The rows of the prediction log."""
        common = {
            "time": now(),
            "request_id": request_id,
            "latency_ms": (time.perf_counter() - started) * 1e3,
            "shown": True,
            "version": chosen.served.version,
            "alias": chosen.alias,
            "strategy": chosen.strategy,
            "unit": chosen.unit,
            **self.context,
        }
        return [
            {**common, "id": output["prediction_id"], "inputs": inputs, "output": output}
            for inputs, output in zip(records, predictions, strict=True)
        ]

    def _write(self, outbox: Outbox, several: list[Records]) -> list[None]:
        """Write to the outbox; raises OutboxFull or TooLarge unless records may be dropped."""
        try:
            outbox.append(log, [entry for entries in several for entry in entries])
        except (OutboxFull, TooLarge):
            if self.options.log_full == "refuse" or len(several) > 1:
                raise
            telemetry.dropped.inc(len(several[0]))
        return [None] * len(several)


def score(served: LoadedVersion, records: Records) -> Floats:
    """Transform and score records with one version, timed."""
    with telemetry.scoring.labels(served.version).time():
        return served.model.score_typed(served.requests.frame(records))


def present(served: LoadedVersion, scores: Floats) -> Records:
    """Turn scores into predictions: a value with its interval, or a class with probabilities.

    Those of a baseline are marked, and have no interval. The interval stays within the contract's
    range of the target; the value may not. Raises InvalidScore.
    """
    if not np.isfinite(scores).all():
        raise InvalidScore
    model, number = served.model, served.version
    predictions: Records = [
        {"prediction": value, "prediction_id": str(uuid.uuid4()), "model_version": number}
        for value in model.label(scores).tolist()
    ]
    if served.is_baseline:
        for prediction in predictions:
            prediction["fallback"] = "baseline"
    if model.classes:
        names = [str(label) for label in model.classes]
        for prediction, shares in zip(predictions, by_class(scores).tolist(), strict=True):
            prediction["probabilities"] = dict(zip(names, shares, strict=True))
    elif (ends := served.metrics.get("prediction_interval")) and not served.is_baseline:
        intervals = np.clip(np.add.outer(scores, ends), *served.target_range)
        for prediction, interval in zip(predictions, intervals.tolist(), strict=True):
            prediction["interval"] = interval
    return predictions


def add_explanations(served: LoadedVersion, records: Records, predictions: Records) -> None:
    """Add an explanation to each prediction; None where the model is not additive."""
    model = served.model
    if not model.estimator.is_additive:
        for prediction in predictions:
            prediction["explanation"] = None
        return
    matrix = model.encoder.encode(model.compute(served.requests.frame(records)))
    values = contributions(model, matrix).tolist()
    for prediction, (*row, base) in zip(predictions, values, strict=True):
        found = dict(zip(model.encoder.names, row, strict=True))
        prediction["explanation"] = {"base": base, "contributions": found}


def count(requests: RequestSchema, served: LoadedVersion, records: Records) -> None:
    """Count rows by version, missing values, and values that the contract does not list."""
    telemetry.predictions.labels(served.version).inc(len(records))
    for column, listed in requests.listed.items():
        values = [record[column] for record in records]
        if nulls := values.count(None):
            telemetry.missing.labels(column).inc(nulls)
            if column in served.requests.imputed:
                telemetry.imputed.labels(column).inc(nulls)
        new = len(values) - nulls - sum(value in listed for value in values) if listed else 0
        if new:
            telemetry.unknown.labels(column).inc(new)
