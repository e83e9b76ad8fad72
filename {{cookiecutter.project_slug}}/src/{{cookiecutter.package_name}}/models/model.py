"""A model as files: raw input columns in, predictions out, with its own features and encoder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..data.contract import DTYPES, conform
from ..errors import UserError
from ..features.serialise import deserialise, serialise
from ..files import read_json, write_json

if TYPE_CHECKING:
    from .estimators import Estimator

Floats = NDArray[np.float64]

MODEL, FEATURES = "model.json", "features.json"


@dataclass(frozen=True)
class Encoder:
    """Features to numbers: the categories of each text feature, fitted on train only."""

    names: tuple[str, ...]
    categories: dict[str, list[str]]

    @classmethod
    def fit(cls, features: pl.DataFrame) -> "Encoder":
        """Learn the categories of the text columns."""
        text = [name for name, dtype in features.schema.items() if dtype == pl.String]
        categories = {name: features[name].drop_nulls().unique().sort().to_list() for name in text}
        return cls(tuple(features.columns), categories)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the text features."""
        return tuple(i for i, name in enumerate(self.names) if name in self.categories)

    def encode(self, features: pl.DataFrame) -> Floats:
        """A matrix (rows x features) of float64; missing and unknown categories are NaN."""
        return features.select(self._column(name) for name in self.names).to_numpy(order="c")

    def _column(self, name: str) -> pl.Expr:
        if name not in self.categories:
            return pl.col(name).cast(pl.Float64).fill_null(np.nan)
        codes = {category: float(code) for code, category in enumerate(self.categories[name])}
        return pl.col(name).replace_strict(codes, default=np.nan, return_dtype=pl.Float64)


@dataclass(frozen=True)
class Model:
    """A fitted model; `inputs` are the raw columns that its `features` use."""

    task: str
    target: str
    inputs: pl.Schema
    features: tuple[pl.Expr, ...]
    encoder: Encoder
    estimator: "Estimator"

    def predict(self, frame: pl.DataFrame) -> Floats:
        """Predict from raw input columns; raises UserError naming the columns that are missing."""
        missing = [name for name in self.inputs if name not in frame.columns]
        if missing:
            raise UserError(f"the model needs columns that are not there: {', '.join(missing)}.")
        return self.predict_features(conform(frame, self.inputs).select(self.features))

    def predict_features(self, features: pl.DataFrame) -> Floats:
        """Predict from features that are computed already."""
        return self.predict_matrix(self.encoder.encode(features))

    def predict_matrix(self, matrix: Floats) -> Floats:
        """Predict from encoded features."""
        # scikit-learn refuses to predict no rows; a table may hold no good one.
        return np.asarray(self.estimator.predict(matrix)) if len(matrix) else np.empty(0)

    def save(self, folder: Path) -> None:
        """Write the model as text and skops files; none of them runs code on load."""
        from . import estimators

        folder.mkdir(parents=True)
        names = {dtype: name for name, dtype in DTYPES.items()}
        description = {
            "task": self.task,
            "target": self.target,
            "inputs": {name: names[dtype] for name, dtype in self.inputs.items()},
            "features": self.encoder.names,
            "categories": self.encoder.categories,
        }
        write_json(folder / MODEL, description)
        (folder / FEATURES).write_text(serialise(self.features), encoding="utf-8")
        estimators.save(self.estimator, folder)


def describe(folder: Path) -> tuple[str, pl.Schema]:
    """Target and input columns of a saved model, without loading its estimator."""
    description = read_json(folder / MODEL)
    inputs = {name: DTYPES[dtype] for name, dtype in description["inputs"].items()}
    return description["target"], pl.Schema(inputs)


def load(folder: Path) -> Model:
    """Read a model that `Model.save` wrote."""
    from . import estimators  # LightGBM and scikit-learn: two seconds, only where one predicts

    description = read_json(folder / MODEL)
    target, inputs = describe(folder)
    return Model(
        task=description["task"],
        target=target,
        inputs=inputs,
        features=deserialise((folder / FEATURES).read_text(encoding="utf-8")),
        encoder=Encoder(tuple(description["features"]), description["categories"]),
        estimator=estimators.load(folder),
    )


def model_hash(folder: Path) -> str:
    """A digest of a saved model's files: equal models have equal hashes."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
