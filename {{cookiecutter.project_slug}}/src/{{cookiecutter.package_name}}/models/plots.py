"""Pictures of how a model errs and what it looks at."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .model import Floats

IMPORTANCE_ROWS = 2_000


def draw_all(
    folder: Path, actual: Floats, predicted: Floats, target: str, importance: dict[str, float]
) -> None:
    """Write every plot of a regression as PNG."""
    folder.mkdir(parents=True)
    for name, figure in {
        "predicted_vs_actual": predicted_vs_actual(actual, predicted, target),
        "residuals": residuals(actual, predicted, target),
        "importance": importances(importance),
    }.items():
        # Without the software's version the picture's bytes depend on its content alone.
        figure.savefig(folder / f"{name}.png", dpi=100, metadata={"Software": None})


def predicted_vs_actual(actual: Floats, predicted: Floats, target: str) -> Figure:
    """Density of predictions over actual values; a perfect model lies on the line."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.hexbin(actual, predicted, gridsize=60, bins="log", mincnt=1, cmap="viridis")
    ends = [float(min(actual.min(), predicted.min())), float(max(actual.max(), predicted.max()))]
    axes.plot(ends, ends, color="black", linewidth=1)
    axes.set(xlabel=f"actual {target}", ylabel=f"predicted {target}", title="Test split")
    return figure


def residuals(actual: Floats, predicted: Floats, target: str) -> Figure:
    """Distribution of actual minus predicted values."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.hist(actual - predicted, bins=80, color="tab:blue")
    axes.axvline(0, color="black", linewidth=1)
    axes.set(xlabel=f"actual - predicted {target}", ylabel="rows", title="Residuals, test split")
    return figure


def importances(importance: dict[str, float]) -> Figure:
    """How much the primary metric worsens when a feature is shuffled."""
    ordered = sorted(importance.items(), key=lambda item: item[1])
    figure = Figure(figsize=(6, 0.3 * len(ordered) + 1.2), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in ordered], [value for _, value in ordered], color="tab:blue")
    axes.set(xlabel="loss when shuffled", title="Permutation importance, test split")
    return figure


def permutation_importance(
    predict: Callable[[Floats], Floats],
    matrix: Floats,
    loss: Callable[[Floats], float],
    names: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Rise of `loss` when one column is shuffled (Breiman, 2001), for any kind of model."""
    rng = np.random.default_rng(seed)
    before = loss(predict(matrix))
    importance = {}
    for position, name in enumerate(names):
        shuffled = matrix.copy()
        shuffled[:, position] = rng.permutation(shuffled[:, position])
        importance[name] = loss(predict(shuffled)) - before
    return importance
