"""The kinds of estimators: each is its section of params.yaml, and its fit.

Any estimator of scikit-learn needs no code: `train.model` is its import path. For another kind
write a subclass of `Kind`, give `Train` in params.py a field of that class, and params.yaml its
section below `train`. `fit` returns an estimator of mlops_loop.models.persistence, which has a
class for the files of each library. params.yaml is read often, so libraries are imported late.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from mlops_loop.config import Section
from mlops_loop.project import UserError, import_library

if TYPE_CHECKING:
    from mlops_loop.models.training import Fitted, Table
    from mlops_loop.models.types import Estimator

    from ..params import Params

LIGHTGBM = {"regression": "rmse", "binary": "binary_logloss", "multiclass": "multi_logloss"}
XGBOOST = {
    "regression": "reg:squarederror",
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
}
CATBOOST = {"regression": "RMSE", "binary": "Logloss", "multiclass": "MultiClass"}


class Kind(Section):
    """A kind of estimator with its parameters."""

    def fit(self, params: Params, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit `rows`, with as many trees as are given, or until `stop` no longer improves."""
        raise NotImplementedError

    def fit_holdout(self, params: Params, train: Table, validation: Table) -> Fitted:
        """Fit train alone, and find the number of trees."""
        return self.fit(params, train, validation)


class LightGBM(Kind):
    """Gradient boosting by LightGBM."""

    num_leaves: Annotated[int, Field(ge=2)]
    min_child_samples: Annotated[int, Field(ge=1)]
    early_stopping_rounds: Annotated[int, Field(ge=1)]
    folds: Annotated[int, Field(ge=2)] | None

    def fit(self, params: Params, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a booster, the same with any number of threads."""
        from mlops_loop.models import persistence, training

        lightgbm = import_library("lightgbm")
        options, data = self.options(params, rows), self.dataset(rows)
        if stop is None:
            booster = lightgbm.train(options, data, trees)
            return training.Fitted(persistence.LightGBM(booster), trees)
        history: dict[str, dict[str, list[float]]] = {}
        stopping = lightgbm.early_stopping(self.early_stopping_rounds, verbose=False)
        booster = lightgbm.train(
            options,
            data,
            params.train.max_trees,
            valid_sets=[self.dataset(stop, reference=data)],
            valid_names=["validation"],
            callbacks=[stopping, lightgbm.record_evaluation(history)],
        )
        estimator = persistence.LightGBM(booster)
        return training.Fitted(estimator, booster.best_iteration, history["validation"])

    def fit_holdout(self, params: Params, train: Table, validation: Table) -> Fitted:
        """Fit train alone; cross-validation finds the number of trees, if there are `folds`."""
        if not self.folds:
            return self.fit(params, train, validation)
        lightgbm, both = import_library("lightgbm"), train + validation
        options = self.options(params, both)
        found = lightgbm.cv(
            options,
            self.dataset(both),
            params.train.max_trees,
            nfold=min(self.folds, len(both.target)),
            stratified=False,  # a class may have fewer rows than there are folds
            seed=params.seed,
            callbacks=[lightgbm.early_stopping(self.early_stopping_rounds, verbose=False)],
        )
        losses = list(found[f"valid {options['metric']}-mean"])
        fitted = self.fit(params, train, trees=len(losses))
        return replace(fitted, history={options["metric"]: losses})

    def options(self, params: Params, rows: Table) -> dict[str, Any]:
        """LightGBM's parameters, the same on every machine except for the number of threads."""
        return {
            "objective": params.task,
            "metric": LIGHTGBM[params.task],
            "num_class": rows.classes if params.task == "multiclass" else 1,
            "learning_rate": params.train.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "num_threads": threads(params),
            "seed": params.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def dataset(self, rows: Table, reference: Any = None) -> Any:
        """Convert rows for LightGBM, binned like `reference`."""
        return import_library("lightgbm").Dataset(
            rows.matrix,
            rows.target,
            reference=reference,
            weight=rows.weights,
            categorical_feature=list(rows.categorical),
        )


class XGBoost(Kind):
    """Gradient boosting by XGBoost."""

    max_depth: Annotated[int, Field(ge=1)]
    min_child_weight: Annotated[float, Field(ge=0)]
    early_stopping_rounds: Annotated[int, Field(ge=1)]

    def fit(self, params: Params, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a booster on histograms."""
        from mlops_loop.models import persistence, training

        xgboost = import_library("xgboost")
        options = {
            "objective": XGBOOST[params.task],
            "learning_rate": params.train.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": self.min_child_weight,
            "nthread": threads(params),
            "seed": params.seed,
            "tree_method": "hist",
        }
        if params.task == "multiclass":
            options["num_class"] = rows.classes
        if stop is None:
            booster = xgboost.train(options, self.data(rows), trees)
            return training.Fitted(persistence.XGBoost(booster), trees)
        history: dict[str, dict[str, list[float]]] = {}
        stopping = xgboost.callback.EarlyStopping(rounds=self.early_stopping_rounds, save_best=True)
        booster = xgboost.train(
            options,
            self.data(rows),
            params.train.max_trees,
            evals=[(self.data(stop), "validation")],
            evals_result=history,
            callbacks=[stopping],
            verbose_eval=False,
        )
        estimator = persistence.XGBoost(booster)
        return training.Fitted(estimator, estimator.trees, history["validation"])

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
    l2_leaf_reg: Annotated[float, Field(ge=0)]
    early_stopping_rounds: Annotated[int, Field(ge=1)]

    def fit(self, params: Params, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a model, the same with any number of threads."""
        from mlops_loop.models import persistence, training

        catboost = import_library("catboost")
        options = {
            "loss_function": CATBOOST[params.task],
            "learning_rate": params.train.learning_rate,
            "iterations": trees or params.train.max_trees,
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "thread_count": threads(params),
            "random_seed": params.seed,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if params.task == "multiclass":
            options["classes_count"] = rows.classes
        stopping: dict[str, Any] = {}
        if stop is not None:
            pool = persistence.make_pool(stop.matrix, stop.categorical, stop.target, stop.weights)
            stopping = {"eval_set": pool, "early_stopping_rounds": self.early_stopping_rounds}
        pool = persistence.make_pool(rows.matrix, rows.categorical, rows.target, rows.weights)
        model = catboost.CatBoost(options).fit(pool, **stopping)
        history = model.get_evals_result().get("validation", {})
        return training.Fitted(persistence.CatBoost(model), model.tree_count_, history)


class ScikitLearn(Kind):
    """An estimator of scikit-learn."""

    def make(self, params: Params) -> Any:
        """Make the estimator, not yet fitted."""
        raise NotImplementedError

    def fit(self, params: Params, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit the estimator, behind an encoder if it takes no missing values."""
        from joblib import parallel_config
        from sklearn.pipeline import make_pipeline
        from sklearn.utils import get_tags
        from sklearn.utils.validation import has_fit_parameter
        from threadpoolctl import threadpool_limits

        from mlops_loop.models import persistence, training

        estimator = self.make(params)
        name, tags = type(estimator).__name__, get_tags(estimator).input_tags
        if estimator.get_params().get("random_state", 0) is None:
            estimator.set_params(random_state=params.seed)
        weights = {} if rows.weights is None else {"sample_weight": rows.weights}
        if weights and not has_fit_parameter(estimator, "sample_weight"):
            raise UserError(f"params.yaml: train.class_weight: {name} takes no weights; set null.")
        encoder = None if tags.allow_nan else make_encoder(rows, tags.sparse)
        jobs = parallel_config("threading", n_jobs=threads(params))
        try:
            # Rounding of sums depends on the number of threads; the model must not.
            with jobs, threadpool_limits(1, user_api="blas"):
                encoded = encoder.fit_transform(rows.matrix) if encoder else rows.matrix
                estimator.fit(encoded, rows.target, **weights)
        except (TypeError, ValueError) as error:
            raise UserError(f"params.yaml: train.model: {name}: {error}") from error
        fitted = persistence.ScikitLearn(
            make_pipeline(encoder, estimator) if encoder else estimator,
            rows.classes,
            tuple(getattr(self, "trusted_types", ())),
        )
        return training.Fitted(fitted, getattr(estimator, "n_estimators", 0))


class RandomForest(ScikitLearn):
    """A random forest."""

    trees: Annotated[int, Field(ge=1)]
    min_samples_leaf: Annotated[int, Field(ge=1)]

    def make(self, params: Params) -> Any:
        """Make a forest for the task."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestRegressor if params.task == "regression" else RandomForestClassifier
        return kind(n_estimators=self.trees, min_samples_leaf=self.min_samples_leaf)


class Linear(ScikitLearn):
    """Ridge or logistic regression."""

    alpha: Annotated[float, Field(ge=0)]

    def make(self, params: Params) -> Any:
        """Make a linear model for the task."""
        from sklearn.linear_model import LogisticRegression, Ridge

        if params.task == "regression":
            return Ridge(self.alpha)
        return LogisticRegression(C=1 / self.alpha if self.alpha else float("inf"), max_iter=1_000)


class ImportPath(ScikitLearn):
    """The estimator of scikit-learn whose import path is `train.model`."""

    arguments: dict[str, Any]
    trusted_types: list[str]

    def make(self, params: Params) -> Any:
        """Make the estimator; raises UserError where it does not exist or not suit the task."""
        from sklearn.base import is_classifier, is_regressor

        module, _, name = params.train.model.rpartition(".")
        where = f"params.yaml: train.model: {params.train.model}"
        try:
            made = getattr(import_module(module), name)(**self.arguments)
            if params.task == "regression":
                kind, is_able = "regressor", is_regressor(made)
            else:
                kind = "classifier with probabilities"
                is_able = is_classifier(made) and hasattr(made, "predict_proba")
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise UserError(f"{where}: {error}.") from error
        if not is_able:
            raise UserError(f"{where} is no {kind}, which the task {params.task} needs.")
        return made


def make_encoder(rows: Table, sparse: bool) -> Any:
    """Impute and scale numbers, one-hot encode categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [i for i in range(rows.matrix.shape[1]) if i not in rows.categorical]
    imputed = SimpleImputer(strategy="median", keep_empty_features=True)
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    return ColumnTransformer(
        [
            ("numeric", make_pipeline(imputed, StandardScaler()), numeric),
            ("text", categories, list(rows.categorical)),
        ]
    )


def threads(params: Params) -> int:
    """`train.threads`, else all cores but one: a fit on every core starves everything else."""
    return params.train.threads or max(1, (os.cpu_count() or 2) - 1)


def fit(params: Params, train: Table, validation: Table) -> tuple[Fitted, Fitted]:
    """Fit the model of `train.model` on train alone, then on train and validation together."""
    holdout = params.train.kind.fit_holdout(params, train, validation)
    return holdout, params.train.kind.fit(params, train + validation, trees=holdout.trees)


def fit_baseline(task: str, train: Table, validation: Table) -> Estimator:
    """Fit the baseline on the same rows as the candidate."""
    import numpy as np

    from mlops_loop.models.persistence import DummyModel

    target = (train + validation).target
    shares = np.bincount(target) / len(target) if task == "multiclass" else target.mean()
    return DummyModel(shares.tolist())
