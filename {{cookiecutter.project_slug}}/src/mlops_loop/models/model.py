"""A model: raw input columns in, predictions out, with its own features and encoder."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from ..data.contract import DTYPES, conform
from ..features import deserialise, serialise
from ..files import Content, read_json, write_json
from ..project import UserError
from . import persistence
from .types import Array, Classes, Estimator, Floats

MODEL, FEATURES = "model.json", "features.json"
FORMAT = 1  # of these files; those of before it was written are of format 1
FEW = 16  # rows for which threads, or the start of an expression, cost more than they save
AS_PLANNED = pl.QueryOptFlags.none()  # made once: DataFrame.select_seq makes options each time


@dataclass(frozen=True)
class Encoder:
    """Encoder of features as numbers, with the categories of each text feature."""

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
        if features.height <= FEW:
            rows = features.rows(named=True)
            return np.array([self._encode_row(row) for row in rows]).reshape(-1, len(self.names))
        return features.select(self._column(name) for name in self.names).to_numpy(order="c")

    def _column(self, name: str) -> pl.Expr:
        if name not in self.categories:
            return pl.col(name).cast(pl.Float64).fill_null(np.nan)
        codes = self._codes[name]
        return pl.col(name).replace_strict(codes, default=np.nan, return_dtype=pl.Float64)

    def _encode_row(self, row: Content) -> list[float]:
        return [
            (
                self._codes[name].get(row[name], np.nan)
                if name in self._codes
                else np.nan if row[name] is None else float(row[name])
            )
            for name in self.names
        ]

    @cached_property
    def _codes(self) -> dict[str, dict[str, float]]:
        return {
            name: {category: float(code) for code, category in enumerate(categories)}
            for name, categories in self.categories.items()
        }


@dataclass(frozen=True)
class Model:
    """A fitted model; `inputs` are the raw columns that its `features` use.

    `classes` is empty for regression. Of two classes the second is predicted where its probability
    reaches `threshold`. `weights` are the class weights that the estimator was fitted with.
    """

    task: str
    target: str
    inputs: pl.Schema
    features: tuple[pl.Expr, ...]
    encoder: Encoder
    estimator: Estimator
    classes: Classes = ()
    weights: tuple[float, ...] = ()
    threshold: float = 0.5

    @property
    def task_signature(self) -> str:
        """Target, task and classes; models that differ in them cannot be compared."""
        classes = f": {', '.join(map(repr, self.classes))}" if self.classes else ""
        return f"{self.target} ({self.task}{classes})"

    def predict(self, frame: pl.DataFrame) -> Array:
        """Predict a value or class for each row; raises UserError naming missing columns."""
        return self.label(self.score(frame))

    def predict_table(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict `prediction` and, for classes, the probability of each: `probability_<class>`."""
        scores = self.score(frame)
        columns = [self.label(scores), *(by_class(scores).T if self.classes else ())]
        return pl.DataFrame(dict(zip(prediction_columns(self.classes), columns, strict=True)))

    def score(self, frame: pl.DataFrame) -> Floats:
        """Compute the value, P(second class) or P(each class) of each row; raises as `predict`."""
        return self.score_features(self.compute(frame))

    def compute(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Compute the features of raw input columns; raises as `predict`."""
        missing = [name for name in self.inputs if name not in frame.columns]
        if missing:
            raise UserError(f"the model needs columns that are not there: {', '.join(missing)}.")
        return conform(frame, self.inputs).select(self.features)

    def score_typed(self, frame: pl.DataFrame) -> Floats:
        """Score rows that have the dtypes of `inputs`, as those of a request do."""
        if frame.height > FEW:
            return self.score_features(frame.select(self.features))
        plan = frame.lazy().select_seq(self.features)
        return self.score_features(plan.collect(engine="in-memory", optimizations=AS_PLANNED))

    def score_features(self, features: pl.DataFrame) -> Floats:
        """Score computed features."""
        return self.score_matrix(self.encoder.encode(features))

    def score_matrix(self, matrix: Floats) -> Floats:
        """Score encoded features."""
        if not len(matrix):
            # scikit-learn refuses to predict no rows; a table may hold no valid one.
            return np.empty((0, len(self.classes)) if self.task == "multiclass" else 0)
        return unweighted(raw_scores(self.task, self.estimator, matrix), self.weights)

    def decide(self, scores: Floats) -> Array:
        """Convert scores to values, or to positions in `classes`."""
        return decide(self.task, scores, self.threshold)

    def label(self, scores: Floats) -> Array:
        """Convert scores to values, or to classes as the data name them."""
        decided = self.decide(scores)
        return np.array(self.classes)[decided] if self.classes else decided

    def save(self, folder: Path) -> None:
        """Write the model as text and skops files; none of them runs code on load."""
        folder.mkdir(parents=True)
        names = {dtype: name for name, dtype in DTYPES.items()}
        description = {
            "format": FORMAT,
            "task": self.task,
            "target": self.target,
            "classes": self.classes,
            "weights": self.weights,
            "threshold": self.threshold,
            "inputs": {name: names[dtype] for name, dtype in self.inputs.items()},
            "features": self.encoder.names,
            "categories": self.encoder.categories,
        }
        write_json(folder / MODEL, description)
        (folder / FEATURES).write_text(serialise(self.features), encoding="utf-8")
        persistence.save(self.estimator, folder)


def encode_target(values: pl.Series, classes: Classes) -> Array:
    """Convert values to floats, or to positions in `classes`, -1 for any other class."""
    if not classes:
        return values.cast(pl.Float64).to_numpy()
    positions = {label: position for position, label in enumerate(classes)}
    return values.replace_strict(positions, default=-1, return_dtype=pl.Int64).to_numpy()


def decide(task: str, scores: Floats, threshold: float) -> Array:
    """Convert scores to values, or to positions of classes."""
    if task == "regression":
        return scores
    several = task == "multiclass"
    return np.asarray(scores.argmax(axis=1) if several else scores >= threshold, dtype=int)


def prediction_columns(classes: Classes) -> list[str]:
    """The names of the columns of `Model.predict_table`."""
    return ["prediction", *(f"probability_{label}" for label in classes)]


def by_class(scores: Floats) -> Floats:
    """Convert probabilities to a matrix (rows x classes), also those of two classes."""
    return np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores


def raw_scores(task: str, estimator: Estimator, matrix: Floats) -> Floats:
    """An estimator's values, P(second class) or P(each class)."""
    scores = np.asarray(estimator.predict(matrix))
    return scores[:, 1] if task == "binary" and scores.ndim == 2 else scores


def unweighted(scores: Floats, weights: tuple[float, ...]) -> Floats:
    """Correct probabilities for the class weights that the estimator was fitted with."""
    if not weights:
        return scores
    # Weights multiply the odds of a class; divided by them, probabilities stay calibrated.
    shares = by_class(scores) / weights
    shares /= shares.sum(axis=1, keepdims=True)
    return shares[:, 1] if scores.ndim == 1 else shares


def load(folder: Path) -> Model:
    """Read a model that `Model.save` wrote; raises UserError for one of another format."""
    description = read_json(folder / MODEL)
    if (found := description.get("format", 1)) != FORMAT:
        raise UserError(
            f"{folder / MODEL}: is of format {found}, this code reads format {FORMAT}; check out "
            "the commit that the version is tagged with."
        )
    inputs = {name: DTYPES[dtype] for name, dtype in description["inputs"].items()}
    return Model(
        task=description["task"],
        target=description["target"],
        inputs=pl.Schema(inputs),
        features=deserialise((folder / FEATURES).read_text(encoding="utf-8")),
        encoder=Encoder(tuple(description["features"]), description["categories"]),
        estimator=persistence.load(folder),
        classes=tuple(description["classes"]),
        weights=tuple(description["weights"]),
        threshold=description["threshold"],
    )


def model_hash(folder: Path) -> str:
    """Digest of a saved model's files: equal models have equal hashes."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
