"""The prediction log as profiles of days, joined with its truths; a day is read when it changed."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sql

from ..console import track
from ..data.contract import DTYPES, Contract, request_columns
from ..database import now
from ..files import COMPRESSION, Content, read_json, replaced, write_json
from ..models.model import Model
from ..serving.log_tables import (
    BATCH,
    DELIVERY,
    connect,
    feedback,
    predictions,
    refusals,
)
from .batch import KEYS, Champion, NothingToCheck, Watched, merge

CHUNK = 20_000  # rows that are in memory at once
NAMED = 3  # ids
STATE = "state.json"
REFUSED_DAYS = 28
DAY = timedelta(days=1)
SETTLED = timedelta(days=35)  # after which a day gets no more rows: services ship in seconds
said, truth = predictions.c, feedback.c
AT = sql.func.date(said.time)
SHOWN = said.shown & (said.request_id != DELIVERY)
IS_ITS = truth.prediction_id == said.id
NEWEST = truth.time.desc(), truth.id.desc()
LATEST = sql.select(truth.actual).where(IS_ITS).order_by(*NEWEST).limit(1).scalar_subquery()


@dataclass
class Log:
    """Profiles of the log by the day on which rows were logged, and what was read into them.

    `days` holds of each such day the number of predictions that the log had, and figures of the
    service; `truths` holds of each day on which truths came their number, how many were of no
    known prediction (unknown), and ids of some. `pending` are days that are still to be read,
    `refused` the requests of the last weeks that were refused, by field and rule.
    """

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    days: dict[str, dict[str, float]] = field(default_factory=dict)
    truths: dict[str, Content] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    refused: list[Content] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, made_by: str) -> "Log":
        """Read what `save` wrote, unless it was made of another database or by other rules."""
        state = read_json(folder / STATE) if (folder / STATE).exists() else {"made_by": None}
        if state.pop("made_by") != made_by:
            return cls()
        tables = {name: pl.read_parquet(folder / f"{name}.parquet") for name in KEYS}
        return cls(tables, **state)

    def save(self, folder: Path, made_by: str) -> None:
        """Write everything, all or nothing."""
        with replaced(folder) as temporary:
            temporary.mkdir()
            state = {name: value for name, value in vars(self).items() if name != "tables"}
            write_json(temporary / STATE, {"made_by": made_by, **state})
            for name, table in self.tables.items():
                table.write_parquet(temporary / f"{name}.parquet", compression=COMPRESSION)

    @property
    def watched(self) -> Watched:
        """All days of rows, whenever they were logged."""
        return merge([Watched(**{name: self.tables[name].drop("logged") for name in KEYS})])

    def update(self, connection: sql.Connection, champion: Champion) -> bool:
        """Read the days whose predictions or truths grew in number; returns True where any did.

        A day that retention has shortened keeps its profile. Interrupted, the days that were read
        are kept, and the others are read the next time.
        """
        counted = count_by_day(connection, predictions, is_recent(said.time, self.days))
        told = count_by_day(connection, feedback, is_recent(truth.time, self.truths))
        known = {day: facts["predictions"] for day, facts in self.days.items()}
        changed = {day for day, rows in counted.items() if rows > known.get(day, 0)}
        before = {day: facts["truths"] for day, facts in self.truths.items()}
        grown = [day for day, rows in told.items() if rows > before.get(day, 0)]
        due = set(self.pending)
        for day in grown:
            of_days, facts = find_predictions(connection, day)
            self.truths[day] = {"truths": told[day], **facts}
            due |= of_days
        for day in due - counted.keys():  # whose truths came long after it
            counted |= count_by_day(connection, predictions, during(said.time, day))
        changed |= {day for day in due if counted.get(day, 0) >= known.get(day, 0)}
        self.pending = sorted(changed)
        read: dict[str, Watched] = {}
        try:
            for day in track(sorted(changed), "log"):
                parts, facts = read_day(connection, champion, day)
                self.days[day] = {"predictions": counted[day], **facts}
                if parts:
                    read[day] = merge(parts)
                self.pending.remove(day)
        finally:
            self.replace(read)
        return bool(changed or grown)

    def replace(self, read: dict[str, Watched]) -> None:
        """Put the profiles of days in the place of their earlier ones."""
        for name in KEYS if read else ():
            days = read.items()
            new = [getattr(w, name).with_columns(logged=pl.lit(day)) for day, w in days]
            old = self.tables.get(name, new[0].clear())
            kept = old.filter(~pl.col("logged").is_in(list(read)))
            self.tables[name] = pl.concat([kept, *new])


def watch_log(champion: Champion, engine: sql.Engine, folder: Path) -> Log:
    """Bring the profiles in `folder` up to date with the log; what did not change is not read.

    Raises UserError where the log does not respond, NothingToCheck where nothing was ever logged.
    """
    profile = champion.profile
    rules = (str(engine.url), champion.scoring.primary, [str(rule) for rule in champion.keep])
    edges = (profile.columns, profile.expectation.cap, profile.expectation.factor)
    made_by = hashlib.sha256(repr((rules, edges)).encode()).hexdigest()
    log, changed = Log.load(folder, made_by), True
    folder.mkdir(parents=True, exist_ok=True)  # SQLite makes the log, but not its folder
    with connect(engine) as connection:
        try:
            changed = log.update(connection, champion)
            log.refused = read_refusals(connection)
        finally:
            if changed and log.tables:
                log.save(folder, made_by)
    if not log.tables:
        raise NothingToCheck(
            f"the prediction log, {engine.url}, is empty: `make serve` and `make batch` fill it; "
            "rows of a file are checked by make monitor BATCH=file."
        )
    return log


def count_by_day(connection: sql.Connection, table: sql.Table, rule: Any) -> dict[str, int]:
    """The number of those rows of each day for which a rule holds."""
    day = sql.func.date(table.c.time)
    query = sql.select(day, sql.func.count()).where(rule).group_by(day)
    return {str(day): rows for day, rows in connection.execute(query)}


def is_recent(time: Any, known: Collection[str]) -> Any:
    """Not long before the last known day: nothing is new of those days."""
    last = datetime.fromisoformat(max(known)) if known else datetime.min + SETTLED
    return time >= last - SETTLED


def during(time: Any, day: str) -> Any:
    """On a day."""
    start = datetime.fromisoformat(day)
    return (time >= start) & (time < start + DAY)


def read_refusals(connection: sql.Connection) -> list[Content]:
    """The requests of the last weeks that were refused by field and rule, most of them first."""
    number, since = sql.func.sum(refusals.c.count), now().date() - REFUSED_DAYS * DAY
    query = sql.select(refusals.c.field, refusals.c.rule, number.label("count"))
    query = query.where(refusals.c.day > since).group_by(refusals.c.field, refusals.c.rule)
    return [dict(row) for row in connection.execute(query.order_by(number.desc())).mappings()]


def find_predictions(connection: sql.Connection, day: str) -> tuple[set[str], Content]:
    """The days of the predictions whose truths came on a day, and truths of no prediction."""
    both = feedback.outerjoin(predictions, said.id == truth.prediction_id)
    came = during(truth.time, day)
    query = sql.select(AT, sql.func.count()).select_from(both).where(came).group_by(AT)
    rows = {at and str(at): number for at, number in connection.execute(query)}
    unknown, names = rows.pop(None, 0), list[str]()
    if unknown:
        lost = sql.select(truth.prediction_id).select_from(both)
        lost = lost.where(came, said.id.is_(None)).limit(NAMED)
        names = list(connection.execute(lost).scalars())
    return set(rows), {"unknown": unknown, "ids": names}


def read_day(
    connection: sql.Connection, champion: Champion, day: str
) -> tuple[list[Watched], dict[str, float]]:
    """Profile what was logged on a day, chunk by chunk; with the service's figures of that day."""
    number = sql.select(sql.func.count()).where(IS_ITS).scalar_subquery()
    texts = sql.cast(said.inputs, sql.Text), sql.cast(LATEST, sql.Text)
    query = sql.select(said.time, said.latency_ms, said.strategy, *texts, number)
    query = query.where(SHOWN, during(said.time, day))
    parts: list[Watched] = []
    latency: list[float] = []
    facts = Counter[str]()
    several = {"yield_per": CHUNK}
    for rows in connection.execute(query, execution_options=several).partitions():
        times, took, ways, inputs, truths, numbers = zip(*rows, strict=True)
        actual = type_truths(truths, champion.model)
        facts["several"] += sum(numbers) - len(numbers) + truths.count(None)
        facts["malformed"] += actual.null_count() - truths.count(None)
        latency += [ms for ms, way in zip(took, ways, strict=True) if way != BATCH]
        frame = read_inputs(inputs, champion.contract)
        parts.append(champion.watch_rows(frame, actual, pl.Series(times).dt.date()))
    if latency:
        facts["median_ms"], facts["p99_ms"] = np.quantile(latency, [0.5, 0.99]).tolist()
    return parts, dict(facts)


def outcome_dtype(model: Model) -> Any:
    """The dtype of a model's outcome: that of its classes, or of a number."""
    kind = type(model.classes[0]) if model.classes else float
    return {float: pl.Float64, int: pl.Int64, bool: pl.Boolean, str: pl.String}[kind]


def type_truths(texts: Sequence[str | None], model: Model) -> pl.Series:
    """Truths (JSON) as the model's outcome; null where one is no number, or of another type."""
    told, dtype = pl.Series(model.target, texts, pl.String), outcome_dtype(model)
    if dtype == pl.Boolean:
        return told.replace_strict({"true": True, "false": False}, default=None)
    if dtype == pl.String:
        return told.set(~told.str.starts_with('"'), None).str.json_decode(pl.String())
    numbers = told.cast(pl.Float64, strict=False)
    fits = numbers.is_finite() if dtype == pl.Float64 else numbers == numbers.round()
    return numbers.set(~fits, None).cast(dtype)


def read_inputs(texts: Sequence[str], contract: Contract) -> pl.DataFrame:
    """Logged inputs (JSON) as the columns of a contract; null where one lacks them.

    Inputs that were logged under a contract of other types are read as text, for the rules of this
    one to judge.
    """
    columns, rows = request_columns(contract), pl.Series(texts)
    try:
        fields = {column.name: DTYPES[column.dtype] for column in columns}
        return rows.str.json_decode(pl.Struct(fields)).struct.unnest()
    except pl.exceptions.ComputeError:
        text = {column.name: pl.String() for column in columns}
        return rows.str.json_decode(pl.Struct(text)).struct.unnest()
