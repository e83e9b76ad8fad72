"""The model card: docs/model_card.md.j2, filled from reports, lineage and charter.

The page is Markdown, and the same as HTML with its pictures inside.
"""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

from ..config import Section, flat
from ..console import cell, figure, interval
from ..files import read_json, write_text
from ..project import Paths, UserError
from .summary import origin

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border: 1px solid #ccc; padding: .2rem .6rem; text-align: left; vertical-align: top }
th { background: #f4f4f4 }
img { max-width: 100% }
code { background: #f4f4f4; overflow-wrap: anywhere }
"""


def write(
    paths: Paths, project: str, params: Section, confidence: float, gate: dict[str, Any]
) -> None:
    """Write reports/model_card.md and .html; `gate` is the content of gate.json.

    Raises UserError for an error in the template.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"cell": cell, "figure": figure, "interval": interval}
    origins = list(read_json(paths.raw / "manifest.json").values())
    content = {
        "project": project,
        "params": {n: json.dumps(v, ensure_ascii=False) for n, v in flat(params).items()},
        "confidence": confidence,
        "gate": gate,
        "run": read_json(paths.run),
        "model": read_json(paths.candidate / "model.json"),
        "training": read_json(paths.training),
        "metrics": read_json(paths.metrics),
        "slices": read_json(paths.slices),
        "explanations": read_json(paths.explanations),
        "origin": origin(origins),
        "simulated": any(each.startswith("simulated") for each in origins),
        "dropped": read_json(paths.prepare_report)["dropped"],
        "charter": answers(paths.charter.read_text(encoding="utf-8")),
        "plots": sorted(path.stem for path in paths.plots.glob("*.png")),
    }
    template = paths.model_card_template.read_text(encoding="utf-8")
    try:
        text = environment.from_string(template).render(content).strip() + "\n"
    except TemplateError as error:
        raise UserError(f"docs/{paths.model_card_template.name}: {error}") from error
    write_text(paths.model_card, text)
    write_text(paths.model_page, to_html(text, paths.model_card.parent))


def answers(charter: str) -> dict[str, str]:
    """The charter's answers by the bold words before them; a question alone is no answer."""
    parts = re.split(r"^\*\*(.+?)[.?]\*\*", charter, flags=re.MULTILINE)
    found = {}
    for label, text in zip(parts[1::2], parts[2::2], strict=True):
        body = re.split(r"^[#|]", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
        example = re.findall(r"^> ?(.*)", body, re.MULTILINE)
        # An answer follows the question, or replaces it.
        own = re.sub(r"^.*\?(\s|$)", "", body, flags=re.DOTALL)
        found[label] = "\n".join(example) if example else own.strip()
    return {label: answer for label, answer in found.items() if answer}


def to_html(text: str, folder: Path) -> str:
    """The page as one HTML file, with the pictures of `folder` inside."""
    from markdown_it import MarkdownIt

    def inline(picture: re.Match[str]) -> str:
        content = base64.b64encode((folder / picture[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    # Text of users in charter and data stays text, also where it looks like HTML.
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = re.sub(r'src="(plots/\w+\.png)"', inline, body)
    title = html.escape(text.partition("\n")[0].removeprefix("# "))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
        f"\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
