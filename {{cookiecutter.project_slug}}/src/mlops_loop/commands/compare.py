"""`make compare`: two versions or runs side by side: lineage, parameters, features, test metrics.

Printed, and written to reports/comparison.md and .html.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from ..console import Arguments, Row, change, figure, markdown, parse, track
from ..data.contract import load_contract
from ..files import write_text
from ..lineage import data_version
from ..models.bootstrap import Predictions, improvement, outcome
from ..models.model import Model
from ..models.slices import Judging, groups, members, read_declared
from ..page import write_page
from ..project import Paths, UserError
from ..tracking import open_registry
from .explain import read_test

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

LINEAGE = (
    *("git_commit", "git_dirty", "data_version", "features_hash"),
    *("template_version", "trigger", "author", "python", "hardware"),
)
Values = Mapping[str, object]


def section(title: str, note: str, header: Row = (), rows: Sequence[Row] = ()) -> str:
    """A part of the report as Markdown: its title, a note, and a table if there are rows."""
    table = markdown([header, *rows]) if rows else ""
    return "\n\n".join(filter(None, [f"## {title}", note, table]))


def differing(ours: Values, theirs: Values, names: Iterable[str] = ()) -> list[Row]:
    """The names, by default all, whose values differ, with both; a dash where there is none."""
    names = names or {**ours, **theirs}
    both = [(name, ours.get(name, "-"), theirs.get(name, "-")) for name in names]
    return [(name, str(one), str(other)) for name, one, other in both if one != other]


def find_opponent(registry: "Registry", first: "Version") -> "Version":
    """The challenger, else the newest version, that is not `first`.

    Raises UserError where there is no other.
    """
    newest_first = [version.version for version in reversed(registry.versions())]
    for number in (registry.aliases().get("challenger"), *newest_first):
        if number is not None and int(number) != first.number:
            return registry.find(number)
    raise UserError(f"there is nothing to compare {first} with; change something and `make train`.")


def features(model: Model) -> dict[str, str]:
    """The expression of each feature, by its name."""
    return {
        feature.meta.output_name(raise_if_undetermined=False) or str(feature): str(feature)
        for feature in model.features
    }


def compare_metrics(
    versions: Sequence["Version"], models: Sequence[Model], paths: Paths, judging: Judging
) -> list[str]:
    """Compare the second model with the first on data/interim/test, or explain why not."""
    first, second = (model.task_signature for model in models)
    if first != second:
        return [section("Metrics", f"not comparable: one predicts {first}, the other {second}")]
    try:
        test = read_test(paths, models[0], versions[0])
        both = [outcome(model, test[model.target], model.score(test)) for model in models]
    except (UserError, pl.exceptions.PolarsError) as error:
        return [section("Metrics", f"not comparable: {error}")]
    header = ("", *map(str, versions), str(versions[1]))
    rows = [(name, *gain(name, both, judging)) for name in judging.scoring.metrics]
    note = f"{test.height:,} rows of data/interim/test, paired bootstrap"
    declared = read_declared(paths, load_contract(paths.contract))
    worse = worse_slices(header, both, declared, judging)
    return [section("Metrics", note, header, rows), worse]


def worse_slices(
    header: Row, both: Sequence[Predictions], declared: pl.DataFrame, judging: Judging
) -> str:
    """The groups of the declared columns in which the second is significantly worse.

    Bonferroni's correction: the more groups are judged, the surer each must be.
    """
    found = {
        f"{column.name} = {group} ({chosen.sum():,} rows)": chosen
        for column in declared
        for group, chosen in members(groups(column)).items()
    }
    enough = {name: chosen for name, chosen in found.items() if chosen.sum() >= judging.min_rows}
    metric, worse = judging.scoring.primary, []
    for name, chosen in track(enough.items(), "compare: slices"):
        row = gain(metric, [predictions[chosen] for predictions in both], judging, len(enough))
        if row[-1].startswith("worse"):
            worse.append((name, *row))
    others = len(found) - len(enough)
    note = f"{metric} in {len(worse)} of {len(enough)} groups; {others} have too few rows to judge"
    return section("Slices that got worse", note, header, worse)


def gain(name: str, both: Sequence[Predictions], judging: Judging, judged: int = 1) -> Row:
    """A metric of both, and the improvement with its interval in words.

    `judged` is the number of such differences.
    """
    options, metric = judging.bootstrap, judging.scoring.metrics[name]
    surer = replace(options, confidence=1 - (1 - options.confidence) / judged)
    better, low, high = improvement(metric, both[1], both[0], surer)
    words = change(better, low, high)
    if low <= 0 <= high:
        words = f"not significantly {words}" if better else "equal"
    return (*(figure(metric.compute(rows)) for rows in both), words)


def compare(registry: "Registry", a: str, b: str, paths: Paths, judging: Judging) -> str:
    """The comparison as Markdown, the older version first; raises UserError where there is none."""
    one = registry.find(a)
    other = registry.find(b) if b else find_opponent(registry, one)
    if one.run_id == other.run_id:
        raise UserError(f"A and B are both {one}; name another.")
    # A run that was not registered has no number.
    first, second = sorted((one, other), key=lambda version: version.number or math.inf)
    models = registry.load(first.name), registry.load(second.name)
    names = str(first), str(second)
    parts, current = [f"# {' and '.join(names).capitalize()}"], data_version(paths.dvc_lock)
    others = [str(v) for v in (first, second) if v.tags.get("data_version") != current]
    if others:
        note = "trained on other data than these, may have seen some rows"
        parts.append(section("Data", f"{' and '.join(others)}: {note}"))
    params = (registry.record(version).params for version in (first, second))
    for title, rows in (
        ("Lineage", differing(first.tags, second.tags, LINEAGE)),
        ("Parameters", differing(*params)),
        ("Features", differing(*map(features, models))),
    ):
        parts.append(section(title, "" if rows else "nothing differs", ("", *names), rows))
    parts += compare_metrics((first, second), models, paths, judging)
    return "\n\n".join(parts) + "\n"


def main(paths: Paths, judging: Judging, arguments: Arguments) -> None:
    """Print the comparison of A and B, and write it below reports/."""
    args = parse("compare", arguments, a="champion", b="")
    from rich.console import Console
    from rich.markdown import Markdown

    registry = open_registry(paths)
    text = compare(registry, args.a, args.b, paths, judging)
    reports = paths.report.parent
    write_text(reports / "comparison.md", text)
    write_page(reports / "comparison.html", title="Comparison", text=text)
    Console().print(Markdown(text))
