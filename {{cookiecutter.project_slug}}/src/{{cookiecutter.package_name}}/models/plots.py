"""Figures of each task; add your own to PLOTS."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mlops_loop.models import bootstrap
from mlops_loop.models.bootstrap import Predictions, ranked
from mlops_loop.models.model import Model
from mlops_loop.models.plots import canvas, dependences, importances, save

MOST_LABELS, MOST_NUMBERS = 30, 12


def draw_all(folder: Path, rows: Predictions, model: Model, found: dict[str, Any]) -> None:
    """Write every plot of the model's task, and of its explanation, as PNG."""
    folder.mkdir(parents=True)
    figures = {draw.__name__: draw(rows, model) for draw in PLOTS[model.task]}
    figures |= {"importance": importances(found), "dependence": dependences(found, model)}
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")


def predicted_vs_actual(rows: Predictions, model: Model) -> Figure:
    """Density of predictions over actual values; a perfect model lies on the line."""
    names = f"actual {model.target}", f"predicted {model.target}"
    figure, axes = canvas("Test split", *names)
    axes.hexbin(rows.actual, rows.scores, gridsize=60, bins="log", mincnt=1, cmap="viridis")
    both = np.append(rows.actual, rows.scores)
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="black", linewidth=1)
    return figure


def residuals(rows: Predictions, model: Model) -> Figure:
    """Distribution of actual minus predicted values."""
    name = f"actual - predicted {model.target}"
    figure, axes = canvas("Residuals, test split", name, "rows", (6, 4))
    # One outline is drawn faster than eighty bars.
    axes.hist(rows.actual - rows.scores, bins=80, histtype="stepfilled", color="tab:blue")
    axes.axvline(0, color="black", linewidth=1)
    return figure


def roc(rows: Predictions, model: Model) -> Figure:
    """True over false positive rate, for every threshold."""
    figure, axes = canvas("ROC, test split", "false positive rate", "true positive rate")
    _, true, false = ranked(rows.actual == 1, rows.scores)
    axes.plot(np.append(0, false) / max(false[-1], 1), np.append(0, true) / max(true[-1], 1))
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    return figure


def precision_recall(rows: Predictions, model: Model) -> Figure:
    """Precision over recall; the dot is the decision threshold."""
    figure, axes = canvas("Precision and recall, test split", "recall", "precision")
    thresholds, true, false = ranked(rows.actual == 1, rows.scores)
    recall, precision = true / max(true[-1], 1), true / (true + false)
    axes.step(recall, precision, where="post")
    used = thresholds >= model.threshold
    axes.plot(recall[used][-1:], precision[used][-1:], "ko", label=f"at {model.threshold:.3f}")
    axes.legend()
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return figure


def calibration(rows: Predictions, model: Model) -> Figure:
    """Observed share over predicted probability; a calibrated model lies on the line."""
    figure, axes = canvas("Calibration, test split", "predicted probability", "observed share")
    found = bootstrap.calibration(rows)
    points = [(each["predicted"], each["observed"]) for each in found["bins"]]
    axes.plot(*zip(*points, strict=True), marker="o", label=f"error {found['error']:.3f}")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    axes.legend()
    return figure


def confusion(rows: Predictions, model: Model) -> Figure:
    """Confusion matrix: colours are shares of each actual class, numbers are rows."""
    figure, axes = canvas("Confusion, test split", "predicted", f"actual {model.target}")
    size, known = len(model.classes), rows.actual >= 0
    cells = rows.actual[known] * size + rows.labels[known]
    counts = np.bincount(cells, minlength=size**2).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)
    if size <= MOST_LABELS:
        labels = [str(label)[:20] for label in model.classes]
        axes.set_xticks(range(size), labels, rotation=90, parse_math=False)
        axes.set_yticks(range(size), labels, parse_math=False)
    if size <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            axes.text(column, row, f"{count}", ha="center", va="center")
    return figure


PLOTS = {
    "regression": (predicted_vs_actual, residuals),
    "binary": (roc, precision_recall, calibration, confusion),
    "multiclass": (calibration, confusion),
}
