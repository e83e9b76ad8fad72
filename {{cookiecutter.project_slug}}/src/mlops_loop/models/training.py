"""models/ as `train` leaves it: two models, their report, and when and from what they were made."""

from time import time
from typing import Any
from uuid import uuid4

from ..config import Section
from ..files import replaced, write_json
from ..lineage import lineage
from ..project import Paths, load_settings
from .model import Model, model_hash


def write_training(
    paths: Paths,
    params: Section,
    started: float,
    candidate: Model,
    baseline: Model,
    report: dict[str, Any],
) -> None:
    """Save the models and their report; models/run.json is written last."""
    with replaced(paths.candidate) as one, replaced(paths.baseline) as other:
        candidate.save(one)
        baseline.save(other)
    write_json(paths.training, report)
    record = {
        "training_id": uuid4().hex,
        "started": round(started * 1_000),
        "ended": round(time() * 1_000),
        "model_hash": model_hash(paths.candidate),
        "lineage": lineage(paths, load_settings(paths), params),
    }
    write_json(paths.run, record)
