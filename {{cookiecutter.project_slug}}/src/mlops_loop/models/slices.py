"""Slice-based evaluation: declared slices, worst slices found, and fairness gaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl

from ..data.contract import Contract
from ..project import Paths, UserError
from .bootstrap import Bootstrap, Predictions, Scoring, difference_interval, loss_interval
from .types import Array, Floats

MOST_VALUES, QUARTERS = 20, (0.25, 0.5, 0.75)
OTHER, MISSING = "(other)", "(missing)"
SEARCHED_ROWS, SEARCHED, PAIRED, SHOWN = 100_000, 30, 6, 5


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
) -> dict[str, Any]:
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
    edges = [values.quantile(share) for share in QUARTERS]
    above = pl.sum_horizontal((values > edge).cast(pl.Int8) for edge in edges)
    quarters = pl.select(quarter=above).to_series().set(values.is_null(), None)
    shown = values.round_sig_figs(4) if values.dtype.is_float() else values
    frame = pl.DataFrame([quarters, shown.alias("value")]).drop_nulls()
    value = pl.col("value")
    limits = frame.group_by("quarter").agg(low=value.min(), high=value.max())
    text = limits.sort("quarter").cast({"low": pl.String, "high": pl.String})
    names = {}
    for quarter, low, high in text.iter_rows():
        names[quarter] = low if low == high else f"{low} to {high}"
    return quarters.alias(values.name), names


def members(part: pl.Series) -> dict[str, Array]:
    """A mask of rows for each group."""
    return {group: (part == group).to_numpy() for group in part.unique().sort()}


def slices(parts: Sequence[pl.Series], rows: Predictions, params: Judging) -> list[dict[str, Any]]:
    """Rows, metrics and interval of each group of each declared column, or a note where none."""
    found: list[dict[str, Any]] = []
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
) -> tuple[list[dict[str, Any]], int]:
    """The worst slices by one column or by two, and the number of those that were searched.

    Pairs are of the columns `declared` and the first features after them. Worse than all other rows
    is proven by Welch's test with Bonferroni's correction for the number searched, as in Slice
    Finder (Chung et al., 2019).
    """
    found = candidates(parts, declared + PAIRED, losses, params.min_rows)
    searched = found.height
    doubt = (1 - params.bootstrap.confidence) / max(searched, 1)
    errors = NormalDist().inv_cdf(doubt)
    bound = pl.col("difference") + errors * pl.col("error")
    # Rounded, as Polars adds in any order and some slices hold the same rows.
    found = found.with_columns(bound=bound.round_sig_figs(9)).filter(bound > 0)
    keys = ["bound", "one", "two", "first", "second"]
    down = [key == "bound" for key in keys]
    proven = worse_than_parents(found).sort(keys, descending=down)
    described = []
    for name, chosen in disjoint(proven, parts):
        some = losses[chosen]
        value = params.scoring.from_losses(some.mean())
        interval = loss_interval(params.scoring, some, params.bootstrap)
        described.append({"slice": name, "rows": len(some), "value": value, "interval": interval})
    return described, searched


def candidates(parts: Sequence[pl.Series], paired: int, losses: Floats, least: int) -> pl.DataFrame:
    """The difference of each slice's mean loss to that of all other rows, and its standard error.

    A slice of one column is given as the pair of the column with itself.
    """
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    lazy = frame.lazy().with_columns(loss=pl.Series(losses))
    loss = pl.col("loss")
    pairs = [(number, number) for number in range(len(parts))]
    pairs += combinations(range(min(paired, len(parts))), 2)
    totals = (
        lazy.group_by(first=pl.col(str(one)), second=pl.col(str(two)))
        .agg(rows=pl.len().cast(pl.Int64), total=loss.sum(), squares=(loss**2).sum())
        .with_columns(pl.col("first", "second").cast(pl.String), one=one, two=two)
        for one, two in pairs
    )
    rows, total, squares = pl.col("rows"), pl.col("total"), pl.col("squares")
    rest = frame.height - rows
    rest_total = float(losses.sum()) - total
    rest_squares = float(losses @ losses) - squares
    mean = total / rows
    others = rest_total / rest
    variance = (squares / rows - mean**2) / rows
    variance += (rest_squares / rest - others**2) / rest
    found = pl.concat(pl.collect_all(totals)).filter(rows >= least, rest >= least)
    return found.with_columns(difference=mean - others, error=variance.clip(0).sqrt())


def worse_than_parents(found: pl.DataFrame) -> pl.DataFrame:
    """The slices without pairs that are no worse than a slice of one of their columns."""
    single = pl.col("one") == pl.col("two")
    parents = found.filter(single).select("one", "first", parent="bound")
    both = found.join(parents, on=["one", "first"], how="left")
    of_second = parents.rename({"one": "two", "first": "second", "parent": "parent_of_second"})
    both = both.join(of_second, on=["two", "second"], how="left")
    bound = pl.max_horizontal("parent", "parent_of_second").fill_null(0)
    return both.filter(single | (pl.col("bound") > bound))


def disjoint(found: pl.DataFrame, parts: Sequence[pl.Series]) -> Iterator[tuple[str, Array]]:
    """Names and rows of the first few slices that hold mostly other rows than those before."""
    seen = np.zeros(len(parts[0]), dtype=bool)
    shown = 0
    pairs = found.select("one", "two", "first", "second")
    for one, two, first, second in pairs.iter_rows():
        both = (parts[one] == first) & (parts[two] == second)
        chosen = both.to_numpy()
        known = (chosen & seen).sum()
        if shown < SHOWN and 2 * known <= chosen.sum():
            name = f"{parts[one].name} = {first}"
            other = f"{parts[two].name} = {second}"
            yield name if name == other else f"{name} and {other}", chosen
            seen |= chosen
            shown += 1


def fairness(
    parts: Sequence[pl.Series], rows: Predictions, params: Judging
) -> list[dict[str, Any]]:
    """The gap of each metric between the groups of each sensitive column, with its interval.

    Groups of too few rows do not count.
    """
    gaps = []
    metrics = {**params.scoring.metrics, **params.scoring.gaps}
    for part in parts:
        some = {}
        for group, chosen in members(part).items():
            if chosen.sum() >= params.min_rows:
                some[group] = rows[chosen]
        for name, metric in metrics.items():
            values = {group: metric.compute(each) for group, each in some.items()}
            defined = [group for group, value in values.items() if not np.isnan(value)]
            ordered = sorted(defined, key=values.__getitem__)
            if len(ordered) > 1:
                low = ordered[0]
                high = ordered[-1]
                interval = difference_interval(
                    metric.compute, some[high], some[low], params.bootstrap
                )
                gap = {"gap": values[high] - values[low], "interval": interval}
                gaps.append(
                    {"column": part.name, "metric": name, **gap, "lowest": low, "highest": high}
                )
    return gaps
