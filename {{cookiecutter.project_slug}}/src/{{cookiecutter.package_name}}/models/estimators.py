"""The estimators of `train.model`: add one as a branch of `fit`, `fit_fold` and `fit_trees`.

mlops_loop.models.persistence writes and reads their files.
"""

import os
from typing import Any

import numpy as np

from mlops_loop.models.dataset import Fitted, Fold, Table
from mlops_loop.models.learner import Learner
from mlops_loop.models.model import raw_scores
from mlops_loop.models.persistence import DummyModel, import_lightgbm
from mlops_loop.models.types import Estimator, Floats

from ..features.definitions import TARGET
from ..params import Params, Train
from .metrics import judging

OBJECTIVES = {
    "regression": ("regression", "rmse"),
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
}


def fit(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Fit the model of `train.model`, in the end on train and validation together."""
    if params.model == "lightgbm":
        return fit_lightgbm(task, params, seed, train, validation)
    trees = params.random_forest.trees if params.model == "random_forest" else 0
    return Fitted(fit_sklearn(task, params, seed, train, train + validation), trees)


def fit_baseline(task: str, train: Table, validation: Table) -> Fitted:
    """Fit the baseline on the same rows as the candidate."""
    target = (train + validation).target
    shares = np.bincount(target) / len(target) if task == "multiclass" else target.mean()
    return Fitted(DummyModel(shares.tolist()))


def fit_lightgbm(task: str, params: Train, seed: int, train: Table, validation: Table) -> Fitted:
    """Find the number of trees by early stopping, then refit on train and validation."""
    lightgbm, both = import_lightgbm(), train + validation
    options = lightgbm_options(task, params, seed, int(both.target.max()) + 1)
    stopping = lightgbm.early_stopping(params.lightgbm.early_stopping_rounds, verbose=False)
    if params.lightgbm.folds:
        found: dict[str, Any] = lightgbm.cv(
            options,
            both.to_lightgbm(),
            num_boost_round=params.max_trees,
            nfold=min(params.lightgbm.folds, len(both.target)),
            stratified=False,  # a class may have fewer rows than there are folds
            seed=seed,
            callbacks=[stopping],
        )
        losses = list(found[f"valid {options['metric']}-mean"])
        trees = len(losses)
        holdout = lightgbm.train(options, train.to_lightgbm(), num_boost_round=trees)
    else:
        history: dict[str, dict[str, list[float]]] = {}
        dataset = train.to_lightgbm()
        holdout = lightgbm.train(
            options,
            dataset,
            num_boost_round=params.max_trees,
            valid_sets=[validation.to_lightgbm(reference=dataset)],
            valid_names=["validation"],
            callbacks=[stopping, lightgbm.record_evaluation(history)],
        )
        losses, trees = history["validation"][options["metric"]], holdout.best_iteration
    final = lightgbm.train(options, both.to_lightgbm(), num_boost_round=trees)
    return Fitted(final, trees, {options["metric"]: losses}, holdout)


def lightgbm_options(task: str, params: Train, seed: int, classes: int) -> dict[str, Any]:
    """LightGBM's parameters, the same on every machine except for the number of threads."""
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


def threads(params: Train) -> int:
    """`train.threads`, else all cores but one: a fit on every core starves everything else."""
    return params.threads or max(1, (os.cpu_count() or 2) - 1)


def fit_sklearn(task: str, params: Train, seed: int, train: Table, rows: Table) -> Estimator:
    """Fit a forest or linear model on `rows`; scaling and one-hot encoding on `train` only."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from threadpoolctl import threadpool_limits

    # Rounding of sums depends on the number of threads; the model must not.
    with threadpool_limits(1, user_api="blas"):
        if params.model == "random_forest":
            kind = RandomForestRegressor if task == "regression" else RandomForestClassifier
            forest = kind(
                n_estimators=params.random_forest.trees,
                min_samples_leaf=params.random_forest.min_samples_leaf,
                n_jobs=threads(params),
                random_state=seed,
            )
            forest.fit(rows.matrix, rows.target, sample_weight=rows.weights)
            # Trees are the same with any number of threads, the order of their sum is not.
            fitted: Estimator = forest.set_params(n_jobs=None)
            return fitted
        numeric = [i for i in range(train.matrix.shape[1]) if i not in train.categorical]
        imputed = SimpleImputer(strategy="median", keep_empty_features=True)
        columns = ColumnTransformer(
            [
                ("numeric", make_pipeline(imputed, StandardScaler()), numeric),
                ("text", OneHotEncoder(handle_unknown="ignore"), list(train.categorical)),
            ]
        ).fit(train.matrix)
        alpha = params.linear.alpha
        logistic = LogisticRegression(C=1 / alpha if alpha else np.inf, max_iter=1_000)
        linear = Ridge(alpha) if task == "regression" else logistic
        linear.fit(columns.transform(rows.matrix), rows.target, sample_weight=rows.weights)
        pipeline: Estimator = make_pipeline(columns, linear)
        return pipeline


def fit_fold(params: Params, fold: Fold) -> tuple[Floats, int]:
    """Raw scores of a fold's validation rows, and the number of trees (0 if there are none).

    The same rows stop the trees and score them, which flatters every parameter set alike.
    """
    if params.train.model != "lightgbm":
        return fit_trees(params, fold, 0), 0
    lightgbm, (train, valid) = import_lightgbm(), fold.datasets
    rounds = params.train.lightgbm.early_stopping_rounds
    fitted = lightgbm.train(
        fold_options(params, fold),
        train,
        num_boost_round=params.train.max_trees,
        valid_sets=[valid],
        callbacks=[lightgbm.early_stopping(rounds, verbose=False)],
    )
    return raw_scores(params.task, fitted, fold.valid.matrix), fitted.best_iteration


def fit_trees(params: Params, fold: Fold, trees: int) -> Floats:
    """Raw scores of a fold's validation rows, by a fit of `trees` trees that has not seen them."""
    task, rows = params.task, fold.train
    if params.train.model == "lightgbm":
        options = fold_options(params, fold)
        fitted = import_lightgbm().train(options, fold.datasets[0], num_boost_round=trees)
        return raw_scores(task, fitted, fold.valid.matrix)
    estimator: Any = fit_sklearn(task, params.train, params.seed, rows, rows)
    scores = raw_scores(task, estimator, fold.valid.matrix)
    return scores if scores.ndim == 1 else fold.align(scores, estimator.classes_)


def fold_options(params: Params, fold: Fold) -> dict[str, Any]:
    """LightGBM's parameters for a fold, whose binned rows serve any `min_child_samples`."""
    options = lightgbm_options(params.task, params.train, params.seed, fold.classes)
    return {**options, "feature_pre_filter": False}


def learner(params: Params) -> Learner[Params]:
    """Everything that `make tune` needs of the project."""
    judged_by = judging(params, params.evaluate)
    return Learner(
        params,
        params.tune,
        params.task,
        params.seed,
        params.train.model,
        target=TARGET.meta.output_name(),
        group=params.prepare.group,
        balanced=params.train.class_weight is not None,
        threshold=params.train.threshold,
        scoring=judged_by.scoring,
        bootstrap=judged_by.bootstrap,
        fit_fold=fit_fold,
        fit_trees=fit_trees,
    )
