"""Figures of any model: importance and partial dependence.

Names of columns and classes are drawn with `parse_math=False`: they may hold dollar signs.
"""

import warnings
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..files import Content
from .model import Model

MOST_BARS, MOST_LEGEND = 40, 12


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
    ordered = list(found["importance"].items())[:MOST_BARS][::-1]
    places = range(len(ordered))
    names = [name[:40] for name, _ in ordered]
    lengths = [value for _, value in ordered]
    title, size = f"Importance ({found['method']}), test split", (6, 0.3 * len(ordered) + 1.2)
    figure, axes = canvas(title, found["unit"], "", size)
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
