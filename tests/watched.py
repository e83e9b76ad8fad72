"""A prediction log that is filled by hand, and the check of it."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from mlops_loop.database import database
from mlops_loop.monitoring import monitor
from mlops_loop.monitoring.batch import Needs
from mlops_loop.monitoring.params import Monitoring
from mlops_loop.serving import log_tables as log
from project.models.metrics import SCORING
from projects import DEFINITIONS, Project, registry_of, sales

OPTIONS = Monitoring(alarms_per_year=1, every="1d")
INPUTS = ("sold_at", "shop", "size", "items", "express")
FIRST = datetime(2024, 2, 20)  # the reference ends on the day before
TODAY = date(2024, 3, 21)
NEEDS = Needs(OPTIONS, SCORING["regression"], DEFINITIONS["TARGET"], DEFINITIONS["KEEP_ROWS"])


class Watcher:
    """A project with a champion, and a log that is filled by hand."""

    def __init__(self, project: Project) -> None:
        self.project, self.engine = project, database(f"sqlite:///{project.log}")
        self.project.log.parent.mkdir(exist_ok=True)
        log.prepare(self.engine)
        self.registry = registry_of(project)

    def log(self, rows: pl.DataFrame, **changes: Any) -> list[str]:
        """Log rows as the service does, predicted on the day that they are of; returns the ids."""
        known = {"request_id": "r", "version": 1, "alias": "champion", "strategy": "single"}
        known |= {"environment": "test", "code_version": "abc", "latency_ms": 2.0, "shown": True}
        inputs = rows.select(pl.col(INPUTS)).with_columns(
            pl.col("sold_at").dt.to_string("iso:strict")
        )
        times = rows["sold_at"].to_list()
        entries = [
            {**known, "id": str(uuid.uuid4()), "time": at, "inputs": each, "output": {}, **changes}
            for at, each in zip(times, inputs.to_dicts(), strict=True)
        ]
        with self.engine.begin() as connection:
            connection.execute(log.predictions.insert(), entries)
        return [entry["id"] for entry in entries]

    def tell(self, ids: Sequence[str], truths: Sequence[Any], at: datetime = FIRST) -> None:
        """Log truths of predictions."""
        entries = [
            {"id": str(uuid.uuid4()), "prediction_id": id, "time": at, "actual": actual}
            for id, actual in zip(ids, truths, strict=True)
            if actual is not None
        ]
        with self.engine.begin() as connection:
            connection.execute(log.feedback.insert(), entries)

    def fill(self, rows: pl.DataFrame) -> None:
        """Log rows with their truths, which come a day later."""
        self.tell(self.log(rows), rows["price"].to_list(), FIRST + timedelta(days=1))

    def check(self, **asked: Any) -> dict[str, Any]:
        """The content of a check."""
        other = {name: asked.pop(name) for name in vars(NEEDS) if name in asked}
        needs, asked = replace(NEEDS, **other), {"today": TODAY} | asked
        return monitor.run_check(self.project, self.registry, needs, **asked)


def later(rows: int = 700, seed: int = 1) -> pl.DataFrame:
    """Sales after those of the training, of the same kind."""
    frame = sales(rows, seed).with_columns(pl.col("sold_at") + timedelta(days=50))
    return frame.filter(pl.col("price").is_null() | pl.col("price").is_between(0, 150))
