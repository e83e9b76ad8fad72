"""Why a model answers as it does: contributions, importance and dependence of its features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from .bootstrap import Scoring, outcome
from .model import Model
from .slices import sample
from .types import Array, Floats

PERMUTED_ROWS, LEAST_PERMUTED_ROWS, PERMUTED_CELLS = 2_000, 200, 200_000

# Rows times trees that TreeSHAP explains in less than a second, and the rows that are enough.
ROWS_AND_TREES, MOST_ROWS, LEAST_ROWS = 16_000, 500, 100
DEPENDENT_ROWS, DEPENDENT, GRID, CATEGORIES = 200, 6, 20, 10


def has_trees(model: Model) -> bool:
    """Whether the model is LightGBM's, which divides its own answers among the features."""
    return hasattr(model.estimator, "num_trees")


def is_additive(model: Model) -> bool:
    """Whether its answers can be divided exactly among its features: a forest's cannot."""
    return has_trees(model) or hasattr(model.estimator, "steps")


def unit(model: Model) -> str:
    """What contributions are measured in."""
    if model.task == "binary":
        return f"log-odds of {model.classes[1]}"
    return "score of the answer" if model.classes else model.target


def contributions(model: Model, matrix: Floats) -> Floats:
    """What each feature adds to the raw score of each row; the last column is the base value.

    Exact TreeSHAP (Lundberg et al., 2020) or a linear model's terms: a row adds up to the value, to
    the log-odds of the second class, or to the answered class's score before softmax; class weights
    are in these.
    """
    width = len(model.encoder.names) + 1
    if not len(matrix):
        return np.empty((0, width))
    estimator: Any = model.estimator
    if has_trees(model):
        values = np.asarray(estimator.predict(matrix, pred_contrib=True))
    else:
        from . import linear_terms

        values = linear_terms.contributions(estimator, matrix)
    values = values.reshape(len(matrix), -1, width)
    if model.task != "multiclass":
        return values[:, 0]
    return values[np.arange(len(matrix)), model.decide(model.score_matrix(matrix))]


def explanation(
    test: pl.DataFrame, model: Model, scoring: Scoring, seed: int, values: Floats | None = None
) -> dict[str, Any]:
    """The content of reports/explanations.json, from features and target of the test rows.

    `values` are contributions that are known already.
    """
    if has_trees(model):
        if values is None:
            some = test[affordable(test.height, model, ROWS_AND_TREES, MOST_ROWS, seed)]
            values = contributions(model, model.encoder.encode(some))
        found = by_contributions(model, values)
    else:
        found = by_shuffling(test, model, scoring, seed)
    importance = dict(sorted(found["importance"].items(), key=lambda item: -item[1]))
    matrix = model.encoder.encode(test[sample(test.height, DEPENDENT_ROWS, seed)])
    curves = dependence(model, matrix, list(importance)[:DEPENDENT])
    return {**found, "importance": importance, "dependence": curves}


def affordable(height: int, model: Model, effort: int, most: int, seed: int) -> Array:
    """The numbers of as many rows as TreeSHAP can explain with this effort."""
    booster: Any = model.estimator
    rows = max(LEAST_ROWS, effort // max(booster.num_trees(), 1))
    return sample(height, min(most, rows), seed)


def by_contributions(model: Model, values: Floats) -> dict[str, Any]:
    """Importance as the mean size of a feature's contributions."""
    means = np.abs(values[:, :-1]).mean(axis=0).tolist()
    importance = dict(zip(model.encoder.names, means, strict=True))
    return {
        "method": "TreeSHAP",
        "rows": len(values),
        "unit": unit(model),
        "importance": importance,
    }


def by_shuffling(test: pl.DataFrame, model: Model, scoring: Scoring, seed: int) -> dict[str, Any]:
    """Importance as the rise of the primary metric when a feature is shuffled."""
    most = max(PERMUTED_CELLS // len(model.encoder.names), LEAST_PERMUTED_ROWS)
    rows = test[sample(test.height, min(most, PERMUTED_ROWS), seed)]
    actual = rows[model.target]

    def loss_of(matrix: Floats) -> float:
        return scoring.loss(outcome(model, actual, model.score_matrix(matrix)))

    importance = shuffled(loss_of, model.encoder.encode(rows), model.encoder.names, seed)
    return {
        "method": "permutation",
        "rows": rows.height,
        "unit": f"rise of {scoring.primary}",
        "importance": importance,
    }


def shuffled(
    loss: Callable[[Floats], float], matrix: Floats, names: tuple[str, ...], seed: int
) -> dict[str, float]:
    """Rise of `loss` when one column is shuffled (Breiman, 2001)."""
    rng, moved = np.random.default_rng(seed), matrix.copy()
    before = loss(matrix)
    importance = {}
    for position, name in enumerate(names):
        moved[:, position] = rng.permutation(matrix[:, position])
        importance[name] = loss(moved) - before
        moved[:, position] = matrix[:, position]
    return importance


def dependence(model: Model, matrix: Floats, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Partial dependence (Friedman, 2001): the mean score of all rows if they had the same value
    of a feature, for each of its usual values."""
    curves = {}
    for name in names:
        position = model.encoder.names.index(name)
        values, grid = _usual(matrix[:, position], model.encoder.categories.get(name))
        if values:
            moved = np.repeat(matrix[None], len(grid), axis=0)
            moved[:, :, position] = grid[:, None]
            scores = model.score_matrix(moved.reshape(-1, matrix.shape[1]))
            means = scores.reshape(len(grid), len(matrix), *scores.shape[1:]).mean(axis=1)
            curves[name] = {"values": values, "mean": means.tolist()}
    return curves


def _usual(column: Floats, categories: list[str] | None) -> tuple[list[Any], Floats]:
    """The usual values of a feature, in its own words and encoded."""
    known = column[~np.isnan(column)]
    if not len(known):
        return [], known
    if categories is None:
        grid = np.unique(np.quantile(known, np.linspace(0, 1, GRID), method="nearest"))
        return grid.tolist(), grid
    codes, counts = np.unique(known, return_counts=True)
    grid = codes[np.argsort(-counts, kind="stable")][:CATEGORIES]
    return [categories[int(code)] for code in grid], grid
