"""Files of estimators, in formats that run no code on load."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import read_json, write_json
from .lightgbm_import import lightgbm
from .types import Estimator, Floats

BOOSTER, CONSTANT = "booster.txt", "constant.json"


@dataclass(frozen=True)
class DummyModel:
    """The baseline: the target's mean, or the shares of its classes, whatever the features.

    Any model must beat it.
    """

    value: float | list[float]

    def predict(self, matrix: Floats, /) -> Floats:
        """The same for each row."""
        return np.full((len(matrix), *np.shape(self.value)), self.value)


def save(estimator: Estimator, folder: Path) -> None:
    """Write LightGBM's own text, JSON for the baseline, or skops for scikit-learn."""
    if isinstance(estimator, lightgbm.Booster):
        # The trees are the same with any number of threads, which the text would name.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", estimator.model_to_string())
        (folder / BOOSTER).write_text(text, encoding="utf-8")
    elif isinstance(estimator, DummyModel):
        write_json(folder / CONSTANT, estimator.value)
    else:
        from . import skops_files

        skops_files.save(estimator, folder)


def load(folder: Path) -> Estimator:
    """Read what `save` wrote; raises UserError for a file that holds a type we never write."""
    if (folder / BOOSTER).exists():
        return lightgbm.Booster(model_file=folder / BOOSTER)
    if (folder / CONSTANT).exists():
        return DummyModel(read_json(folder / CONSTANT))
    from . import skops_files

    return skops_files.load(folder)
