"""`make compare`: two versions or runs side by side: lineage, parameters, features, test metrics.

Printed, and written to reports/comparison.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from ..console import figure, interval, markdown, parse, track
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
    *("git_commit", "git_dirty", "data_version", "features_hash"),
    *("template_version", "trigger", "author", "python", "hardware"),
)
Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part of the comparison: a note, and a table below its header."""

    title: str
    note: str = ""
    header: Row = ()
    rows: list[Row] = field(default_factory=list)


def differing(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[Row]:
    """The names whose values differ, with both; a dash where there is none."""
    names = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return [(name, str(ours.get(name, "-")), str(theirs.get(name, "-"))) for name in names]


def find_opponent(registry: "Registry", first: "Version") -> "Version":
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


def compare_metrics(
    names: Row, models: tuple[Model, Model], paths: Paths, judging: Judging
) -> list[Section]:
    """Compare the second model with the first on data/interim/test, or explain why not."""
    first, second = (model.task_signature for model in models)
    if first != second:
        return [Section("metrics", f"not comparable: one predicts {first}, the other {second}")]
    test = pl.read_parquet(paths.interim / "test" / "*.parquet")
    try:
        ours, theirs = (outcome(m, test[m.target], m.score(test)) for m in models)
    except (UserError, pl.exceptions.PolarsError) as error:
        return [Section("metrics", f"data/interim/test cannot be scored: {error}")]
    header = ("", *names, f"{names[1]} is better by", "interval")
    rows = []
    for name in track(judging.scoring.metrics, "compare: metrics"):
        row, low, high = gain(name, ours, theirs, judging)
        rows.append((name, *row, "better" if low > 0 else "worse" if high < 0 else ""))
    note = f"{test.height:,} rows of data/interim/test, paired bootstrap"
    declared = read_declared(paths, load_contract(paths.contract))
    worse = worse_slices(header, (ours, theirs), declared, judging)
    return [Section("metrics", note, (*header, ""), rows), worse]


def worse_slices(
    header: Row, both: tuple[Predictions, Predictions], declared: pl.DataFrame, judging: Judging
) -> Section:
    """The groups of the declared columns in which the second is significantly worse.

    Bonferroni's correction: the more groups are judged, the surer each must be.
    """
    found = {
        f"{column.name} = {group} ({chosen.sum():,} rows)": chosen
        for column in declared
        for group, chosen in members(groups(column)).items()
    }
    enough = {name: chosen for name, chosen in found.items() if chosen.sum() >= judging.min_rows}
    worse, metric = [], judging.scoring.primary
    for name, chosen in track(enough.items(), "compare: slices"):
        ours, theirs = (rows[chosen] for rows in both)
        row, _, high = gain(metric, ours, theirs, judging, len(enough))
        worse += [(name, *row)] if high < 0 else []
    note = f"{metric} in {len(worse)} of {len(enough)} groups"
    if len(found) > len(enough):
        note += f"; {len(found) - len(enough)} others have too few rows to judge"
    return Section("slices that got worse", note, header, worse)


def gain(
    name: str, ours: Predictions, theirs: Predictions, judging: Judging, judged: int = 1
) -> tuple[Row, float, float]:
    """A metric of both, the improvement and its interval as text; and the interval's limits.

    `judged` is the number of such differences.
    """
    options, metric = judging.bootstrap, judging.scoring.metrics[name]
    surer = replace(options, confidence=1 - (1 - options.confidence) / judged)
    better, low, high = improvement(metric, theirs, ours, surer)
    figures = map(figure, (metric.compute(ours), metric.compute(theirs), better))
    return (*figures, interval((low, high))), low, high


def compare(
    registry: "Registry", a: str, b: str, paths: Paths, judging: Judging
) -> tuple[str, list[Section]]:
    """The title and the sections of a comparison; raises UserError where there is none."""
    if not partitions(paths.interim / "test"):
        raise UserError("data/interim/test is empty; run `make data` first.")
    first = registry.find(a)
    versions = first, registry.find(b) if b else find_opponent(registry, first)
    if versions[0].run_id == versions[1].run_id:
        raise UserError(f"A and B are both {first}; name another.")
    models = registry.load(versions[0].name), registry.load(versions[1].name)
    names, current = (str(versions[0]), str(versions[1])), data_version(paths.dvc_lock)
    others = [str(v) for v in versions if v.tags.get("data_version") != current]
    note = f"{' and '.join(others)}: trained on other data than these, may have seen some rows"
    sections = [Section("data", note)] if others else []
    tags = [{name: v.tags.get(name, "-") for name in LINEAGE} for v in versions]
    params = [registry.record(version).params for version in versions]
    for title, rows in (
        ("lineage", differing(*tags)),
        ("parameters", differing(*params)),
        ("features", differing(*map(features, models))),
    ):
        note = "" if rows else "nothing differs"
        sections.append(Section(title, note, ("", *names), rows))
    return " and ".join(names), sections + compare_metrics(names, models, paths, judging)


def as_markdown(title: str, sections: list[Section]) -> str:
    """The comparison as Markdown."""
    parts = [f"# {title[:1].upper()}{title[1:]}"]
    for section in sections:
        parts += [f"## {section.title.capitalize()}", section.note]
        parts += [markdown([section.header, *section.rows])] if section.rows else []
    return "\n\n".join(filter(None, parts)) + "\n"


def main(paths: Paths, judging: Judging, arguments: Sequence[str]) -> None:
    """Print the comparison of A and B, and write reports/comparison.md."""
    args = parse("compare", arguments, a="champion", b="")
    from rich.console import Console
    from rich.markdown import Markdown

    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    title, sections = compare(registry, args.a, args.b, paths, judging)
    text = as_markdown(title, sections)
    write_text(paths.comparison, text)
    Console().print(Markdown(text))
