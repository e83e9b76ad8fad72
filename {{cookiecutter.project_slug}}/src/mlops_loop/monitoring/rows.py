"""Rows of the prediction log whose truth is known, as training reads them: a partition a month."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sql

from ..data.contract import STORED_ROLES, Contract, conform, request_columns
from ..data.known_target import ID, find_dtype
from ..data.sources import Partition
from ..data.splits import stable_hash
from ..database import database
from ..project import Paths, load_settings
from ..serving.log_tables import connect, feedback, predictions, url
from .evidence import Evidence
from .log import CHUNK, SHOWN, read_inputs
from .params import Limits, LogRows, SetAside, count_days

DAY, ARRIVED = " (day)", " (arrived)"  # of a row, and of its truth; no column of a CSV
SHARE, MANY = 0.05, 5  # impossible truths of a day from which the others of it are not trusted
JUMP = 2.0  # of observed over expected loss, as a multiple of the usual
Month = tuple[datetime, datetime]  # its begin, and that of the next


@dataclass(frozen=True)
class LabelledLog:
    """Predictions with a known truth, and the contract and TARGET by which they are read."""

    engine: sql.Engine
    contract: Contract
    target: pl.Expr

    @classmethod
    def open(cls, paths: Paths, contract: Contract, target: pl.Expr) -> "LabelledLog":
        """Open the log; raises UserError where the database does not answer."""
        load_settings(paths)  # .env may name it
        engine = database(url(paths))
        with connect(engine):
            return cls(engine, contract, target)

    def months(self) -> list[Month]:
        """The months in which something was predicted, oldest first."""
        time = predictions.c.time
        ends = sql.select(sql.func.min(time), sql.func.max(time))
        with connect(self.engine, create=False) as connection:
            first, last = connection.execute(ends).one()
        if first is None:
            return []
        begins = pl.datetime_range(datetime(first.year, first.month, 1), last, "1mo", eager=True)
        return [*zip(begins, begins.dt.offset_by("1mo"), strict=True)]

    def read(self, month: Month) -> pl.DataFrame:
        """The rows of a month with a known truth, which is the latest of each.

        Columns: what is kept of the contract's, the target under its own name, ID, DAY, ARRIVED. A
        truth that is no value of the target is none, and so is a row that the contract now refuses.
        """
        contract, name = self.contract, self.target.meta.output_name()
        dtypes = contract.dtypes(*STORED_ROLES, pii=True)
        schema = pl.Schema({**dtypes, name: find_dtype(contract, self.target)})
        found = [pl.DataFrame(schema={**schema, ID: pl.String, DAY: pl.Date, ARRIVED: pl.Date})]
        step = {"yield_per": CHUNK}
        with connect(self.engine, create=False) as connection:
            for chunk in connection.execute(labelled(month), execution_options=step).partitions():
                *columns, inputs, truths = zip(*chunk, strict=True)
                ids, times, arrived = map(pl.Series, columns)
                given = read_inputs(inputs, contract)
                hashes = stable_hash(ids.to_frame()) // 2  # stand for ids, which no request has
                lacking = [
                    (hashes if each in contract.names("id") else pl.lit(None)).alias(each)
                    for each in dtypes
                    if each not in given.columns
                ]
                truth = pl.Series(name, map(str, truths))
                rows = conform(given.with_columns(truth, *lacking), schema)
                own = [rows[time] for time in contract.names("time") if time in given.columns]
                days = {DAY: (own or [times])[0].cast(pl.Date), ARRIVED: arrived.cast(pl.Date)}
                found.append(rows.with_columns(ids.alias(ID), **days))
        # The service answers a category that the contract does not list.
        asked = [c.model_copy(update={"categories": None}) for c in request_columns(contract)]
        rules = [rule.fill_null(True) for column in asked for rule in column.rules.values()]
        rows = pl.concat(found).unique(ID, keep="last", maintain_order=True)
        return rows.filter(pl.col(name).is_not_null(), *rules)


def labelled(month: Month) -> sql.Select[Any]:
    """The predictions shown in a month, each beside every truth of it, the latest last."""
    said, came = predictions.c, feedback.c
    inputs, arrived = sql.cast(said.inputs, sql.Text), came.time.label("arrived")
    query = sql.select(said.id, said.time, arrived, inputs, came.actual)
    query = query.join_from(predictions, feedback, came.prediction_id == said.id)
    query = query.where(SHOWN, said.time >= month[0], said.time < month[1])
    return query.order_by(came.time, came.id)


def list_partitions(
    paths: Paths, options: LogRows, contract: Contract, target: pl.Expr
) -> Iterator[Partition]:
    """A partition for each month of the log in which predictions have truths."""
    log = LabelledLog.open(paths, contract, target)
    for month in log.months():
        known = labelled(month).subquery()
        count = sql.select(sql.func.count(), sql.func.max(known.c.arrived))
        with connect(log.engine, create=False) as connection:
            truths, last = connection.execute(count).one()
        if truths:
            origin = f"log: {truths} truths until {last}, {options.model_dump_json()}"
            write = partial(write_month, log, month, options)
            yield Partition(f"log_{month[0]:%Y-%m}.parquet", origin, write)


def write_month(log: LabelledLog, month: Month, options: LogRows, path: Path) -> None:
    """Write the rows of a month that are in the window, and not set aside."""
    inside = pl.col(DAY).is_between(options.since or date.min, options.until or date.max)
    aside = is_aside(options.set_aside, log.target.meta.output_name())
    log.read(month).filter(inside, ~aside).drop(DAY, ARRIVED).write_parquet(path)


def is_aside(aside: SetAside, target: str) -> pl.Expr:
    """True for the rows of truths that are not learned."""
    rule = pl.col(DAY).is_in(aside.days) | pl.col(ARRIVED).is_in(aside.arrived)
    return rule if aside.between is None else rule | ~pl.col(target).is_between(*aside.between)


def find_aside(log: LabelledLog, limits: Limits | None, evidence: Evidence) -> tuple[SetAside, int]:
    """Truths that contradict the rest, and the number of their rows.

    Those outside of `limits`; all that came on a day on which many of those came; and the days of
    a loss that jumped and has not lasted as long as a page must (`retrain.wait_days`).
    """
    name, labelled_days = log.target.meta.output_name(), evidence.labelled
    months = [log.read(month).select(DAY, ARRIVED, name) for month in log.months()]
    if not months:
        return SetAside(), 0
    rows, arrived = pl.concat(months), pl.Series(dtype=pl.Date)
    every = range(count_days(evidence.check.get("every", "1d")))
    days = {day + timedelta(days=n) for day in find_jumps(evidence) for n in every}
    for entry in evidence.retrainings:  # a check knows no day before its champion's reference
        earlier = SetAside.model_validate(entry.content["set_aside"]).days
        days |= {day for day in earlier if not labelled_days or day < labelled_days[0]["day"]}
    if limits:
        outside = ~pl.col(name).is_between(*limits)
        many = (outside.mean() > SHARE) & (outside.sum() >= MANY)
        arrived = rows.group_by(ARRIVED).agg(many).filter(name)[ARRIVED].sort()
    aside = SetAside(days=tuple(sorted(days)), arrived=tuple(arrived), between=limits)
    return aside, rows.filter(is_aside(aside, name)).height


def find_jumps(evidence: Evidence) -> list[date]:
    """The days of each jump of observed over expected loss that is shorter than `wait_days`.

    A page that has lasted so long is no jump, though its loss rises and falls: its days have a
    usual ratio of their own.
    """
    page, wait, found = evidence.page, evidence.options.wait_days, list[date]()
    onset = page.onset if page and (page.last - page.onset).days >= wait else date.max
    for _, part in groupby(evidence.labelled, lambda each: each["day"] >= onset):
        days = list(part)
        limit = JUMP * float(np.quantile([each["ratio"] for each in days], 0.25))
        marked = [(each["day"], each["ratio"] > limit) for each in days]
        for jumped, group in groupby(marked, itemgetter(1)):
            run = [day for day, _ in group]
            if jumped and (run[-1] - run[0]).days + 1 < wait:
                found += run
    return found
