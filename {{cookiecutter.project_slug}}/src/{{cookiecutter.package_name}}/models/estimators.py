"""Your kinds of estimators: each is its section of params.yaml, and its fit.

Any estimator of scikit-learn needs no code: `train.model` is its import path. For another kind
write a subclass of `ScikitLearn` or `Kind`, give `Train` in params.py a field of that class, and
params.yaml its section below `train`. `fit` returns an estimator of mlops_loop.models.persistence,
which has a class for each library's files. Libraries are imported late.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from mlops_loop.console import show_trees
from mlops_loop.models.kinds import Kind, ScikitLearn, Shared
from mlops_loop.project import import_library

if TYPE_CHECKING:
    from mlops_loop.models.training import Fitted, Table

LIGHTGBM = {"regression": "rmse", "binary": "binary_logloss", "multiclass": "multi_logloss"}


class LightGBM(Kind):
    """Gradient boosting by LightGBM."""

    num_leaves: Annotated[int, Field(ge=2)]
    min_child_samples: PositiveInt
    early_stopping_rounds: PositiveInt
    folds: Annotated[int, Field(ge=2)] | None
    linear_start: NonNegativeFloat | None
    parameters: dict[str, Any]

    def fit(self, shared: Shared, rows: Table, stop: Table | None = None, trees: int = 0) -> Fitted:
        """Fit a booster, the same with any number of threads."""
        from mlops_loop.models import persistence, training

        lightgbm, start, base = import_library("lightgbm"), None, shared.base
        if self.linear_start is not None:
            line = Linear(alpha=self.linear_start).fit(shared, rows).estimator
            start = persistence.Linear.within(line, rows.matrix)
        options, data = self.options(shared, rows), self.dataset(rows, start)
        if stop is None:
            booster = lightgbm.train(options, data, trees, init_model=base)
            return training.Fitted(persistence.LightGBM(booster, start), trees)
        history: dict[str, dict[str, list[float]]] = {}
        stopping = lightgbm.early_stopping(self.early_stopping_rounds, verbose=False)
        booster = lightgbm.train(
            options,
            data,
            shared.max_trees,
            valid_sets=[self.dataset(stop, start, reference=data)],
            valid_names=["validation"],
            init_model=base,
            callbacks=[stopping, lightgbm.record_evaluation(history), show_trees],
        )
        added = booster.best_iteration - (base.current_iteration() if base else 0)
        return training.Fitted(persistence.LightGBM(booster, start), added, history["validation"])

    def fit_holdout(self, shared: Shared, train: Table, validation: Table) -> Fitted:
        """Fit train alone; cross-validation finds the number of trees, if there are `folds`."""
        if not self.folds:
            return self.fit(shared, train, validation)
        metric, folds = LIGHTGBM[shared.task], (train + validation).folds(self.folds, shared.seed)
        histories = [self.fit(shared, *fold).history[metric] for fold in folds]
        losses = [sum(of_folds) / len(histories) for of_folds in zip(*histories, strict=False)]
        fitted = self.fit(shared, train, trees=losses.index(min(losses)) + 1)
        return replace(fitted, history={metric: losses})

    def options(self, shared: Shared, rows: Table) -> dict[str, Any]:
        """LightGBM's parameters, the same on every machine except for the number of threads."""
        return {
            "objective": shared.task,
            "metric": LIGHTGBM[shared.task],
            "num_class": rows.classes if shared.task == "multiclass" else 1,
            "learning_rate": shared.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "num_threads": shared.cores,
            "seed": shared.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            **self.parameters,
        }

    def dataset(self, rows: Table, start: Any, reference: Any = None) -> Any:
        """Convert rows for LightGBM, binned like `reference`, from the scores of `start` on."""
        return import_library("lightgbm").Dataset(
            rows.matrix,
            rows.target,
            reference=reference,
            weight=rows.weights,
            init_score=start and start.raw(rows.matrix).ravel(order="F"),
            categorical_feature=list(rows.categorical),
        )


class RandomForest(ScikitLearn):
    """A random forest."""

    trees: PositiveInt
    min_samples_leaf: PositiveInt

    def make(self, shared: Shared) -> Any:
        """Make a forest for the task."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        kind = RandomForestRegressor if shared.task == "regression" else RandomForestClassifier
        return kind(n_estimators=self.trees, min_samples_leaf=self.min_samples_leaf)


class Linear(ScikitLearn):
    """Ridge or logistic regression."""

    alpha: NonNegativeFloat

    def make(self, shared: Shared) -> Any:
        """Make a linear model for the task."""
        from sklearn.linear_model import LogisticRegression, Ridge

        if shared.task == "regression":
            return Ridge(self.alpha)
        return LogisticRegression(C=1 / self.alpha if self.alpha else float("inf"), max_iter=1_000)


def fit(kind: Kind, shared: Shared, train: Table, validation: Table) -> tuple[Fitted, Fitted]:
    """Fit a model on train alone, then on train and validation together."""
    holdout = kind.fit_holdout(shared, train, validation)
    return holdout, kind.fit(shared, train + validation, trees=holdout.trees)
