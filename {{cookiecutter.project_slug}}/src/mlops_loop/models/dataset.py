"""Encoded tables, and what is fitted on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Optional

import numpy as np
import polars as pl

from ..project import UserError
from .model import Encoder, encode_target
from .persistence import import_lightgbm
from .types import Array, Estimator, Floats, Label

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True)
class Table:
    """Encoded features (rows x features, missing as NaN), target and, if any, row weights."""

    matrix: Floats
    target: Array
    categorical: tuple[int, ...]
    weights: Floats | None = None

    def __add__(self, other: "Table") -> "Table":
        weighted = self.weights is not None and other.weights is not None
        return Table(
            np.concatenate([self.matrix, other.matrix]),
            np.concatenate([self.target, other.target]),
            self.categorical,
            np.concatenate([self.weights, other.weights]) if weighted else None,
        )

    def to_lightgbm(self, reference: Optional["lightgbm.Dataset"] = None) -> "lightgbm.Dataset":
        """Convert to LightGBM's own dataset, binned like `reference`."""
        dataset: lightgbm.Dataset = import_lightgbm().Dataset(
            self.matrix,
            self.target,
            reference=reference,
            weight=self.weights,
            categorical_feature=list(self.categorical),
        )
        return dataset


@dataclass(frozen=True)
class Fitted:
    """An estimator, the number of its trees (0 if it has none) and its validation history.

    `holdout_model`, where the fit leaves one, has not seen validation.
    """

    estimator: Estimator
    trees: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    holdout_model: Estimator | None = None


@dataclass(frozen=True)
class Fold:
    """One cross-validation fold: encoded training and validation rows, reused across trials.

    `weights` are the class weights of `train`.
    """

    train: Table
    valid: Table
    classes: int
    weights: tuple[float, ...]

    @cached_property
    def datasets(self) -> tuple["lightgbm.Dataset", "lightgbm.Dataset"]:
        """Both tables for LightGBM, which bins them at the first fit."""
        train = self.train.to_lightgbm()
        return train, self.valid.to_lightgbm(reference=train)

    def align(self, scores: Floats, classes: Array) -> Floats:
        """Scores with a column for each class, also those that the fit has not seen."""
        aligned = np.zeros((len(scores), self.classes))
        aligned[:, classes] = scores
        return aligned


def find_classes(task: str, train: pl.Series, known: pl.Series) -> tuple[Label, ...]:
    """The sorted classes of all known targets; none for regression.

    Raises UserError where the task does not fit them, or train holds one class only.
    """
    dtype, classes = train.dtype, tuple(known.unique().sort().to_list())
    if task == "regression" and (dtype.is_numeric() or dtype == pl.Boolean):
        return ()
    if task == "regression":
        problem = f"is {dtype}; set binary or multiclass"
    elif not (dtype.is_integer() or dtype in (pl.String, pl.Boolean)):
        problem = (
            f"is {dtype}; classes are text, integers or booleans. Set regression, or cast TARGET "
            "in definitions.py"
        )
    elif train.n_unique() < 2:
        problem = (
            f"is {train[0]} in every row of train, so there is nothing to learn; add rows, or "
            "split them differently (`prepare`)"
        )
    elif task == "binary" and len(classes) > 2:
        problem = (
            f"has {len(classes)} classes; set multiclass, or keep two of them by TARGET or "
            "KEEP_ROWS in definitions.py"
        )
    else:
        return classes
    raise UserError(f"params.yaml: task: {train.name} {problem}.")


def balanced(target: pl.Series, classes: tuple[Label, ...]) -> tuple[float, ...]:
    """The weight of each class with which all classes count the same."""
    # A fold may lack a class that the others have.
    counts = np.bincount(encode_target(target, classes), minlength=len(classes)).clip(1)
    return tuple((len(target) / (len(classes) * counts)).tolist())


def table(
    frame: pl.DataFrame,
    encoder: Encoder,
    classes: tuple[Label, ...] = (),
    weights: tuple[float, ...] = (),
) -> Table:
    """Encode a frame of features whose last column is the target."""
    matrix, target = encoder.encode(frame[:, :-1]), encode_target(frame[:, -1], classes)
    row_weights = np.array(weights)[target] if weights else None
    return Table(matrix, target, encoder.categorical, row_weights)


def used_inputs(features: Sequence[pl.Expr], known: pl.Schema) -> pl.Schema:
    """The input columns that the features use; all of them where a feature is a selector."""
    roots = [feature.meta.root_names() for feature in features]
    used = {name for names in roots for name in names}
    return pl.Schema({n: d for n, d in known.items() if n in used or not all(roots)})
