"""The estimators behind `train.model`: fitting them, and files of them that run no code on load."""

import os
import re
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..files import read_json, write_json
from ..params import Train
from .boosting import lightgbm
from .model import Array, Floats, raw_scores

BOOSTER, CONSTANT = "booster.txt", "constant.json"
OBJECTIVES = {
    "regression": ("regression", "rmse"),
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
}


class Estimator(Protocol):
    """What LightGBM's Booster, scikit-learn's estimators and the baseline have in common."""

    def predict(self, matrix: Floats, /) -> Any:
        """Predict each row of a matrix (rows x features)."""


@dataclass(frozen=True)
class Constant:
    """The baseline: the target's mean, or the shares of its classes, whatever the features.

    Any model must beat it.
    """

    value: float | list[float]

    def predict(self, matrix: Floats, /) -> Floats:
        """The same for each row."""
        return np.full((len(matrix), *np.shape(self.value)), self.value)


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

    `first` has not seen validation, so a threshold can be chosen there; None where none is.
    """

    estimator: Estimator
    trees: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    first: Estimator | None = None


def fit(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Fit the model that `train.model` names, on train and validation together in the end."""
    if params.model == "lightgbm":
        return _fit_lightgbm(task, params, seed, train, validation)
    from . import classical

    learn = partial(classical.fit, task, params, threads(params), seed, train)
    chooses = task == "binary" and params.threshold is None
    return Fitted(
        learn(train + validation),
        params.random_forest.trees if params.model == "random_forest" else 0,
        first=learn(train) if chooses else None,
    )


def fit_baseline(task: str, train: Table, validation: Table) -> Fitted:
    """Fit the baseline on the same rows as the candidate."""
    target = (train + validation).target
    if task == "multiclass":
        return Fitted(Constant((np.bincount(target) / len(target)).tolist()))
    return Fitted(Constant(float(target.mean())))


def threads(params: Train) -> int:
    """All cores but one, unless params.yaml says how many: a fit on every core starves the rest."""
    return params.threads or max(1, (os.cpu_count() or 2) - 1)


def _fit_lightgbm(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Find the number of trees by early stopping, then fit again on train and validation."""
    both = train + validation
    options = _options(task, params, seed, int(both.target.max()) + 1)
    if params.lightgbm.folds:
        losses = _cross_validate(options, params, both)
        trees = len(losses)
        first = lightgbm.train(options, _dataset(train), num_boost_round=trees)
    else:
        first, losses = _hold_out(options, params, train, validation)
        trees = first.best_iteration
    final = lightgbm.train(options, _dataset(both), num_boost_round=trees)
    return Fitted(final, trees, {options["metric"]: losses}, first)


def _options(task: str, params: Train, seed: int, classes: int) -> dict[str, Any]:
    objective, metric = OBJECTIVES[task]
    return {
        "objective": objective,
        "metric": metric,
        "num_class": classes if task == "multiclass" else 1,
        "learning_rate": params.learning_rate,
        "num_leaves": params.lightgbm.num_leaves,
        "min_child_samples": params.lightgbm.min_child_samples,
        "num_threads": threads(params),
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows that judge, fitted again and again with other parameters.

    `weights` are the class weights of `learning`.
    """

    learning: Table
    judging: Table
    classes: int
    weights: tuple[float, ...]

    @cached_property
    def datasets(self) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
        """Both for LightGBM, which bins them at the first fit and reuses that."""
        learning = _dataset(self.learning)
        return learning, _dataset(self.judging, reference=learning)


def fit_fold(task: str, params: Train, seed: int, fold: Fold) -> tuple[Floats, int]:
    """Raw scores of the rows that judge, and the number of trees (0 if there are none).

    The same rows stop the trees and judge them, which flatters every parameter set alike.
    """
    if params.model != "lightgbm":
        return fit_trees(task, params, seed, fold, 0), 0
    learning, judging = fold.datasets
    fitted = lightgbm.train(
        _fold_options(task, params, seed, fold),
        learning,
        num_boost_round=params.max_trees,
        valid_sets=[judging],
        callbacks=[_stopping(params)],
    )
    return raw_scores(task, fitted, fold.judging.matrix), fitted.best_iteration


def fit_trees(task: str, params: Train, seed: int, fold: Fold, trees: int) -> Floats:
    """Raw scores of the rows that judge, by a fit with this many trees that has not seen them."""
    if params.model != "lightgbm":
        from . import classical

        fitted = classical.fit(task, params, threads(params), seed, fold.learning, fold.learning)
        return _every_class(raw_scores(task, fitted, fold.judging.matrix), fitted, fold.classes)
    options = _fold_options(task, params, seed, fold)
    fitted = lightgbm.train(options, fold.datasets[0], num_boost_round=trees)
    return raw_scores(task, fitted, fold.judging.matrix)


def _fold_options(task: str, params: Train, seed: int, fold: Fold) -> dict[str, Any]:
    # Binned rows serve any min_child_samples only if no feature was left out for one of them.
    return {**_options(task, params, seed, fold.classes), "feature_pre_filter": False}


def _every_class(scores: Floats, fitted: Any, classes: int) -> Floats:
    """Scores with a column for each class, also one that the fit has not seen."""
    if scores.ndim == 1:
        return scores
    every = np.zeros((len(scores), classes))
    every[:, fitted.classes_] = scores
    return every


def _hold_out(
    options: dict[str, Any], params: Train, train: Table, validation: Table
) -> tuple[lightgbm.Booster, list[float]]:
    """Fit on train until validation no longer improves; also returns the loss after each tree."""
    history: dict[str, dict[str, list[float]]] = {}
    learning = _dataset(train)
    first = lightgbm.train(
        options,
        learning,
        num_boost_round=params.max_trees,
        valid_sets=[_dataset(validation, reference=learning)],
        valid_names=["validation"],
        callbacks=[_stopping(params), lightgbm.record_evaluation(history)],
    )
    return first, history["validation"][options["metric"]]


def _cross_validate(options: dict[str, Any], params: Train, table: Table) -> list[float]:
    """The mean loss of the folds after each tree, up to the best number of trees."""
    found: dict[str, Any] = lightgbm.cv(
        options,
        _dataset(table),
        num_boost_round=params.max_trees,
        nfold=min(params.lightgbm.folds or 0, len(table.target)),
        stratified=False,  # a class may have fewer rows than there are folds
        seed=options["seed"],
        callbacks=[_stopping(params)],
    )
    return list(found[f"valid {options['metric']}-mean"])


def _stopping(params: Train) -> Any:
    return lightgbm.early_stopping(params.lightgbm.early_stopping_rounds, verbose=False)


def _dataset(table: Table, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        table.matrix,
        table.target,
        reference=reference,
        weight=table.weights,
        categorical_feature=list(table.categorical),
    )


def save(estimator: Estimator, folder: Path) -> None:
    """Write LightGBM's own text, JSON for the baseline, or skops for scikit-learn."""
    if isinstance(estimator, lightgbm.Booster):
        # The trees are the same with any number of threads, which the text would name.
        text = re.sub(r"\[num_threads: \d+\]", "[num_threads: 0]", estimator.model_to_string())
        (folder / BOOSTER).write_text(text, encoding="utf-8")
    elif isinstance(estimator, Constant):
        write_json(folder / CONSTANT, estimator.value)
    else:
        from . import classical

        classical.save(estimator, folder)


def load(folder: Path) -> Estimator:
    """Read what `save` wrote; raises UserError for a file that holds a type we never write."""
    if (folder / BOOSTER).exists():
        return lightgbm.Booster(model_file=folder / BOOSTER)
    if (folder / CONSTANT).exists():
        return Constant(read_json(folder / CONSTANT))
    from . import classical

    return classical.load(folder)
