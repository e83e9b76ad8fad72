"""Encoded tables, and what was fitted on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from ..project import UserError
from .lightgbm_import import lightgbm
from .model import Encoder, encode_target
from .types import Array, Estimator, Floats, Label


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


@dataclass(frozen=True)
class Fitted:
    """An estimator, the number of its trees (0 if it has none) and its validation history.

    `holdout_model` has not seen validation, so a threshold can be chosen there; None where none is.
    """

    estimator: Estimator
    trees: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    holdout_model: Estimator | None = None


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows that judge, fitted again and again with other parameters.

    `weights` are the class weights of `learning`.
    """

    train: Table
    valid: Table
    classes: int
    weights: tuple[float, ...]

    @cached_property
    def datasets(self) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        """Both for LightGBM, which bins them at the first fit and reuses that."""
        learning = lightgbm_dataset(self.train)
        return learning, lightgbm_dataset(self.valid, reference=learning)


def every_class(scores: Floats, fitted: Any, classes: int) -> Floats:
    """Scores with a column for each class, also one that the fit has not seen."""
    if scores.ndim == 1:
        return scores
    every = np.zeros((len(scores), classes))
    every[:, fitted.classes_] = scores
    return every


def find_classes(task: str, train: pl.Series, known: pl.Series) -> tuple[Label, ...]:
    """The classes of all known targets in order; none for regression.

    Raises UserError where the task does not fit them, or train holds one class only.
    """
    name, dtype = train.name, train.dtype
    if task == "regression":
        if not (dtype.is_numeric() or dtype == pl.Boolean):
            raise UserError(f"params.yaml: task: {name} is {dtype}; set binary or multiclass.")
        return ()
    if not (dtype.is_integer() or dtype in (pl.String, pl.Boolean)):
        raise UserError(
            f"params.yaml: task: {name} is {dtype}; classes are text, integers or booleans. Set "
            "regression, or cast TARGET in definitions.py."
        )
    classes = tuple(known.unique().sort().to_list())
    if train.n_unique() < 2:
        raise UserError(
            f"every row of train has {name} = {train[0]}, so there is nothing to learn; bring more "
            "rows, or split them otherwise (`prepare` in params.yaml)."
        )
    if task == "binary" and len(classes) > 2:
        raise UserError(
            f"params.yaml: task: {name} has {len(classes)} classes; set multiclass, or leave two "
            "of them in TARGET or KEEP_ROWS."
        )
    return classes


def balanced(target: pl.Series, classes: tuple[Label, ...]) -> tuple[float, ...]:
    """The weight of each class with which all of them count the same."""
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
    return Table(
        matrix, target, encoder.categorical, np.array(weights)[target] if weights else None
    )


def used_inputs(features: Sequence[pl.Expr], known: pl.Schema) -> pl.Schema:
    """The input columns that the features use; all of them where a feature is a selector."""
    roots = [feature.meta.root_names() for feature in features]
    used = {name for names in roots for name in names}
    return pl.Schema({n: d for n, d in known.items() if n in used or not all(roots)})


def lightgbm_dataset(table: Table, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """A table as LightGBM takes it."""
    return lightgbm.Dataset(
        table.matrix,
        table.target,
        reference=reference,
        weight=table.weights,
        categorical_feature=list(table.categorical),
    )
