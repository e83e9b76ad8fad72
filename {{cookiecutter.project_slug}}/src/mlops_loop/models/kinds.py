"""Kinds of estimators: each is its section of params.yaml, and its fit.

params.yaml is read often, so libraries are imported late.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from ..config import Section
from ..project import UserError, import_library

if TYPE_CHECKING:
    from .persistence import Linear
    from .training import Fitted, Table

XGBOOST = {
    "regression": "reg:squarederror",
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
}
CATBOOST = {"regression": "RMSE", "binary": "Logloss", "multiclass": "MultiClass"}


@dataclass(frozen=True)
class Shared:
    """Shared parameters; `threads` of 0 are all cores but one, `base` is a booster to continue."""

    task: str
    seed: int
    model: str
    max_trees: int
    learning_rate: float
    threads: int
    impute: str
    base: Any = None

    @property
    def cores(self) -> int:
        """The number of threads: a fit on every core starves everything else."""
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


class Kind(Section):
    """A kind of estimator with its parameters."""

    def fit(self, shared: Shared, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit `rows`, with as many trees as are given, or until `stop` no longer improves."""
        raise NotImplementedError

    def fit_holdout(self, shared: Shared, train: Table, validation: Table) -> Fitted:
        """Fit train alone, and find the number of trees."""
        return self.fit(shared, train, validation)


class ScikitLearn(Kind):
    """An estimator of scikit-learn."""

    def make(self, shared: Shared) -> Any:
        """Make the estimator, not yet fitted."""
        raise NotImplementedError

    def fit(self, shared: Shared, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit the estimator, behind an encoder if it takes no missing values."""
        import numpy as np
        from joblib import parallel_config
        from sklearn.pipeline import make_pipeline
        from sklearn.utils import get_tags
        from sklearn.utils.validation import has_fit_parameter
        from threadpoolctl import threadpool_limits

        from . import persistence, training

        estimator = self.make(shared)
        name, tags = type(estimator).__name__, get_tags(estimator).input_tags
        if estimator.get_params().get("random_state", 0) is None:
            estimator.set_params(random_state=shared.seed)
        weights = {} if rows.weights is None else {"sample_weight": rows.weights}
        if weights and not has_fit_parameter(estimator, "sample_weight"):
            raise UserError(f"params.yaml: train.class_weight: {name} takes no weights; set null.")
        encoder = None if tags.allow_nan else make_encoder(rows, tags.sparse, shared.impute)
        jobs = parallel_config("threading", n_jobs=shared.cores)
        try:
            # Rounding of sums depends on the number of threads; the model must not.
            with jobs, threadpool_limits(1, user_api="blas"):
                encoded = encoder.fit_transform(rows.matrix) if encoder else rows.matrix
                estimator.fit(encoded, rows.target, **weights)
        except (TypeError, ValueError) as error:
            raise UserError(f"params.yaml: train.model: {name}: {error}") from error
        expected = rows.classes if shared.task == "multiclass" else 1
        # A fit on few rows may have seen fewer classes.
        if name in ("Ridge", "LogisticRegression") and np.size(estimator.intercept_) == expected:
            return training.Fitted(to_linear(shared.task, encoder, estimator))
        fitted = persistence.ScikitLearn(
            make_pipeline(encoder, estimator) if encoder else estimator,
            rows.classes,
            tuple(getattr(self, "trusted_types", ())),
        )
        return training.Fitted(fitted, getattr(estimator, "n_estimators", 0))


class ImportPath(ScikitLearn):
    """The estimator of scikit-learn whose import path is `train.model`."""

    arguments: dict[str, Any]
    trusted_types: list[str]

    def make(self, shared: Shared) -> Any:
        """Make the estimator; raises UserError where it does not exist or not suit the task."""
        from sklearn.base import is_classifier, is_regressor

        module, _, name = shared.model.rpartition(".")
        where = f"params.yaml: train.model: {shared.model}"
        try:
            made = getattr(import_module(module), name)(**self.arguments)
            if shared.task == "regression":
                kind, is_able = "regressor", is_regressor(made)
            else:
                kind = "classifier with probabilities"
                is_able = is_classifier(made) and hasattr(made, "predict_proba")
        except TypeError as error:
            raise UserError(f"params.yaml: train.sklearn.arguments: {error}.") from error
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"{where}: {error}.") from error
        if not is_able:
            raise UserError(f"{where} is no {kind}, which the task {shared.task} needs.")
        return made


class XGBoost(Kind):
    """Gradient boosting by XGBoost."""

    max_depth: PositiveInt
    min_child_weight: NonNegativeFloat
    early_stopping_rounds: PositiveInt

    def fit(self, shared: Shared, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a booster on histograms."""
        from . import persistence, training

        xgboost = import_library("xgboost")
        options = {
            "objective": XGBOOST[shared.task],
            "learning_rate": shared.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "nthread": shared.cores,
            "seed": shared.seed,
            "tree_method": "hist",
            "max_cat_to_onehot": 1_000,  # sets of rare categories are learnt by heart
        }
        if shared.task == "multiclass":
            options["num_class"] = rows.classes
        history: dict[str, dict[str, list[float]]] = {}
        stopping = xgboost.callback.EarlyStopping(rounds=self.early_stopping_rounds, save_best=True)
        booster = xgboost.train(
            options,
            self.data(rows),
            trees or shared.max_trees,
            evals=[(self.data(stop), "validation")] if stop else [],
            evals_result=history,
            callbacks=[stopping] if stop else [],
            verbose_eval=False,
        )
        estimator = persistence.XGBoost(booster)
        return training.Fitted(estimator, estimator.trees, history.get("validation", {}))

    def data(self, rows: Table) -> Any:
        """Convert rows for XGBoost."""
        width = rows.matrix.shape[1]
        return import_library("xgboost").DMatrix(
            rows.matrix,
            rows.target,
            weight=rows.weights,
            feature_types=["c" if i in rows.categorical else "q" for i in range(width)],
            enable_categorical=True,
        )


class CatBoost(Kind):
    """Gradient boosting by CatBoost."""

    depth: Annotated[int, Field(ge=1, le=16)]
    l2_leaf_reg: NonNegativeFloat
    early_stopping_rounds: PositiveInt

    def fit(self, shared: Shared, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a model, the same with any number of threads."""
        from . import persistence, training

        catboost = import_library("catboost")
        options = {
            "loss_function": CATBOOST[shared.task],
            "learning_rate": shared.learning_rate,
            "iterations": trees or shared.max_trees,
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "thread_count": shared.cores,
            "random_seed": shared.seed,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if shared.task == "multiclass":
            options["classes_count"] = rows.classes
        pool, other = (
            each and persistence.make_pool(each.matrix, each.categorical, each.target, each.weights)
            for each in (rows, stop)
        )
        model = catboost.CatBoost(options).fit(
            pool, eval_set=other, early_stopping_rounds=self.early_stopping_rounds if stop else None
        )
        history = model.get_evals_result().get("validation", {})
        return training.Fitted(persistence.CatBoost(model), model.tree_count_, history)


def to_linear(task: str, encoder: Any, model: Any) -> Linear:
    """Convert a linear model of scikit-learn and the encoder of `make_encoder` before it."""
    import numpy as np

    from .persistence import Linear, as_codes

    weights, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    (_, scaling, numbers), (_, one_hot, text) = encoder.transformers_[:2]
    scaled, fill, tables, place = weights[:, : len(numbers)], np.empty(0), [], len(numbers)
    if numbers:
        fill, scaled = scaling[0].statistics_, scaled / scaling[1].scale_
        intercept = intercept + scaled @ (fill - scaling[1].mean_)
    for codes in one_hot.categories_ if text else ():
        table = np.zeros((int(np.nanmax([-1, *codes])) + 2, len(weights)))
        table[as_codes(codes, len(table))] = weights[:, place : place + len(codes)].T
        tables.append(table)
        place += len(codes)
    found = {"task": task, "intercept": intercept, "numbers": numbers, "text": text, "fill": fill}
    return Linear(found | {"limits": None, "weights": scaled.T, "tables": tables})


def make_encoder(rows: Table, sparse: bool, impute: str) -> Any:
    """Impute and scale numbers, one-hot encode categories, of which a missing one is one."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [i for i in range(rows.matrix.shape[1]) if i not in rows.categorical]
    imputed = SimpleImputer(strategy=impute, keep_empty_features=True)
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    return ColumnTransformer(
        [
            ("numeric", make_pipeline(imputed, StandardScaler()), numeric),
            ("text", categories, list(rows.categorical)),
        ]
    )
