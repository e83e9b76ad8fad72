"""Pictures of how a model errs and what it looks at."""

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .metrics import Outcome
from .metrics import calibration as calibrated
from .metrics import ranked
from .model import Floats, Model

MOST_BARS, MOST_LABELS, MOST_NUMBERS = 40, 30, 12
# A user's columns and classes are no formulas, whatever dollars they hold, and a letter that the
# font lacks is no news.
matplotlib.rcParams["text.parse_math"] = False
warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def draw_all(folder: Path, rows: Outcome, model: Model, importance: dict[str, float]) -> None:
    """Write every plot of the model's task as PNG."""
    folder.mkdir(parents=True)
    figures = {draw.__name__: draw(rows, model) for draw in PLOTS[model.task]}
    for name, figure in {**figures, "importance": importances(importance)}.items():
        # Without the software's version the picture's bytes depend on its content alone.
        figure.savefig(folder / f"{name}.png", dpi=100, metadata={"Software": None})


def canvas(title: str, x: str, y: str, size: tuple[float, float] = (5, 5)) -> tuple[Figure, Axes]:
    """A figure with one pair of labelled axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def predicted_vs_actual(rows: Outcome, model: Model) -> Figure:
    """Density of predictions over actual values; a perfect model lies on the line."""
    names = f"actual {model.target}", f"predicted {model.target}"
    figure, axes = canvas("Test split", *names)
    axes.hexbin(rows.actual, rows.scores, gridsize=60, bins="log", mincnt=1, cmap="viridis")
    both = np.append(rows.actual, rows.scores)
    axes.plot([both.min(), both.max()], [both.min(), both.max()], color="black", linewidth=1)
    return figure


def residuals(rows: Outcome, model: Model) -> Figure:
    """Distribution of actual minus predicted values."""
    name = f"actual - predicted {model.target}"
    figure, axes = canvas("Residuals, test split", name, "rows", (6, 4))
    axes.hist(rows.actual - rows.scores, bins=80, color="tab:blue")
    axes.axvline(0, color="black", linewidth=1)
    return figure


def roc(rows: Outcome, model: Model) -> Figure:
    """Share of the second class that is found, over the share of false alarms."""
    figure, axes = canvas("ROC, test split", "false positive rate", "true positive rate")
    _, hits, alarms = ranked(rows.actual == 1, rows.scores)
    axes.plot(np.append(0, alarms) / max(alarms[-1], 1), np.append(0, hits) / max(hits[-1], 1))
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    return figure


def precision_recall(rows: Outcome, model: Model) -> Figure:
    """Share of right alarms, over the share of the second class that is found."""
    figure, axes = canvas("Precision and recall, test split", "recall", "precision")
    thresholds, hits, alarms = ranked(rows.actual == 1, rows.scores)
    recall, precision = hits / max(hits[-1], 1), hits / (hits + alarms)
    axes.step(recall, precision, where="post")
    used = thresholds >= model.threshold
    axes.plot(recall[used][-1:], precision[used][-1:], "ko", label=f"at {model.threshold:.3f}")
    axes.legend()
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return figure


def calibration(rows: Outcome, model: Model) -> Figure:
    """What the model said, and how often it was so; a calibrated model lies on the line."""
    figure, axes = canvas("Calibration, test split", "predicted probability", "observed share")
    found = calibrated(rows)
    points = [(each["predicted"], each["observed"]) for each in found["bins"]]
    axes.plot(*zip(*points, strict=True), marker="o", label=f"error {found['error']:.3f}")
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    axes.legend()
    return figure


def confusion(rows: Outcome, model: Model) -> Figure:
    """Of each actual class, the share that got each answer; numbers are rows."""
    figure, axes = canvas("Confusion, test split", "answer", f"actual {model.target}")
    size, known = len(model.classes), rows.actual >= 0
    cells = rows.actual[known] * size + rows.answers[known]
    counts = np.bincount(cells, minlength=size**2).reshape(size, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)
    if size <= MOST_LABELS:
        labels = [str(label)[:20] for label in model.classes]
        axes.set_xticks(range(size), labels, rotation=90)
        axes.set_yticks(range(size), labels)
    if size <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            axes.text(column, row, f"{count}", ha="center", va="center")
    return figure


def importances(importance: dict[str, float]) -> Figure:
    """How much the primary metric worsens when a feature is shuffled."""
    ordered = sorted(importance.items(), key=lambda item: item[1])[-MOST_BARS:]
    size = (6, 0.3 * len(ordered) + 1.2)
    figure, axes = canvas("Permutation importance, test split", "loss when shuffled", "", size)
    # By position: matplotlib would take names that look like numbers or dates for such.
    axes.barh(range(len(ordered)), [value for _, value in ordered], color="tab:blue")
    axes.set_yticks(range(len(ordered)), [name[:40] for name, _ in ordered])
    return figure


PLOTS = {
    "regression": (predicted_vs_actual, residuals),
    "binary": (roc, precision_recall, calibration, confusion),
    "multiclass": (calibration, confusion),
}


def permutation_importance(
    loss: Callable[[Floats], float], matrix: Floats, names: tuple[str, ...], seed: int
) -> dict[str, float]:
    """Rise of `loss` when one column is shuffled (Breiman, 2001), for any kind of model."""
    rng, shuffled = np.random.default_rng(seed), matrix.copy()
    before = loss(matrix)
    importance = {}
    for position, name in enumerate(names):
        shuffled[:, position] = rng.permutation(matrix[:, position])
        importance[name] = loss(shuffled) - before
        shuffled[:, position] = matrix[:, position]
    return importance
