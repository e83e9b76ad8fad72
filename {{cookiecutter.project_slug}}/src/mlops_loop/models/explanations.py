"""Explanations of a model: contributions, importance and partial dependence of its features."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from ..files import Content
from .bootstrap import Scoring, outcome
from .model import Model
from .slices import sample
from .types import Floats

PERMUTED_ROWS, LEAST_PERMUTED_ROWS, PERMUTED_CELLS = 2_000, 200, 200_000

# Rows times trees that TreeSHAP explains in less than a second, and the rows that are enough.
ROWS_AND_TREES, MOST_ROWS, LEAST_ROWS = 16_000, 500, 100
DEPENDENT_ROWS, DEPENDENT, GRID, CATEGORIES = 200, 6, 20, 10


def unit(model: Model) -> str:
    """The unit of contributions."""
    if model.task == "binary":
        return f"log-odds of {model.classes[1]}"
    return "score of the predicted class" if model.classes else model.target


def contributions(model: Model, matrix: Floats) -> Floats:
    """The contribution of each feature to the raw score of each row; the last column is the base.

    Exact TreeSHAP (Lundberg et al., 2020) or the terms of a linear model. A row adds up to the
    value, the log-odds of the second class, or the predicted class's score before softmax; class
    weights are included.
    """
    width = len(model.encoder.names) + 1
    if not len(matrix):
        return np.empty((0, width))
    values = model.estimator.contributions(matrix).reshape(len(matrix), -1, width)
    if model.task != "multiclass":
        return values[:, 0]
    predicted = model.decide(model.score_matrix(matrix))
    return values[np.arange(len(matrix)), predicted]


def explanation(
    test: pl.DataFrame, model: Model, scoring: Scoring, seed: int, effort: int = ROWS_AND_TREES
) -> Content:
    """The content of reports/explanations.json, from features and target of the test rows.

    Importance is the mean absolute contribution, of as many rows as TreeSHAP can explain with this
    effort (rows times trees), or without trees the permutation importance.
    """
    if model.estimator.trees:
        most = max(effort // model.estimator.trees, LEAST_ROWS)
        some = sample(test.height, min(most, MOST_ROWS), seed)
        values = contributions(model, model.encoder.encode(test[some]))
        means = np.abs(values[:, :-1]).mean(axis=0).tolist()
        importance = dict(zip(model.encoder.names, means, strict=True))
        start = getattr(model.estimator, "start", None)
        method = "TreeSHAP and linear terms" if start else "TreeSHAP"
        found = {"method": method, "rows": len(values), "unit": unit(model)}
    else:
        most = max(PERMUTED_CELLS // len(model.encoder.names), LEAST_PERMUTED_ROWS)
        rows = test[sample(test.height, min(most, PERMUTED_ROWS), seed)]

        def loss(matrix: Floats) -> float:
            scores = model.score_matrix(matrix)
            judged = outcome(model, rows[model.target], scores)
            return scoring.metrics[scoring.primary].compute(judged)

        matrix = model.encoder.encode(rows)
        importance = permutation_importance(loss, matrix, model.encoder.names, seed)
        rise = f"rise of {scoring.primary}"
        found = {"method": "permutation", "rows": rows.height, "unit": rise}
    importance = dict(sorted(importance.items(), key=lambda item: -item[1]))
    dependent = sample(test.height, DEPENDENT_ROWS, seed)
    matrix = model.encoder.encode(test[dependent])
    most_important = list(importance)[:DEPENDENT]
    curves = dependence(model, matrix, most_important)
    return {**found, "importance": importance, "dependence": curves}


def permutation_importance(
    loss: Callable[[Floats], float], matrix: Floats, names: Sequence[str], seed: int
) -> dict[str, float]:
    """The rise of `loss` when the column of each feature is shuffled (Breiman, 2001)."""
    rng = np.random.default_rng(seed)
    moved = matrix.copy()
    before = loss(matrix)
    importance = {}
    for position, name in enumerate(names):
        moved[:, position] = rng.permutation(matrix[:, position])
        importance[name] = loss(moved) - before
        moved[:, position] = matrix[:, position]
    return importance


def dependence(model: Model, matrix: Floats, names: Sequence[str]) -> dict[str, Content]:
    """Partial dependence (Friedman, 2001): the mean score over all rows for usual values."""
    curves = {}
    for name in names:
        position = model.encoder.names.index(name)
        categories = model.encoder.categories.get(name)
        values, grid = _usual(matrix[:, position], categories)
        if values:
            moved = np.repeat(matrix[None], len(grid), axis=0)
            moved[:, :, position] = grid[:, None]
            scores = model.score_matrix(moved.reshape(-1, matrix.shape[1]))
            by_value = scores.reshape(len(grid), len(matrix), *scores.shape[1:])
            means = by_value.mean(axis=1)
            curves[name] = {"values": values, "mean": means.tolist()}
    return curves


def _usual(column: Floats, categories: list[str] | None) -> tuple[list[Any], Floats]:
    """Quantiles or the most frequent categories of a feature, as read by people and encoded."""
    known = column[~np.isnan(column)]
    if not len(known):
        return [], known
    if categories is None:
        shares = np.linspace(0, 1, GRID)
        grid = np.unique(np.quantile(known, shares, method="nearest"))
        return grid.tolist(), grid
    codes, counts = np.unique(known, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    grid = codes[order][:CATEGORIES]
    return [categories[int(code)] for code in grid], grid
