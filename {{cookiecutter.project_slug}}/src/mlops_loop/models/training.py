"""The inputs and results of a fit: encoded tables, folds, and models/ as `train` leaves it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from typing import Generic, TypeVar
from uuid import uuid4

import numpy as np
import polars as pl

from ..config import Section, Tune
from ..files import Content, replaced, write_json
from ..lineage import lineage
from ..project import Paths, UserError, load_settings
from .bootstrap import Bootstrap, Scoring
from .model import Encoder, Model, encode_target, load, model_hash
from .types import Array, Classes, Estimator, Floats

P = TypeVar("P", bound=Section)


@dataclass(frozen=True)
class Table:
    """Encoded features (rows x features, missing as NaN), target and, if any, row weights.

    Categories and classes are numbered from 0; `classes` is 0 for regression.
    """

    matrix: Floats
    target: Array
    categorical: tuple[int, ...]
    classes: int
    weights: Floats | None = None

    def __add__(self, other: "Table") -> "Table":
        weights = None
        if self.weights is not None and other.weights is not None:
            weights = np.concatenate([self.weights, other.weights])
        matrix = np.concatenate([self.matrix, other.matrix])
        target = np.concatenate([self.target, other.target])
        return replace(self, matrix=matrix, target=target, weights=weights)

    def __getitem__(self, rows: Array) -> "Table":
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, matrix=self.matrix[rows], target=self.target[rows], weights=weights)

    def folds(self, number: int, seed: int) -> "Iterator[tuple[Table, Table]]":
        """Yield the rows that learn, and those held out, of each of shuffled folds."""
        fold = np.random.default_rng(seed).permutation(len(self.target)) % number
        for each in np.unique(fold):
            yield self[fold != each], self[fold == each]


@dataclass(frozen=True)
class Fitted:
    """An estimator, the number of its trees (0 if it has none) and its validation history."""

    estimator: Estimator
    trees: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and others, and by what they are encoded; `weights` are of classes."""

    train: Table
    valid: Table
    encoder: Encoder
    classes: Classes
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Learner(Generic[P]):
    """The project's parameters, metrics and fit, for a search of parameters.

    `fit` fits a table, with the number of trees given or stopped by rows of validation.
    """

    params: P
    tune: Tune
    task: str
    seed: int
    model: str
    target: str
    group: str | None
    balanced: bool
    threshold: float | None
    scoring: Scoring
    bootstrap: Bootstrap
    fit: Callable[[P, Table, Table | None, int], Fitted]


def find_classes(task: str, train: pl.Series, known: pl.Series) -> Classes:
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
            f"is {train[0]} in every row of train, so there is nothing to learn; KEEP_ROWS may "
            "have dropped the others (reports/prepare.json), or split differently (`prepare`)"
        )
    elif task == "binary" and len(classes) > 2:
        problem = (
            f"has {len(classes)} classes; set multiclass, or keep two of them by TARGET or "
            "KEEP_ROWS in definitions.py"
        )
    else:
        return classes
    raise UserError(f"params.yaml: task: {train.name} {problem}.")


def balanced(target: pl.Series, classes: Classes) -> tuple[float, ...]:
    """The weight of each class with which all classes count the same."""
    # A fold may lack a class that the others have.
    counts = np.bincount(encode_target(target, classes), minlength=len(classes)).clip(1)
    return tuple((len(target) / (len(classes) * counts)).tolist())


def load_base(folder: Path) -> Model:
    """Load the model whose trees a fit continues; raises UserError where there is none."""
    if not folder.exists():
        raise UserError("params.yaml: train.base: models/base is not there; set null to fit anew.")
    return load(folder)


def table(
    frame: pl.DataFrame, encoder: Encoder, classes: Classes = (), weights: tuple[float, ...] = ()
) -> Table:
    """Encode a frame of features whose last column is the target."""
    matrix, target = encoder.encode(frame[:, :-1]), encode_target(frame[:, -1], classes)
    row_weights = np.array(weights)[target] if weights else None
    return Table(matrix, target, encoder.categorical, len(classes), row_weights)


def make_fold(
    train: pl.DataFrame,
    valid: pl.DataFrame,
    known: pl.Series,
    task: str,
    weighted: bool,
    base: Model | None = None,
) -> Fold:
    """Encode two frames whose last column is the target, by what `train` or a base knows.

    `known` are targets of every class. Raises UserError for a single class.
    """
    encoder = base.encoder if base else Encoder.fit(train[:, :-1])
    classes = find_classes(task, train[:, -1], known)
    weights = balanced(known, classes) if weighted else ()
    one, other = (table(frame, encoder, classes, weights) for frame in (train, valid))
    return Fold(one, other, encoder, classes, weights)


def used_inputs(features: Sequence[pl.Expr], known: pl.Schema) -> pl.Schema:
    """The input columns that the features use; all of them where a feature is a selector."""
    roots = [feature.meta.root_names() for feature in features]
    used = {name for names in roots for name in names}
    return pl.Schema({n: d for n, d in known.items() if n in used or not all(roots)})


def write_training(
    paths: Paths,
    params: Section,
    started: float,
    candidate: Model,
    baseline: Model,
    held_out: pl.DataFrame,
    report: Content,
) -> None:
    """Save the models, their held-out predictions and report; models/run.json is written last."""
    with replaced(paths.candidate) as one, replaced(paths.baseline) as other:
        candidate.save(one)
        baseline.save(other)
    with replaced(paths.out_of_fold) as temporary:
        held_out.write_parquet(temporary)
    write_json(paths.training, report)
    record = {
        "training_id": uuid4().hex,
        "started": round(started * 1_000),
        "ended": round(time() * 1_000),
        "model_hash": model_hash(paths.candidate),
        "lineage": lineage(paths, load_settings(paths), params),
    }
    write_json(paths.run, record)
