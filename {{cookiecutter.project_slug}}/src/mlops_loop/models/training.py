"""models/ as `train` leaves it: two models, their report, and where and when they were trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Any
from uuid import uuid4

from ..config import Section
from ..files import replaced, write_json
from ..lineage import lineage
from ..project import Paths, load_settings
from .model import Model, model_hash


@contextmanager
def write_training(
    paths: Paths, params: Section
) -> Iterator[Callable[[Model, Model, dict[str, Any]], None]]:
    """Save the candidate, the baseline and the report; models/run.json is written last."""
    settings, started = load_settings(paths), round(time() * 1_000)

    def save(candidate: Model, baseline: Model, report: dict[str, Any]) -> None:
        with replaced(paths.candidate) as one, replaced(paths.baseline) as other:
            candidate.save(one)
            baseline.save(other)
        write_json(paths.training, report)

    yield save
    record = {
        "training_id": uuid4().hex,
        "started": started,
        "ended": round(time() * 1_000),
        "model_hash": model_hash(paths.candidate),
        "lineage": lineage(paths, settings, params),
    }
    write_json(paths.run, record)
