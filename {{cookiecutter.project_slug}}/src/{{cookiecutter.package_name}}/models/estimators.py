"""The estimators behind `train.model`: fitting them, and files of them that run no code on load."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# Waiting threads that spin make a fit many times slower on a machine that is busy otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import lightgbm
import numpy as np
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..errors import UserError
from ..params import Train
from .model import Floats

BOOSTER, SKLEARN = "booster.txt", "estimator.skops"
OBJECTIVES = {"regression": ("regression", "rmse")}
# Everything that a file of ours may hold beyond what skops trusts by itself.
TRUSTED_TYPES = ["numpy.dtype", "sklearn.tree._tree.Tree"]


class Estimator(Protocol):
    """What LightGBM's Booster and scikit-learn's estimators have in common."""

    def predict(self, matrix: Floats, /) -> Any:
        """Predict each row of a matrix (rows x features)."""


@dataclass(frozen=True)
class Table:
    """Encoded features (rows x features, missing as NaN) and the target."""

    matrix: Floats
    target: Floats
    names: tuple[str, ...]
    categorical: tuple[int, ...]

    def __add__(self, other: "Table") -> "Table":
        return Table(
            np.concatenate([self.matrix, other.matrix]),
            np.concatenate([self.target, other.target]),
            self.names,
            self.categorical,
        )


@dataclass(frozen=True)
class Fitted:
    """An estimator, the number of its trees (0 if it has none) and its validation history."""

    estimator: Estimator
    trees: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)


def fit(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Fit the model that `train.model` names, on train and validation together in the end."""
    if params.model == "lightgbm":
        return _fit_lightgbm(task, params, seed, train, validation)
    if params.model == "random_forest":
        forest = _forest(params, seed).fit((train + validation).matrix, (train + validation).target)
        return Fitted(forest, trees=params.max_trees)
    table = train + validation
    return Fitted(_linear(params, table).fit(table.matrix, table.target))


def fit_baseline(train: Table, validation: Table) -> Fitted:
    """Fit what any model must beat: the mean of the target, whatever the features."""
    table = train + validation
    return Fitted(DummyRegressor(strategy="mean").fit(table.matrix, table.target))


def _fit_lightgbm(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Find the number of trees by early stopping, then fit again on train and validation."""
    objective, metric = OBJECTIVES[task]
    options = {
        "objective": objective,
        "metric": metric,
        "learning_rate": params.learning_rate,
        "num_leaves": params.lightgbm.num_leaves,
        "min_child_samples": params.lightgbm.min_child_samples,
        "num_threads": params.threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    history: dict[str, dict[str, list[float]]] = {}
    stopping = lightgbm.early_stopping(params.lightgbm.early_stopping_rounds, verbose=False)
    learning = _dataset(train)
    first = lightgbm.train(
        options,
        learning,
        num_boost_round=params.max_trees,
        valid_sets=[_dataset(validation, reference=learning)],
        valid_names=["validation"],
        callbacks=[stopping, lightgbm.record_evaluation(history)],
    )
    trees = first.best_iteration
    final = lightgbm.train(options, _dataset(train + validation), num_boost_round=trees)
    return Fitted(final, trees, history["validation"])


def _dataset(table: Table, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        table.matrix,
        table.target,
        reference=reference,
        feature_name=list(table.names),
        categorical_feature=list(table.categorical),
    )


def _forest(params: Train, seed: int) -> RandomForestRegressor:
    return RandomForestRegressor(
        n_estimators=params.max_trees,
        min_samples_leaf=params.random_forest.min_samples_leaf,
        n_jobs=params.threads or -1,
        random_state=seed,
    )


def _linear(params: Train, table: Table) -> Pipeline:
    categorical = list(table.categorical)
    numeric = [i for i in range(len(table.names)) if i not in table.categorical]
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numeric", scaled, numeric), ("text", encoded, categorical)])
    return make_pipeline(columns, Ridge(alpha=params.linear.alpha))


def save(estimator: Any, folder: Path) -> None:
    """Write LightGBM's own text, or skops for scikit-learn."""
    if isinstance(estimator, lightgbm.Booster):
        estimator.save_model(folder / BOOSTER)
    else:
        skops.io.dump(estimator, folder / SKLEARN)


def load(folder: Path) -> Estimator:
    """Read what `save` wrote; raises UserError for a file that holds a type we never write."""
    if (folder / BOOSTER).exists():
        return lightgbm.Booster(model_file=folder / BOOSTER)
    path = folder / SKLEARN
    unknown = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
    if unknown:
        raise UserError(f"{path}: holds types that no model of ours has: {sorted(unknown)}.")
    estimator: Estimator = skops.io.load(path, trusted=TRUSTED_TYPES)
    return estimator
