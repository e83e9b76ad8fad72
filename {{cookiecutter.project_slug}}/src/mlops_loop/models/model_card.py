"""The model card, docs/model_card.md.j2 filled from reports, lineage and charter; and the page.

The page, reports/index.html, shows the decision and its figures, and holds the card.
"""

import json
import re

from ..config import Section, flat
from ..console import cell, figure, interval
from ..files import Content, read_json, write_text
from ..page import write_page
from ..project import Paths, Settings, UserError
from .summary import origin

SIBLINGS = ("comparison.html", "data_card.html", "monitoring/index.html")


def write(
    paths: Paths, settings: Settings, params: Section, confidence: float, gate: Content
) -> None:
    """Write reports/model_card.md and reports/index.html; `gate` is the content of gate.json.

    Raises UserError for an error in the template.
    """
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"cell": cell, "figure": figure, "interval": interval}
    reports = paths.report.parent
    origins = list(read_json(paths.raw / "manifest.json").values())
    content = {
        "project": settings.project,
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
    if paths.data_card.exists():
        card = paths.data_card.read_text(encoding="utf-8")
        write_page(reports / "data_card.html", title="Data card", text=card)
    write_page(
        paths.report,
        "models/report.html.j2",
        title=f"{gate['decision']}: {settings.project}",
        card=text.partition("\n")[2],
        server=settings.tracking_uri if settings.tracking_uri.startswith("http") else None,
        pages=[name for name in SIBLINGS if (reports / name).exists()],
        **content,
    )


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
