"""Slice-based evaluation: declared slices, worst slices found, fairness gaps; bars of metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from ..config import Section
from ..console import figure
from ..data.contract import Contract
from ..files import Content, Figures
from ..project import Paths, UserError
from .bootstrap import Bootstrap, Predictions, Scores, Scoring, difference_interval, loss_interval
from .types import Array, Floats

MOST_VALUES, QUARTERS = 20, (0.25, 0.5, 0.75)
OTHER, MISSING = "(other)", "(missing)"
TOO_GOOD = 0.9995  # of a metric that is 1 at best
BEST_IS_1 = {"regression": "r2", "binary": "roc_auc", "multiclass": "accuracy"}
SEARCHED_ROWS, SEARCHED, PAIRED, SHOWN = 100_000, 30, 6, 5
Slice = tuple[tuple[int, int], ...]  # a group of one column or of two, both as numbers


@dataclass(frozen=True)
class Judging:
    """The metrics, bootstrap and fewest rows with which slices are evaluated."""

    scoring: Scoring
    bootstrap: Bootstrap
    min_rows: int


def report(
    declared: pl.DataFrame,
    features: pl.DataFrame,
    rows: Predictions,
    contract: Contract,
    params: Judging,
) -> Content:
    """The content of reports/slices.json.

    `declared` holds the columns sliced by the contract, `features` the features in order of
    importance, both of `rows`. Raises UserError where they hold other rows.
    """
    if declared.width and declared.height != features.height:
        raise UserError("data/interim/test and data/processed/test differ; run `make data` first.")
    parts = [groups(values) for values in declared]
    sensitive = [column.name for column in contract.columns if column.sensitive]
    # More rows would find little more that matters.
    some = sample(len(rows.actual), SEARCHED_ROWS, params.bootstrap.seed)
    others = features.drop(declared.columns, strict=False)[some, :SEARCHED]
    losses = params.scoring.losses(rows[some])
    everything = [part[some] for part in parts]
    everything += [groups(values) for values in others]
    found, searched = worst(everything, len(parts), losses, params)
    compared = [part[some] for part in parts if part.name in sensitive]
    return {
        "metric": params.scoring.primary,
        "min_rows": params.min_rows,
        "declared": slices(parts, rows, params),
        "worst": found,
        "searched": searched,
        "fairness": fairness(compared, rows[some], params),
    }


def read_declared(paths: Paths, contract: Contract) -> pl.DataFrame:
    """Read the columns of data/interim/test that the contract slices.

    Raises UserError for a missing column.
    """
    rows = pl.scan_parquet(paths.interim / "test" / "*.parquet")
    names = [column.name for column in contract.columns if column.sliced]
    missing = [name for name in names if name not in rows.collect_schema()]
    if missing:
        raise UserError(f"data/interim/test has no column {missing[0]}; run `make data` first.")
    return rows.select(names).collect()


def sample(height: int, most: int, seed: int) -> Array:
    """The positions of a random sample of rows, in order."""
    chosen = np.random.default_rng(seed).choice(height, min(most, height), replace=False)
    return np.sort(chosen)


def groups(values: pl.Series) -> pl.Series:
    """The group of each row, an Enum in a natural order: its month, its quarter, or its value.

    Numbers of many values are cut at their quartiles; of other values the rare ones are pooled.
    """
    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype.is_temporal():
        keys = values.dt.month_start()
        known = keys.drop_nulls().unique().sort()
        names = dict(zip(known, known.dt.strftime("%Y-%m"), strict=True))
    elif values.dtype.is_numeric() and values.n_unique() > MOST_VALUES:
        keys, names = _quarters(values)
    else:
        counts = values.drop_nulls().alias("value").value_counts(name="rows")
        counts = counts.with_columns(text=pl.col("value").cast(pl.String))
        top = counts.sort("rows", "text", descending=[True, False]).head(MOST_VALUES)
        keys = values
        names = dict(zip(top["value"], top["text"], strict=True))
    distinct = dict.fromkeys([*names.values(), OTHER, MISSING])
    group = pl.Enum(list(distinct))
    return keys.replace_strict({**names, None: MISSING}, default=OTHER, return_dtype=group)


def _quarters(values: pl.Series) -> tuple[pl.Series, dict[Any, str]]:
    """The quarter (0 to 3) of each number, and the names of quarters: their least and most."""
    edges = np.array([values.quantile(share) for share in QUARTERS])
    quarters = pl.Series(values.name, np.searchsorted(edges, values)).set(values.is_null(), None)
    shown = values.round_sig_figs(4) if values.dtype.is_float() else values
    names = {}
    for quarter in quarters.drop_nulls().unique().sort():
        inside = shown.filter(quarters == quarter)
        limits = pl.Series([inside.min(), inside.max()], dtype=shown.dtype).cast(pl.String)
        names[quarter] = " to ".join(limits.unique(maintain_order=True))
    return quarters, names


def members(part: pl.Series) -> dict[str, Array]:
    """A mask of rows for each group."""
    return {group: (part == group).to_numpy() for group in part.unique().sort()}


def slices(parts: Sequence[pl.Series], rows: Predictions, params: Judging) -> list[Content]:
    """Rows, metrics and interval of each group of each declared column, or a note where none."""
    found: list[Content] = []
    for part in parts:
        for group, chosen in members(part).items():
            count = int(chosen.sum())
            each = {"column": part.name, "group": group, "rows": count}
            if count < params.min_rows:
                note = f"too few rows to judge (evaluate.slices.min_rows: {params.min_rows})"
                found.append({**each, "metrics": None, "interval": None, "note": note})
                continue
            some = rows[chosen]
            losses = params.scoring.losses(some)
            interval = loss_interval(params.scoring, losses, params.bootstrap)
            found.append({**each, "metrics": params.scoring.score(some), "interval": interval})
    return found


def worst(
    parts: Sequence[pl.Series], declared: int, losses: Floats, params: Judging
) -> tuple[list[Content], int]:
    """The worst slices by one column or by two, and the number of those that were searched.

    Pairs are of the columns `declared` and the first features after them. Worse than all other rows
    is proven by Welch's test with Bonferroni's correction for the number searched, as in Slice
    Finder (Chung et al., 2019); a pair is also worse than either of its columns alone.
    """
    codes = [part.to_physical().cast(pl.Int64).to_numpy() for part in parts]
    bounds = lower_bounds(codes, declared + PAIRED, losses, params)
    described: list[Content] = []
    seen = np.zeros(len(losses), dtype=bool)
    for slice_ in sorted(bounds, key=lambda each: (-bounds[each], each)):
        parents = [bounds.get((condition,), 0) for condition in slice_ if len(slice_) > 1]
        if bounds[slice_] <= max([0, *parents]) or len(described) == SHOWN:
            continue
        chosen = np.all([codes[column] == group for column, group in slice_], axis=0)
        # A slice whose rows are mostly described already says nothing new.
        if 2 * (chosen & seen).sum() > chosen.sum():
            continue
        seen |= chosen
        some = losses[chosen]
        any_row = int(chosen.argmax())
        names = [f"{parts[column].name} = {parts[column][any_row]}" for column, _ in slice_]
        value = params.scoring.from_losses(some.mean())
        interval = loss_interval(params.scoring, some, params.bootstrap)
        found = {"rows": len(some), "value": value, "interval": interval}
        described.append({"slice": " and ".join(names), **found})
    return described, len(bounds)


def lower_bounds(
    codes: Sequence[Array], paired: int, losses: Floats, params: Judging
) -> dict[Slice, float]:
    """Lower bound of the difference of each slice's mean loss to that of all other rows."""
    pairs = combinations(range(min(paired, len(codes))), 2)
    searched: list[Slice] = []
    sums = []
    powers = np.array([np.ones(len(losses)), losses, losses**2])
    for columns in [*combinations(range(len(codes)), 1), *pairs]:
        shape = tuple(codes[column].max() + 1 for column in columns)
        keys = np.ravel_multi_index([codes[column] for column in columns], shape)
        sums.append([np.bincount(keys, power, minlength=np.prod(shape)) for power in powers])
        searched += [tuple(zip(columns, groups, strict=True)) for groups in np.ndindex(shape)]
    inside = np.concatenate(sums, axis=1)
    outside = powers.sum(axis=1, keepdims=True) - inside
    enough = np.flatnonzero(np.minimum(inside[0], outside[0]) >= params.min_rows)
    mean, variance = mean_and_variance(inside[:, enough])
    others, other_variance = mean_and_variance(outside[:, enough])
    error = np.sqrt((variance + other_variance).clip(0))
    doubt = (1 - params.bootstrap.confidence) / max(len(enough), 1)
    bounds = mean - others + NormalDist().inv_cdf(doubt) * error
    # Rounded, as sums over the same rows may differ in their last digits.
    return {searched[i]: float(f"{bound:.9g}") for i, bound in zip(enough, bounds, strict=True)}


def mean_and_variance(sums: Floats) -> tuple[Floats, Floats]:
    """The mean and its variance, from the number of rows and the sums of losses and squares."""
    rows, total, squares = sums
    mean = total / rows
    return mean, (squares / rows - mean**2) / rows


def fairness(parts: Sequence[pl.Series], rows: Predictions, params: Judging) -> list[Content]:
    """The gap of each metric between the groups of each sensitive column, with its interval.

    Groups of too few rows do not count.
    """
    found = []
    metrics = {**params.scoring.metrics, **params.scoring.gaps}
    for part in parts:
        large = {g: rows[m] for g, m in members(part).items() if m.sum() >= params.min_rows}
        for name, metric in metrics.items():
            values = [(metric.compute(some), group) for group, some in large.items()]
            known = sorted(each for each in values if not np.isnan(each[0]))
            if len(known) > 1:
                (low, lowest), (high, highest) = known[0], known[-1]
                gap = {"column": part.name, "metric": name, "gap": high - low}
                both = large[highest], large[lowest]
                interval = difference_interval(metric, *both, params.bootstrap)
                found.append({**gap, "interval": interval, "lowest": lowest, "highest": highest})
    return found


def check_bars(task: str, scoring: Scoring, contract: Contract, register: Section) -> None:
    """Raise UserError for a bar on a metric that the task lacks, or that no column is judged by.

    Bars are the mappings `bars`, `slices` and `fairness` of section `register`.
    """
    bars = register.model_dump(include={"bars", "slices", "fairness"})
    for key, names in bars.items():
        known = {**scoring.metrics, **(scoring.gaps if key == "fairness" else {})}
        for name in names:
            if name not in known:
                where = f"params.yaml: register.{key}.{name}"
                raise UserError(f"{where}: {task} has only {', '.join(known)}.")
    needs = "params.yaml: register.{}: no column of contract.yaml has {}: true."
    if bars["slices"] and not any(column.sliced for column in contract.columns):
        raise UserError(needs.format("slices", "slice"))
    if bars["fairness"] and not any(column.sensitive for column in contract.columns):
        raise UserError(needs.format("fairness", "sensitive"))


def failed_bars(scoring: Scoring, scores: Scores, bars: Figures) -> list[str]:
    """One sentence for each bar that the scores miss."""
    sentences = []
    for name, bar in bars.items():
        value, higher = scores[name], scoring.metrics[name].higher_is_better
        if value is None:
            sentences.append(f"{name} has a bar, but these test rows leave it undefined")
        elif (value < bar) if higher else (value > bar):
            side = "below" if higher else "above"
            sentences.append(f"{name} {value:.4g} is {side} the bar of {bar:g}")
    return sentences


def not_judged(groups: Mapping[str, Any], bars: Figures, fairness: Figures) -> list[str]:
    """A sentence that names slices and gaps with a bar and too few rows, if there are any."""
    few = [
        f"{each['column']} = {each['group']} ({each['rows']})"
        for each in groups["declared"]
        if any((each["metrics"] or {}).get(name) is None for name in bars)
    ]
    if fairness and not groups["fairness"]:
        few.append("fairness (no two groups)")
    return [f"not judged, too few rows: {', '.join(few)}"] if few else []


def too_good(task: str, scores: Scores) -> list[str]:
    """A sentence on a test almost without error, which is rather a leak than a model."""
    name = BEST_IS_1[task]
    if (scores.get(name) or 0) <= TOO_GOOD:
        return []
    doubt = "hardly an error in the test is rather a leak than a model"
    return [f"{name} {figure(scores[name])}: {doubt}; is every input known beforehand?"]
