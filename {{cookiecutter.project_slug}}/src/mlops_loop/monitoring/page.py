"""The page of a check: one file without links, for a browser that is offline."""

from pathlib import Path
from typing import Any

from ..console import figure
from ..files import write_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
STRONGEST = 4  # drifted columns whose histograms are drawn


def write_page(path: Path, content: dict[str, Any]) -> None:
    """Draw the content of latest.json by the template beside this module.

    All figures are made by the check: the template only scales them to its drawings, which are
    inline SVG and follow the colour scheme and the width of the reader's browser.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["figure"] = figure
    environment.filters["signed"] = signed
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, template.render(content, strongest=STRONGEST))


def signed(ratio: float) -> str:
    """Format a ratio as the percentage by which it differs from 1."""
    return f"{ratio - 1:+.0%}"
