"""Figures of any model: importance, partial dependence, contributions.

Names of columns and classes are drawn with `parse_math=False`: they may hold dollar signs.
"""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..files import Content
from .model import Model
from .types import Floats

MOST_BARS, MOST_SWARMS, MOST_LEGEND = 40, 15, 12


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Without the software's version the picture's bytes depend on its content alone.
        figure.savefig(path, dpi=100, metadata={"Software": None})


def canvas(title: str, x: str, y: str, size: tuple[float, float] = (5, 5)) -> tuple[Figure, Axes]:
    """A figure with one pair of labelled axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(y, parse_math=False)
    return figure, axes


def importances(found: Content) -> Figure:
    """A bar for the importance of each feature, the most important on top."""
    title = f"Importance ({found['method']}), test split"
    return bars(found["importance"], title, found["unit"])


def bars(values: dict[str, float], title: str, unit: str) -> Figure:
    """A bar for each name, the first on top."""
    ordered = list(values.items())[:MOST_BARS][::-1]
    places = range(len(ordered))
    names = [name[:40] for name, _ in ordered]
    lengths = [value for _, value in ordered]
    figure, axes = canvas(title, unit, "", (6, 0.3 * len(ordered) + 1.2))
    # By position: matplotlib would take names that look like numbers or dates for such.
    axes.barh(places, lengths, color="tab:blue")
    axes.set_yticks(places, names, parse_math=False)
    return figure


def dependences(found: Content, model: Model) -> Figure:
    """Partial dependence of the most important features, with a line for each class."""
    curves = found["dependence"]
    classes = [str(label)[:20] for label in model.classes]
    height = max(1, -(-len(curves) // 3))
    figure = Figure(figsize=(9, 2.8 * height), layout="constrained")
    figure.suptitle(f"Partial dependence of {model.target}, test split", parse_math=False)
    score = f"P({classes[1]})" if model.task == "binary" else "mean prediction"
    figure.supylabel(score, parse_math=False)
    every = figure.subplots(height, 3, sharey=True).flat
    for axes, (name, curve) in zip(every, curves.items(), strict=False):
        values = curve["values"]
        text = isinstance(values[0], str)
        places = range(len(values)) if text else values
        drawn = axes.plot(places, curve["mean"], "." if text else ".-")
        if text:  # matplotlib would take some words for numbers or dates
            names = [value[:12] for value in values]
            axes.set_xticks(places, names, rotation=90, parse_math=False)
        else:
            axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(name[:40], parse_math=False)
    if model.task == "multiclass" and curves and len(classes) <= MOST_LEGEND:
        legend = figure.legend(drawn, classes, loc="outside right upper")
        for label in legend.get_texts():
            label.set_parse_math(False)
    return figure


def beeswarm(values: Floats, matrix: Floats, model: Model, unit: str) -> Figure:
    """A point for each row and feature: contribution, and in colour the value, low to high.

    Categories and missing values are grey.
    """
    means = np.abs(values[:, :-1]).mean(axis=0)
    order = means.argsort()[-MOST_SWARMS:]
    size = (7, 0.4 * len(order) + 1.2)
    figure, axes = canvas("Contributions, test split; red: a high value", unit, "", size)
    colours = matplotlib.colormaps["coolwarm"].with_extremes(bad="grey")
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, len(values))
    for place, position in enumerate(order):
        column = matrix[:, position]
        _, inverse = np.unique(column, return_inverse=True)
        ranks = inverse.astype(float)
        unordered = model.encoder.names[position] in model.encoder.categories
        ranks[np.isnan(column) | unordered] = np.nan
        x = values[:, position]
        y = place + jitter
        axes.scatter(x, y, c=ranks, cmap=colours, s=4, plotnonfinite=True)
    axes.axvline(0, color="black", linewidth=1)
    names = [model.encoder.names[position][:40] for position in order]
    axes.set_yticks(range(len(order)), names, parse_math=False)
    return figure
