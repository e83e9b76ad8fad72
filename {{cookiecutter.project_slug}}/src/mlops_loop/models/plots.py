"""Figures of any model: importance, dependence, contributions, the history of a search."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .model import Model
from .types import Floats

MOST_BARS, MOST_SWARMS, MOST_LABELS, MOST_NUMBERS = 40, 15, 30, 12

# A user's columns and classes are no formulas, whatever dollars they hold, and a letter that the
# font lacks is no news.
matplotlib.rcParams["text.parse_math"] = False

warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    # Without the software's version the picture's bytes depend on its content alone.
    figure.savefig(path, dpi=100, metadata={"Software": None})


def canvas(title: str, x: str, y: str, size: tuple[float, float] = (5, 5)) -> tuple[Figure, Axes]:
    """A figure with one pair of labelled axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def importances(found: dict[str, Any]) -> Figure:
    """How much each feature moves the model's answers, or its loss when it is shuffled."""
    title = f"Importance ({found['method']}), test split"
    return bars(found["importance"], title, found["unit"])


def bars(values: dict[str, float], title: str, what: str) -> Figure:
    """A bar for each name, the first on top."""
    ordered = list(values.items())[:MOST_BARS][::-1]
    size = (6, 0.3 * len(ordered) + 1.2)
    figure, axes = canvas(title, what, "", size)
    # By position: matplotlib would take names that look like numbers or dates for such.
    axes.barh(range(len(ordered)), [value for _, value in ordered], color="tab:blue")
    axes.set_yticks(range(len(ordered)), [name[:40] for name, _ in ordered])
    return figure


def dependences(found: dict[str, Any], model: Model) -> Figure:
    """The mean score for each value of the most important features; a line for each class."""
    curves, classes = found["dependence"], [str(label)[:20] for label in model.classes]
    lines = max(1, -(-len(curves) // 3))
    figure = Figure(figsize=(9, 2.8 * lines), layout="constrained")
    figure.suptitle(f"Partial dependence of {model.target}, test split")
    figure.supylabel(f"P({classes[1]})" if model.task == "binary" else "mean prediction")
    places = figure.subplots(lines, 3, sharey=True).flat
    for axes, (name, curve) in zip(places, curves.items(), strict=False):
        labels = [str(value)[:12] for value in curve["values"]]
        text = isinstance(curve["values"][0], str)
        drawn = axes.plot(
            range(len(labels)) if text else curve["values"], curve["mean"], marker="."
        )
        if text:  # matplotlib would take some words for numbers or dates
            axes.set_xticks(range(len(labels)), labels, rotation=90)
        else:
            axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(name[:40])
    if model.task == "multiclass" and curves and len(classes) <= MOST_NUMBERS:
        figure.legend(drawn, classes, loc="outside right upper")
    return figure


def beeswarm(values: Floats, matrix: Floats, model: Model, unit: str) -> Figure:
    """A point for each row and feature: what the feature adds, and in colour how high it is.

    A category or a missing value is grey: neither is high or low.
    """
    order = np.abs(values[:, :-1]).mean(axis=0).argsort()[-MOST_SWARMS:]
    size = (7, 0.4 * len(order) + 1.2)
    figure, axes = canvas("Contributions, test split; red: a high value", unit, "", size)
    colours = matplotlib.colormaps["coolwarm"].with_extremes(bad="grey")
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(values))
    for place, position in enumerate(order):
        ranks = np.unique(matrix[:, position], return_inverse=True)[1].astype(float)
        unordered = model.encoder.names[position] in model.encoder.categories
        ranks[np.isnan(matrix[:, position]) | unordered] = np.nan
        x, y = values[:, position], place + jitter
        axes.scatter(x, y, c=ranks, cmap=colours, s=4, plotnonfinite=True)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(order)), [model.encoder.names[position][:40] for position in order])
    return figure


def search_history(scores: pl.Series, higher_is_better: bool) -> Figure:
    """The score of each trial, none where it was given up, and the best until then."""
    figure, axes = canvas("Search, cross-validation on train", "trial", scores.name, (6, 4))
    best = scores.cum_max() if higher_is_better else scores.cum_min()
    axes.plot(scores, "o", label="trial")
    axes.step(range(len(scores)), best.forward_fill(), where="post", label="best")
    axes.legend()
    return figure
