"""The model card: what a version is for, how good it is, and how to make it again.

Everything in it is read: the charter's answers, the reports of the pipeline, the lineage. The page
is Markdown, and the same as HTML with its pictures inside.
"""

import base64
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Section, flat
from ..console import cell, figure, interval, markdown
from ..files import read_json, write_text
from ..project import Paths
from .summary import origin

UNANSWERED = "Not answered in docs/charter.md."
PURPOSE = ("Purpose", "Decision that the prediction serves", "Who takes part")
LIMITS = ("Feasible", "Representative", "Cost of an error", "Whom could it treat unfairly")
MOST_FEATURES = 15

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border: 1px solid #ccc; padding: .2rem .6rem; text-align: left; vertical-align: top }
th { background: #f4f4f4 }
img { max-width: 100% }
code { background: #f4f4f4; overflow-wrap: anywhere }
"""


@dataclass(frozen=True)
class Facts:
    """All that a card tells, as the pipeline left it; `gate` is the content of gate.json."""

    project: str
    parameters: dict[str, object]
    confidence: float
    gate: dict[str, Any]
    record: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]
    slices: dict[str, Any]
    explanations: dict[str, Any]
    origins: list[str]
    dropped: dict[str, int]
    answers: dict[str, str]
    pictures: list[str]


def read_facts(
    paths: Paths, project: str, params: Section, confidence: float, gate: dict[str, Any]
) -> Facts:
    """The facts of the candidate in models/ and of what the gate decided about it."""
    return Facts(
        project=project,
        parameters=flat(params),
        confidence=confidence,
        gate=gate,
        record=read_json(paths.run),
        model=read_json(paths.candidate / "model.json"),
        training=read_json(paths.training),
        metrics=read_json(paths.metrics),
        slices=read_json(paths.slices),
        explanations=read_json(paths.explanations),
        origins=list(read_json(paths.raw / "manifest.json").values()),
        dropped=read_json(paths.prepare_report)["dropped"],
        answers=answers(paths.charter.read_text(encoding="utf-8")),
        pictures=sorted(path.stem for path in paths.plots.glob("*.png")),
    )


def answers(charter: str) -> dict[str, str]:
    """The charter's answers by the bold words before them; a question alone is no answer."""
    parts = re.split(r"^\*\*(.+?)[.?]\*\*", charter, flags=re.MULTILINE)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return {label: answer for label, text in pairs if (answer := _answer(text))}


def _answer(text: str) -> str:
    body = re.split(r"^[#|]", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    example = re.findall(r"^> ?(.*)", body, re.MULTILINE)
    # What follows the question is the answer, in the question's place or behind it.
    own = re.sub(r"^.*\?(\s|$)", "", body, flags=re.DOTALL)
    return "\n".join(example) if example else own.strip()


def page(facts: Facts) -> str:
    """The card as Markdown; pictures are named relative to reports/."""
    sections = (summary, purpose, data, metrics, slices, looks_at, limits, again)
    return "\n\n".join(section(facts) for section in sections) + "\n"


def summary(facts: Facts) -> str:
    """Title, decision and the few words that say what this is."""
    version, features = facts.gate["version"], facts.model["features"]
    title = f"version {version}" if version else "a candidate that was not registered"
    rows = [
        ("the gate's decision", f"{facts.gate['decision']}: {'; '.join(facts.gate['reasons'])}"),
        ("predicts", f"{facts.model['target']} ({facts.metrics['task']})"),
        ("model", f"{facts.training['model']}{_trees(facts)}, {len(features)} features"),
        ("data", origin(facts.origins)),
        ("trained by", facts.record["lineage"]["author"]),
    ]
    return f"# Model card: {cell(facts.project)}, {title}\n\n{_table(('', ''), rows)}"


def _trees(facts: Facts) -> str:
    return f" of {facts.training['trees']} trees" if facts.training["trees"] else ""


def purpose(facts: Facts) -> str:
    """What it is for and who answers for it, from the charter."""
    return f"## Purpose and owner\n\n{_answers(facts, PURPOSE)}"


def _answers(facts: Facts, labels: tuple[str, ...]) -> str:
    return "\n\n".join(f"**{name}.** {facts.answers.get(name, UNANSWERED)}" for name in labels)


def data(facts: Facts) -> str:
    """Where the rows come from, how many there are, and which were left out."""
    rows = [(f"{split} rows", f"{count:,}") for split, count in facts.metrics["rows"].items()]
    rows += [(f"left out, {reason}", f"{count:,}") for reason, count in facts.dropped.items()]
    rows += [
        ("version of the data", f"`{facts.record['lineage']['data_version']}`"),
        ("columns that it needs", ", ".join(map(cell, facts.model["inputs"]))),
    ]
    return f"## Data\n\n{origin(facts.origins)}.\n\n{_table(('', ''), rows)}"


def metrics(facts: Facts) -> str:
    """Every metric on the test split, beside baseline and champion, with the pictures."""
    report, rival = facts.metrics, facts.gate["comparisons"]
    header = ["metric", "test", "interval", "baseline", *(["champion"] if rival else [])]
    rows = [
        (
            name,
            figure(value),
            interval(report["intervals"][name]),
            figure(report["baseline"][name]),
            *([figure(rival["champion"][name])] if rival else []),
        )
        for name, value in report["test"].items()
    ]
    kept = facts.confidence
    lines = [f"Intervals hold {kept:.0%}, by bootstrap over the {report['rows']['test']:,} rows."]
    if rival:
        lines.append(
            f"Against champion version {facts.gate['champion_version']} on the same rows, "
            f"{rival['metric']} improves by {rival['improvement']:.4g} "
            f"({interval(rival['interval'])})."
        )
    if "calibration" in report:
        lines.append(f"Expected calibration error: {report['calibration']['error']:.3f}.")
    if "prediction_interval" in report:
        low, high = report["prediction_interval"]
        lines.append(f"Of the actual values {kept:.0%} lie {low:+.3g} to {high:+.3g} off.")
    if "threshold" in report:
        classes = facts.model["classes"]
        lines.append(f"Answers {cell(classes[1])} from a probability of {report['threshold']:.3f}.")
    others = [name for name in facts.pictures if name not in ("importance", "dependence")]
    text = " ".join(lines)
    return f"## Metrics\n\n{_table(header, rows)}\n\n{text}\n\n{_pictures(facts, *others)}"


def slices(facts: Facts) -> str:
    """The declared groups, the worst that were found, and the gaps between sensitive groups."""
    parts = (declared(facts.slices), worst(facts.slices), gaps(facts.slices))
    return "\n\n".join(("## Groups", *parts))


def declared(report: dict[str, Any]) -> str:
    """The groups of the columns that contract.yaml wants sliced."""
    name = report["metric"]
    rows = [
        (
            each["column"],
            each["group"],
            f"{each['rows']:,}",
            figure(each["metrics"][name]) if each["metrics"] else each["note"],
            interval(each["interval"]),
        )
        for each in report["declared"]
    ]
    title = "Declared in contract.yaml (`slice` or `sensitive`)"
    header = ("column", "group", "rows", name, "interval")
    return _section(title, header, rows, "No column is declared.")


def worst(report: dict[str, Any]) -> str:
    """The worst groups that were found."""
    rows = [
        (each["slice"], f"{each['rows']:,}", figure(each["value"]), interval(each["interval"]))
        for each in report["worst"]
    ]
    few = f"None has enough rows (evaluate.slices.min_rows: {report['min_rows']})."
    otherwise = "None is significantly worse than the rest." if report["searched"] else few
    title = f"The worst among {report['searched']:,} that were searched"
    return _section(title, ("group", "rows", report["metric"], "interval"), rows, otherwise)


def gaps(report: dict[str, Any]) -> str:
    """The gaps between the groups of sensitive columns."""
    rows = [
        (
            each["column"],
            each["metric"],
            figure(each["gap"]),
            interval(each["interval"]),
            each["lowest"],
            each["highest"],
        )
        for each in report["fairness"]
    ]
    title = "Gaps between groups of sensitive columns (`sensitive: true`)"
    header = ("column", "metric", "gap", "interval", "lowest", "highest")
    otherwise = "No column is declared, or none has two groups of enough rows."
    return _section(title, header, rows, otherwise)


def looks_at(facts: Facts) -> str:
    """What the model looks at, most important first."""
    found = facts.explanations
    top = list(found["importance"].items())[:MOST_FEATURES]
    rows = [(name, figure(value)) for name, value in top]
    text = f"{found['method']} on {found['rows']:,} test rows, in {found['unit']}."
    pictures = _pictures(facts, "importance", "dependence")
    return f"## What it looks at\n\n{text}\n\n{_table(('feature', 'weight'), rows)}\n\n{pictures}"


def limits(facts: Facts) -> str:
    """What the charter and the data say about where not to trust it."""
    simulated = any(each.startswith("simulated") for each in facts.origins)
    warning = "It was trained on simulated data: its figures say nothing about the real world.\n\n"
    return f"## Limits\n\n{warning if simulated else ''}{_answers(facts, LIMITS)}"


def again(facts: Facts) -> str:
    """How to make the same model again, and from what it was made."""
    lineage, version = facts.record["lineage"], facts.gate["version"]
    if lineage["git_dirty"] == "true":
        how = "Its code was not committed when it was trained, so it cannot be made again."
    else:
        how = f"`make reproduce VERSION={version}`" if version else "Not registered."
    rows = [(key.replace("_", " "), f"`{cell(value)}`") for key, value in lineage.items()]
    rows.append(("model hash", f"`{facts.record['model_hash']}`"))
    tables = f"{_table(('made from', ''), rows)}\n\n{_table(('parameter', 'value'), _used(facts))}"
    return f"## How to make it again\n\n{how}\n\n{tables}"


def _used(facts: Facts) -> list[tuple[str, str]]:
    """The parameters that decide about the model, without those of other kinds of model."""
    kinds = {key.split(".")[1] for key in facts.parameters if key.count(".") > 1}
    others = kinds - {facts.training["model"]}
    return [
        (key, f"`{cell(json.dumps(value, ensure_ascii=False))}`")
        for key, value in facts.parameters.items()
        if key.startswith(("task", "seed", "prepare.", "train."))
        and not others.intersection(key.split("."))
    ]


def _section(title: str, header: tuple[str, ...], rows: list[Any], otherwise: str) -> str:
    return f"### {title}\n\n{_table(header, rows) if rows else otherwise}"


def _table(header: Any, rows: list[Any]) -> str:
    return markdown([tuple(header), *rows])


def _pictures(facts: Facts, *names: str) -> str:
    return "\n".join(f"![{name}](plots/{name}.png)" for name in names if name in facts.pictures)


def to_html(text: str, folder: Path) -> str:
    """The page as one HTML file; its pictures are read from `folder` and stand inside."""
    from markdown_it import MarkdownIt

    # What users typed into charter and data is text, also where it looks like HTML.
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = re.sub(r'src="(plots/\w+\.png)"', lambda found: _inline(folder / found[1]), body)
    title = html.escape(text.partition("\n")[0].removeprefix("# "))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>'
        f"\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _inline(picture: Path) -> str:
    return f'src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"'


def write(paths: Paths, facts: Facts) -> None:
    """Write reports/model_card.md and reports/model_card.html."""
    text = page(facts)
    write_text(paths.model_card, text)
    write_text(paths.model_page, to_html(text, paths.model_card.parent))
