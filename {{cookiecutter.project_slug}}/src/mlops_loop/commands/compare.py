"""Two versions or runs side by side: their origin, what they are, and how they do on the same rows.

Printed, and written to reports/comparison.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ..console import aligned, markdown, track
from ..data.contract import load_contract
from ..files import partitions, write_text
from ..lineage import data_version
from ..models.bootstrap import Predictions, improvement, outcome
from ..models.model import Model
from ..models.slices import Judging, groups, members, read_declared
from ..project import Paths, UserError, load_settings

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

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
    paths: Paths,
    judging: Judging,
) -> list[Section]:
    """How the second does against the first on data/interim/test, or why that cannot be said."""
    first, second = models
    if first.task_signature != second.task_signature:
        note = (
            f"not comparable: one answers {first.task_signature}, the other {second.task_signature}"
        )
        return [Section("metrics", note)]
    test = pl.read_parquet(paths.interim / "test" / "*.parquet")
    try:
        ours, theirs = (outcome(m, test[m.target], m.score(test)) for m in models)
    except (UserError, pl.exceptions.PolarsError) as error:
        return [Section("metrics", f"data/interim/test cannot be scored: {error}")]
    header = ("", *map(str, versions), f"{versions[1]} is better by", "interval", "")
    note = f"{test.height:,} rows of data/interim/test, paired bootstrap"
    rows = metric_rows(ours, theirs, judging)
    declared = read_declared(paths, load_contract(paths.contract))
    worse = worse_slices(header[:-1], ours, theirs, declared, judging)
    return [Section("metrics", note, header, rows), worse]


def metric_rows(ours: Predictions, theirs: Predictions, judging: Judging) -> list[Row]:
    """Every metric of both, how much better theirs is, and whether that is significant."""
    rows = []
    for name in track(list(judging.scoring.metrics), "compare: metrics"):
        row, low, high = gain(name, ours, theirs, judging)
        rows.append((name, *row, "better" if low > 0 else "worse" if high < 0 else ""))
    return rows


def worse_slices(
    header: Row,
    ours: Predictions,
    theirs: Predictions,
    declared: pl.DataFrame,
    judging: Judging,
) -> Section:
    """The groups of the declared columns in which theirs is significantly worse.

    The more groups are judged, the surer each must be (Bonferroni's correction).
    """
    found = [
        (f"{column.name} = {group}", chosen)
        for column in declared
        for group, chosen in members(groups(column)).items()
    ]
    enough = [each for each in found if each[1].sum() >= judging.min_rows]
    rows = []
    for name, chosen in track(enough, "compare: slices"):
        values = judging.scoring.primary, ours[chosen], theirs[chosen]
        row, _, high = gain(*values, judging, len(enough))
        rows += [(f"{name} ({chosen.sum():,} rows)", *row)] if high < 0 else []
    note = f"{judging.scoring.primary} in {len(rows)} of {len(enough)} groups"
    if len(found) > len(enough):
        note += f"; {len(found) - len(enough)} others have too few rows to judge"
    return Section("slices that got worse", note, header, rows)


def gain(
    name: str, ours: Predictions, theirs: Predictions, judging: Judging, judged: int = 1
) -> tuple[Row, float, float]:
    """A metric of both, how much better theirs is and the interval, as text; and its limits.

    `judged` is how many such differences are looked at.
    """
    options, metric = judging.bootstrap, judging.scoring.metrics[name]
    surer = replace(options, confidence=1 - (1 - options.confidence) / judged)
    better, low, high = improvement(metric, theirs, ours, surer)
    figures = map(_figure, (metric.compute(ours), metric.compute(theirs), better))
    return (*figures, f"{_figure(low)} to {_figure(high)}"), low, high


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4g}"


def seen(versions: tuple["Version", "Version"], current: str) -> list[Section]:
    """A section that names the versions that were trained on other data than these, if any."""
    others = [str(v) for v in versions if v.tags.get("data_version") != current]
    note = f"{' and '.join(others)}: trained on other data than these, may have seen some rows"
    return [Section("data", note)] if others else []


def compare(
    registry: "Registry", a: str, b: str | None, paths: Paths, judging: Judging
) -> tuple[str, list[Section]]:
    """The title and the sections of a comparison; raises UserError where there is none."""
    if not partitions(paths.interim / "test"):
        raise UserError("data/interim/test is empty; run `make data` first.")
    first = registry.find(a)
    versions = first, registry.find(b) if b else opponent(registry, first)
    if versions[0].run_id == versions[1].run_id:
        raise UserError(f"A and B are both {first}; name another.")
    models = registry.load(versions[0].name), registry.load(versions[1].name)
    found = judge(versions, models, paths, judging)
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


def main(paths: Paths, judging: Judging, arguments: Sequence[str]) -> None:
    """Print the comparison of A and B, and write reports/comparison.md."""
    parser = argparse.ArgumentParser(prog="make compare")
    parser.add_argument("--a", default="champion")
    parser.add_argument("--b")
    asked = parser.parse_args(arguments)
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    title, sections = compare(registry, asked.a, asked.b, paths, judging)
    write_text(paths.comparison, page(title, sections))
    print(terminal(title, sections))
