"""Two versions or runs side by side: their origin, what they are, and how they do on the same rows.

Printed, and written to reports/comparison.md.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..data.card import aligned, markdown
from ..errors import UserError, run
from ..files import partitions, replaced
from ..lineage import data_version
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..progress import track
from ..settings import load_settings
from .metrics import METRICS, Outcome, improvement, outcome, score
from .model import Model

if TYPE_CHECKING:
    from ..tracking import Registry, Version

LINEAGE = (
    "git_commit",
    "git_dirty",
    "data_version",
    "features_hash",
    "template_version",
    "trigger",
    "author",
    "python",
    "hardware",
)
WIDEST = 40

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part of the comparison: a sentence, and a table below its header."""

    title: str
    note: str = ""
    header: Row = ()
    rows: list[Row] = field(default_factory=list)


def differing(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[Row]:
    """The names whose values differ, with both; a dash where there is none."""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return [(name, str(ours.get(name, "-")), str(theirs.get(name, "-"))) for name in names]


def opponent(registry: "Registry", first: "Version") -> "Version":
    """The challenger, else the newest version, that is not `first`.

    Raises UserError where there is no other.
    """
    numbers = [int(version.version) for version in reversed(registry.versions())]
    for number in (registry.aliases().get("challenger"), *numbers):
        if number not in (None, first.number):
            return registry.find(str(number))
    raise UserError(f"there is nothing to compare {first} with; change something and `make train`.")


def features(model: Model) -> dict[str, str]:
    """The expression of each feature, by its name."""
    texts = [" ".join(str(feature).split()) for feature in model.features]
    return {
        feature.meta.output_name(raise_if_undetermined=False) or text: text
        for feature, text in zip(model.features, texts, strict=True)
    }


def origins(
    registry: "Registry", versions: tuple["Version", "Version"], models: tuple[Model, Model]
) -> list[Section]:
    """What differs between two versions before any row is scored."""
    tags = [{name: version.tags.get(name, "-") for name in LINEAGE} for version in versions]
    params = [registry.record(version).params for version in versions]
    sections = {
        "lineage": differing(*tags),
        "parameters": differing(*params),
        "features": differing(*map(features, models)),
    }
    header = ("", *map(str, versions))
    return [
        Section(title, "" if rows else "nothing differs", header, rows)
        for title, rows in sections.items()
    ]


def judge(
    versions: tuple["Version", "Version"],
    models: tuple[Model, Model],
    test: pl.DataFrame,
    params: Params,
) -> list[Section]:
    """How the second does against the first on these rows, or why that cannot be said."""
    first, second = models
    if first.question != second.question:
        note = f"not comparable: one answers {first.question}, the other {second.question}"
        return [Section("metrics", note)]
    try:
        ours, theirs = (outcome(m, test[m.target], m.score(test)) for m in models)
    except (UserError, pl.exceptions.PolarsError) as error:
        return [Section("metrics", f"data/interim/test cannot be scored: {error}")]
    header = ("", *map(str, versions), f"{versions[1]} is better by", "interval", "")
    note = f"{test.height:,} rows of data/interim/test; paired bootstrap"
    return [Section("metrics", note, header, metric_rows(first.task, ours, theirs, params))]


def metric_rows(task: str, ours: Outcome, theirs: Outcome, params: Params) -> list[Row]:
    """Every metric of both, how much better theirs is, and whether that is significant."""
    pair = score(task, ours), score(task, theirs)
    return [
        (name, *(_figure(each[name]) for each in pair), *gain(task, ours, theirs, params, name))
        for name in track(list(METRICS[task]), "compare")
    ]


def gain(task: str, ours: Outcome, theirs: Outcome, params: Params, name: str) -> Row:
    """How much better theirs is in a metric, the interval, and the word for it."""
    options = params.registration
    better, low, high = improvement(
        task, theirs, ours, options.resamples, options.confidence, params.seed, name
    )
    word = "better" if low > 0 else "worse" if high < 0 else ""
    return _figure(better), f"{_figure(low)} to {_figure(high)}", word


def _figure(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.4g}"


def seen(versions: tuple["Version", "Version"], current: str) -> list[Section]:
    """A section that names the versions that were trained on other data than these, if any."""
    others = [str(v) for v in versions if v.tags.get("data_version") != current]
    note = f"{' and '.join(others)}: trained on other data than these, may have seen some rows"
    return [Section("data", note)] if others else []


def compare(registry: "Registry", a: str, b: str | None, paths: Paths) -> tuple[str, list[Section]]:
    """The title and the sections of a comparison; raises UserError where there is none."""
    if not partitions(paths.interim / "test"):
        raise UserError("data/interim/test is empty; run `make data` first.")
    first = registry.find(a)
    versions = first, registry.find(b) if b else opponent(registry, first)
    if versions[0].run_id == versions[1].run_id:
        raise UserError(f"A and B are both {first}; name another.")
    models = registry.load(versions[0].name), registry.load(versions[1].name)
    test = pl.read_parquet(paths.interim / "test" / "*.parquet")
    found = judge(versions, models, test, load_params(paths.params))
    found = seen(versions, data_version(paths.dvc_lock)) + found
    return f"{versions[0]} and {versions[1]}", origins(registry, versions, models) + found


def terminal(title: str, sections: list[Section]) -> str:
    """The comparison as text; long values are cut."""
    lines = [title]
    for section in sections:
        lines.append(f"\n{section.title}{f': {section.note}' if section.note else ''}")
        if section.rows:
            lines += aligned([tuple(map(_cut, row)) for row in (section.header, *section.rows)])
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def page(title: str, sections: list[Section]) -> str:
    """The comparison as Markdown."""
    parts = [f"# {title[:1].upper()}{title[1:]}"]
    for section in sections:
        parts += [f"## {section.title.capitalize()}", section.note]
        parts += [markdown([section.header, *section.rows])] if section.rows else []
    return "\n\n".join(filter(None, parts)) + "\n"


def main(paths: Paths = PROJECT) -> None:
    """Print the comparison of A and B, and write reports/comparison.md."""
    parser = argparse.ArgumentParser(prog="make compare")
    parser.add_argument("--a", default="champion")
    parser.add_argument("--b")
    arguments = parser.parse_args()
    from .. import tracking

    registry = tracking.connect(paths, load_settings(paths))
    title, sections = compare(registry, arguments.a, arguments.b, paths)
    with replaced(paths.comparison) as temporary:
        temporary.write_text(page(title, sections), encoding="utf-8")
    print(terminal(title, sections))


if __name__ == "__main__":
    run(main)
