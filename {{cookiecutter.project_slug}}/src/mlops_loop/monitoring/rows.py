"""Rows of the prediction log whose truth is known, as training reads them: a partition a month."""

import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
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
from ..project import Paths, UserError, load_settings
from ..serving.log_tables import feedback, predictions, prepare, url
from .evidence import Evidence
from .params import LogRows, SetAside

CHUNK = 20_000  # rows that are read from the database at once
DAY, ARRIVED = "(day)", "(arrived)"  # of a row, and of its truth
MANY = 0.05  # share of the truths of a day that are outside: the others are not trusted either
JUMP = 2.0  # of observed over expected loss, as a multiple of the usual
Month = tuple[datetime, datetime]  # its begin, and its end


def list_partitions(
    paths: Paths, options: LogRows, contract: Contract, target: pl.Expr
) -> Iterator[Partition]:
    """A partition for each month of the log in which predictions have truths."""
    engine = open_log(paths)
    for month in find_months(engine):
        known = labelled(month).subquery()
        count = sql.select(sql.func.count(), sql.func.max(known.c.arrived))
        with engine.connect() as connection:
            truths, last = connection.execute(count).one()
        if truths:
            origin = f"log: {truths} truths until {last}, {options.model_dump_json()}"
            write = partial(write_month, engine, month, options, contract, target)
            yield Partition(f"log_{month[0]:%Y-%m}.parquet", origin, write)


def write_month(
    engine: sql.Engine,
    month: Month,
    options: LogRows,
    contract: Contract,
    target: pl.Expr,
    path: Path,
) -> None:
    """Write the rows of a month that are in the window, and not set aside."""
    rows = read_month(engine, month, contract, target)
    inside = pl.col(DAY).is_between(options.since or date.min, options.until or date.max)
    kept = rows.filter(inside, ~is_aside(options.set_aside, target.meta.output_name()))
    kept.drop(DAY, ARRIVED).write_parquet(path)


def is_aside(aside: SetAside, target: str) -> pl.Expr:
    """True for the rows of truths that are not learned."""
    rule = pl.col(DAY).is_in(aside.days) | pl.col(ARRIVED).is_in(aside.arrived)
    return rule if aside.between is None else rule | ~pl.col(target).is_between(*aside.between)


def open_log(paths: Paths) -> sql.Engine:
    """The database of the prediction log; raises UserError where it does not answer."""
    load_settings(paths)  # .env may name it
    engine = database(url(paths))
    try:
        prepare(engine)
    except sql.exc.SQLAlchemyError as error:
        raise UserError(
            f"the prediction log does not answer: {error}; see DATABASE_URL."
        ) from error
    return engine


def find_months(engine: sql.Engine) -> list[Month]:
    """The months of the log, oldest first."""
    time, months = predictions.c.time, list[Month]()
    with engine.connect() as connection:
        first, last = connection.execute(sql.select(sql.func.min(time), sql.func.max(time))).one()
    while first and first <= last:
        begin = datetime(first.year, first.month, 1)
        first = (begin + timedelta(days=32)).replace(day=1)
        months.append((begin, first))
    return months


def labelled(month: Month) -> sql.Select[Any]:
    """What was shown in a month, each prediction beside every truth of it, the latest last."""
    said, came = predictions.c, feedback.c
    inputs, truth = sql.cast(said.inputs, sql.Text), sql.cast(came.actual, sql.Text)
    query = sql.select(said.id, said.time, came.time.label("arrived"), inputs, truth)
    # `make deliver` asks for the same rows again and again.
    shown = said.shown & (said.request_id != "deliver")
    query = query.join_from(predictions, feedback, came.prediction_id == said.id)
    query = query.where(shown, said.time >= month[0], said.time < month[1])
    return query.order_by(came.time, came.id)


def read_month(
    engine: sql.Engine, month: Month, contract: Contract, target: pl.Expr
) -> pl.DataFrame:
    """The rows of a month of the log, with the latest truth of each.

    Columns: what is kept of the contract's, the target under its own name, ID, DAY and ARRIVED. A
    truth that is no value of the target is none, and a row that the contract now refuses is none.
    """
    requested, name = request_columns(contract), target.meta.output_name()
    known = {column.name: pl.String for column in requested}
    # The service answers a category that the contract does not list.
    open_ = [column.model_copy(update={"categories": None}) for column in requested]
    rules = [rule.fill_null(True) for column in open_ for rule in column.rules.values()]
    dtypes = contract.dtypes(*STORED_ROLES, pii=True)
    schema = pl.Schema({**dtypes, name: find_dtype(contract, target)})
    found = [pl.DataFrame(schema={**schema, ID: pl.String, DAY: pl.Date, ARRIVED: pl.Date})]
    with engine.connect() as connection:
        for chunk in connection.execute(labelled(month)).partitions(CHUNK):
            ids, times, arrived, inputs, truths = map(list, zip(*chunk, strict=True))
            key = pl.Series(ID, ids)
            frame = pl.Series(inputs).str.json_decode(pl.Struct(known)).struct.unnest()
            truth = pl.Series(truths).str.json_decode(pl.String)
            # An id stands for those that no request has.
            ids_of_rows = stable_hash(key.to_frame()) // 2
            absent = {n: ids_of_rows if n in contract.names("id") else None for n in dtypes}
            lacking = [pl.lit(v).alias(n) for n, v in absent.items() if n not in frame.columns]
            typed = conform(frame.with_columns(*lacking, truth.alias(name)), schema)
            own = [typed[time] for time in contract.names("time") if time in known]
            day = own[0] if own else pl.Series(times)
            days = {DAY: day.cast(pl.Date), ARRIVED: pl.Series(arrived).cast(pl.Date)}
            found.append(typed.with_columns(key, **days))
    rows = pl.concat(found).unique(ID, keep="last", maintain_order=True)
    return rows.filter(pl.col(name).is_not_null(), *rules)


def find_aside(
    paths: Paths,
    contract: Contract,
    target: pl.Expr,
    limits: list[float] | None,
    evidence: Evidence,
) -> tuple[SetAside, int]:
    """Truths of the log that contradict the rest, and the number of their rows.

    Those outside of `limits`; all that came on a day on which many did so; and the days of a loss
    that jumped and has not lasted as long as a page must (`retrain.wait_days`).
    """
    engine, name = open_log(paths), target.meta.output_name()
    months = [read_month(engine, month, contract, target) for month in find_months(engine)]
    rows = pl.concat(month.select(DAY, ARRIVED, name) for month in months) if months else None
    if rows is None:
        return SetAside(), 0
    labelled = evidence.labelled
    days, arrived = set(find_jumps(labelled, evidence.options.wait_days)), set[date]()
    for entry in evidence.retrainings:  # the check knows no longer what came before its champion
        earlier = SetAside.model_validate(entry.content["set_aside"] or {})
        days |= {day for day in earlier.days if not labelled or day < labelled[0]["day"]}
    if limits:
        outside = ~pl.col(name).is_between(*limits)
        shares = rows.group_by(ARRIVED).agg(outside.mean().alias("share"))
        arrived = set(shares.filter(pl.col("share") > MANY)[ARRIVED])
    aside = SetAside(days=tuple(sorted(days)), arrived=tuple(sorted(arrived)), between=limits)
    return aside, rows.filter(is_aside(aside, name)).height


def find_jumps(labelled: Sequence[dict[str, Any]], wait_days: int) -> list[date]:
    """The days of each jump of observed over expected loss that is shorter than `wait_days`."""
    if not labelled:
        return []
    usual = float(np.quantile([each["ratio"] for each in labelled], 0.25))
    found = list[date]()
    for jumped, days in groupby(labelled, lambda each: each["ratio"] > JUMP * usual):
        run = [each["day"] for each in days]
        if jumped and (run[-1] - run[0]).days + 1 < wait_days:
            found += run
    return found


def has_log(paths: Paths) -> bool:
    """True where predictions are logged."""
    load_settings(paths)
    return bool(os.environ.get("DATABASE_URL")) or paths.log.exists()
