"""The page of a check: one file without links, for a browser that is offline."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..console import figure
from ..files import write_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
HEIGHT, STRONGEST = 100, 4


def write_page(path: Path, content: dict[str, Any]) -> None:
    """Draw the content of latest.json."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"figure": figure, "signed": lambda ratio: f"{ratio - 1:+.0%}"}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    drifted = sorted(content["columns"], key=lambda column: -column["alarm_days"])
    charts = {
        "loss": draw_loss(content["loss"]["by_day"]) if "loss" in content else None,
        "histograms": [draw_histogram(c) for c in drifted[:STRONGEST] if c["alarm_days"]],
    }
    write_text(path, template.render(content, charts=charts))


def draw_loss(days: list[dict[str, Any]]) -> dict[str, Any]:
    """Points of the ratio of each day, and of the band in which a day is not remarkable."""
    ratios, above = [d["ratio"] for d in days], [min(1 + d["could_see"], 3) for d in days]
    below = [1 / value for value in above]
    top, bottom = max([*ratios, *above]) * 1.05, min([*ratios, *below]) / 1.05

    def points(values: Iterable[float]) -> list[tuple[float, float]]:
        scaled = ((top - value) / (top - bottom) * HEIGHT for value in values)
        return [(place + 0.5, round(y, 2)) for place, y in enumerate(scaled)]

    band = [*points(above), *reversed(points(below))]
    return {
        "width": len(days),
        "band": " ".join(f"{x},{y}" for x, y in band),
        "line": " ".join(f"{x},{y}" for x, y in points(ratios)),
        "even": points([1.0])[0][1],
        "top": top,
        "bottom": bottom,
    }


def draw_histogram(column: dict[str, Any]) -> dict[str, Any]:
    """Heights of the bins of a column, in the reference and now."""
    pairs = list(zip(column["reference_shares"], column["shares"], strict=True))
    most = max(max(pair) for pair in pairs)
    bars = [(round(before / most, 3), round(now / most, 3)) for before, now in pairs]
    return {"column": column["column"], "bars": bars}
