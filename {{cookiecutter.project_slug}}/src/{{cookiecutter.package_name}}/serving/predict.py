"""The six steps of a request: validate, gather context, transform, apply, check, present."""

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import orjson
import polars as pl
from pydantic import BaseModel, Field, TypeAdapter

from ..data.contract import Contract
from ..models.attribution import contributions, has_trees
from ..models.model import Floats, by_class
from . import observe, schema
from .champion import ALIAS, Champion
from .params import Serving
from .registry import Served
from .spool import Full, Spool

AT_ONCE = 64  # rows that are scored between two other requests; more go to a thread
STRATEGY = "single"

Record = dict[str, Any]


class Prediction(BaseModel):
    """The answer to one record."""

    prediction: float | str | int | bool
    prediction_id: str
    model_version: int
    probabilities: dict[str, float] | None = None
    interval: tuple[float, float] | None = None
    contributions: dict[str, float] | None = None


class Unusable(Exception):
    """The model gave a number that means nothing."""


@dataclass(frozen=True)
class Origin:
    """Where a prediction was made: written beside each of them."""

    environment: str
    code_version: str


class Predictor:
    """Answers requests with the champion, and logs what it answered."""

    def __init__(
        self, contract: Contract, options: Serving, champion: Champion, spool: Spool, origin: Origin
    ) -> None:
        self.contract, self.options, self.origin = contract, options, origin
        self.champion, self.spool = champion, spool
        record: Any = schema.record_type(contract)
        several = Annotated[list[record], Field(min_length=1, max_length=options.most_rows)]
        self.one, self.several = TypeAdapter(record), TypeAdapter(several)
        columns = schema.request_columns(contract)
        self._listed = {c.name: frozenset(c.categories or ()) for c in columns}

    async def answer(self, content: bytes, request_id: str, explained: bool) -> bytes:
        """The answer to a body that holds one record or a list of them, as JSON.

        Raises ValidationError that names field and rule, Unusable, or Full.
        """
        started = time.perf_counter()
        several = content.lstrip()[:1] == b"["
        records = self.validate(content, several)
        served = self.champion.served
        rows = schema.frame(records, self.contract)
        scores = await apply(served, rows)
        answers = present(served, check(scores))
        if explained:
            await explain(served, rows, answers)
        self._log(records, answers, request_id, (time.perf_counter() - started) * 1e3)
        self._count(records, served)
        return orjson.dumps(answers if several else answers[0])

    def validate(self, content: bytes, several: bool) -> list[Record]:
        """The records of a body, as the contract wants them; raises ValidationError."""
        if several:
            found = self.several.validate_json(content)
        else:
            found = [self.one.validate_json(content)]
        return [record.model_dump(by_alias=True) for record in found]

    def _log(
        self, records: list[Record], answers: list[Record], request_id: str, ms: float
    ) -> None:
        """Spool what is answered; raises Full unless dropping is allowed."""
        now = datetime.now(UTC).replace(tzinfo=None)
        common = {**vars(self.origin), "alias": ALIAS, "strategy": STRATEGY, "shown": True}
        common |= {"table": "predictions", "time": now, "request_id": request_id, "latency_ms": ms}
        entries = [
            {
                **common,
                "id": answer["prediction_id"],
                "version": answer["model_version"],
                "inputs": record,
                "output": answer,
            }
            for record, answer in zip(records, answers, strict=True)
        ]
        try:
            self.spool.append(entries)
        except Full:
            if self.options.log_full == "refuse":
                raise
            observe.dropped.inc(len(entries))

    def _count(self, records: list[Record], served: Served) -> None:
        observe.predictions.labels(served.version).inc(len(records))
        for column, listed in self._listed.items():
            values = Counter(record[column] for record in records)
            if values[None]:
                observe.missing.labels(column).inc(values[None])
            new = sum(n for value, n in values.items() if value is not None and value not in listed)
            if listed and new:
                observe.unknown.labels(column).inc(new)


async def apply(served: Served, rows: pl.DataFrame) -> Floats:
    """Transform and score, in a thread where it takes long enough for others to notice."""
    if rows.height <= AT_ONCE:
        return served.model.score_typed(rows)
    return await asyncio.to_thread(served.model.score_typed, rows)


def check(scores: Floats) -> Floats:
    """The scores, if each of them is a number; raises Unusable."""
    if not np.isfinite(scores).all():
        raise Unusable("the model gave no number for this input")
    return scores


def present(served: Served, scores: Floats) -> list[Record]:
    """An answer for each row: a value, or a class with the probability of each."""
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
        low, high = served.metrics["prediction_interval"]
        for answer in answers:
            answer["interval"] = (answer["prediction"] + low, answer["prediction"] + high)
    return answers


async def explain(served: Served, rows: pl.DataFrame, answers: list[Record]) -> None:
    """Add what each feature and the base contribute to the raw score, where the model can tell."""
    model = served.model
    if has_trees(model):
        matrix = model.encoder.encode(model.compute(rows))
        values = await asyncio.to_thread(contributions, model, matrix)
        names = [*model.encoder.names, "base"]
        for answer, row in zip(answers, values.tolist(), strict=True):
            answer["contributions"] = dict(zip(names, row, strict=True))
