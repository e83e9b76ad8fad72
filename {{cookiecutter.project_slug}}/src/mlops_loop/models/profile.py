"""Reference profile of a model: its rows counted by day, and its losses on rows it has not seen.

The monitor compares later days with it. Rows of several days merge by addition, so a profile of a
year is the sum of those of its days, whatever the number of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs

from ..data.contract import Contract
from ..files import COMPRESSION, read_json, replaced, write_json
from ..project import SPLITS, Paths, UserError, import_library
from . import persistence, slices
from .bootstrap import Predictions, Scoring, outcome
from .held_out import read_predictions
from .model import Model
from .types import Array, Estimator, Floats

BINS, ROWS_A_BIN, LEVELS = 64, 50, 512
CAP = 0.995  # the quantile at which losses are clipped: few rows would rule the mean of a day
FOLDS, TREES, MOST_ROWS = 4, 50, 50_000
NO_DAY = pl.date(1970, 1, 1)  # of tables without a time column
FILE, COUNTS, LOSSES = "profile.json", "counts.parquet", "losses.parquet"
OPTIONS = {
    "objective": "regression",
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_child_samples": 100,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 0,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Bins:
    """The bins of a watched column.

    A number has a bin below `edges`, the bins (a, b] between them, and one above; a category has
    one for each of `levels`, and one for all others. The last bin holds missing values.
    """

    edges: list[float] | None = None
    levels: list[str] | None = None

    def __len__(self) -> int:
        return len(self.edges or self.levels or ()) + 2

    def find(self, values: pl.Series) -> Array:
        """The bin of each value."""
        if self.edges is not None:
            numbers = to_numbers(values)
            bins = np.searchsorted(np.array(self.edges), numbers, "left")
            return np.where(np.isfinite(numbers), bins, len(self) - 1)
        text, others = values.cast(pl.String), len(self) - 2
        places = text.replace_strict(
            self.levels, range(others), default=others, return_dtype=pl.Int32
        )
        return np.where(text.is_null(), others + 1, places)


@dataclass(frozen=True)
class Expectation:
    """The loss that a row's features and score let expect.

    Easy rows have small losses whatever the model is worth, so the mean loss of a day says as much
    about its rows as about the model; observed over expected loss says it about the model alone.
    A tree ensemble is fitted on held-out losses, clipped at `cap` (direct loss estimation, as
    NannyML calls it); `factor` makes the mean of what it expects theirs.
    `variance` and `skewness` belong to the difference of a row's loss from the expected one,
    `raw_variance` to the loss itself, all in units of the mean loss.
    """

    estimator: Estimator
    cap: float
    factor: float = 1.0
    variance: float = 0.0
    skewness: float = 0.0
    raw_variance: float = 0.0

    def expect(self, rows: Floats) -> Floats:
        """The expected loss of rows, which are encoded features with the scores behind them."""
        losses = self.factor * self.estimator.predict(rows)
        return np.asarray(np.clip(losses, self.cap / 1_000, None))


@dataclass(frozen=True)
class Profile:
    """A reference profile.

    `counts` holds the rows by column, day and bin. `losses` holds by slice and value (both empty
    for all rows) and day the rows, and the sums of their clipped losses and of the expected ones.
    """

    columns: dict[str, Bins]
    counts: pl.DataFrame
    losses: pl.DataFrame
    expectation: Expectation

    def save(self, folder: Path) -> None:
        """Write the profile as JSON, Parquet and LightGBM's text."""
        folder.mkdir(parents=True)
        columns = {name: vars(bins) for name, bins in self.columns.items()}
        expectation = vars(self.expectation) | {"estimator": None}
        write_json(folder / FILE, {"columns": columns, "expectation": expectation})
        self.counts.write_parquet(folder / COUNTS, compression=COMPRESSION)
        self.losses.write_parquet(folder / LOSSES, compression=COMPRESSION)
        persistence.save(self.expectation.estimator, folder)


def load(folder: Path) -> Profile:
    """Read what `Profile.save` wrote."""
    content = read_json(folder / FILE)
    expectation = content["expectation"] | {"estimator": persistence.load(folder)}
    return Profile(
        columns={name: Bins(**bins) for name, bins in content["columns"].items()},
        counts=pl.read_parquet(folder / COUNTS),
        losses=pl.read_parquet(folder / LOSSES),
        expectation=Expectation(**expectation),
    )


def write_profile(
    paths: Paths, contract: Contract, model: Model, scoring: Scoring, tested: Predictions
) -> None:
    """Write models/profile.

    Columns are counted in every split; predictions and losses belong to rows that the model has
    not seen: those of models/out_of_fold.parquet, and the test split.
    """
    given, made = (
        pl.concat(pl.read_parquet(folder / name / "*.parquet") for name in SPLITS)
        for folder in (paths.interim, paths.processed)
    )
    if given.height != made.height:
        raise UserError("data/interim and data/processed differ; run `make data` first.")
    held = pl.read_parquet(paths.out_of_fold).unique("row", maintain_order=True)  # of any repeat
    first_tested = made.height - len(tested.scores)
    rows = np.append(held["row"].to_numpy(), np.arange(first_tested, made.height))
    scores = np.concatenate([read_predictions(held, model).scores, tested.scores])

    days, target = find_days(given, contract), made[model.target]
    watched = watch(given, made, contract)
    predictions = predict(model, scores)
    columns = {values.name: make_bins(values, contract, target) for values in watched}
    columns |= {values.name: make_bins(values, contract) for values in predictions}
    counts = [count(columns, watched, days), count(columns, predictions, days[rows])]

    losses = row_losses(model, scoring, target[rows], scores)
    encoded = np.column_stack([model.encoder.encode(made[rows]), scores])
    expectation, expected = fit_expectation(encoded, losses, days[rows], model.encoder.categorical)
    clipped = np.minimum(losses, expectation.cap)
    sums = sum_losses(given[rows], days[rows], contract, clipped, expected)
    with replaced(paths.profile) as temporary:
        Profile(columns, pl.concat(counts), sums, expectation).save(temporary)


def find_days(rows: pl.DataFrame, contract: Contract) -> pl.Series:
    """The day of each row, as the time column has it; one day where there is none."""
    days = [pl.col(name).cast(pl.Date) for name in contract.names("time")]
    return rows.with_columns(day=days[0] if days else NO_DAY)["day"]


def watch(given: pl.DataFrame, made: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The columns to watch: features and target, and inputs that are no features.

    `given` holds raw columns, `made` the features of the same rows. Personal data are not watched.
    """
    inputs = [name for name in contract.dtypes("input") if name not in made.columns]
    return made.hstack(given.select(cs.by_name(inputs, require_all=False)))


def predict(model: Model, scores: Floats) -> pl.DataFrame:
    """The prediction to watch: the value, P(second class), or the class of several.

    Scores are those of `Model.score`; of several classes the one that is predicted says enough.
    """
    watched = model.label(scores) if model.task == "multiclass" else scores
    return pl.DataFrame({"prediction": watched})


def make_bins(values: pl.Series, contract: Contract, order: pl.Series | None = None) -> Bins:
    """The bins of a column.

    Text, booleans, and codes that the contract lists are categories; their levels are sorted by
    their mean of `order`, so that a shift of many levels which matters has a direction.
    """
    coded = [column.name for column in contract.columns if column.categories]
    if values.dtype not in (pl.String, pl.Boolean) and values.name not in coded:
        return Bins(edges=find_edges(to_numbers(values)).tolist())
    table = pl.DataFrame({"level": values.cast(pl.String)}).with_columns(
        order=pl.lit(0.0) if order is None else order.cast(pl.Float64, strict=False)
    )
    levels = table.drop_nulls("level").group_by("level").agg(pl.len(), pl.mean("order"))
    frequent = levels.sort("len", "level", descending=[True, False]).head(LEVELS)
    return Bins(levels=frequent.sort("order", "level")["level"].to_list())


def to_numbers(values: pl.Series) -> Floats:
    """A column as numbers, missing ones as NaN; dates and durations by their physical value."""
    numbers: Floats = values.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    return numbers


def find_edges(values: Floats) -> Floats:
    """Edges of bins: quantiles, both ends, and frequent values alone.

    There are 64 bins at most, and each has 50 rows: fewer would make a chance of every new day
    look like a change. A value that would fill a bin has one for itself: zeros, rounded numbers.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(1)
    bins = int(np.clip(len(known) // ROWS_A_BIN, 2, BINS))
    inner = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    distinct, rows = np.unique(known, return_counts=True)
    frequent = distinct[rows >= len(known) / bins]
    before = np.nextafter([distinct[0], *frequent], -np.inf)
    return np.unique(np.concatenate([before, inner, frequent, distinct[-1:]]))


def count(columns: Mapping[str, Bins], table: pl.DataFrame, days: pl.Series) -> pl.DataFrame:
    """Count rows by column, day and bin, for the columns that the table has.

    `days` is the day of each row. Counts of two tables are added where all three are equal.
    """
    parts = []
    for name in table.columns:
        found = pl.DataFrame({"day": days, "bin": columns[name].find(table[name])})
        found = found.with_columns(pl.col("bin").cast(pl.Int16), column=pl.lit(name))
        parts.append(found.group_by("column", "day", "bin").agg(rows=pl.len()))
    return pl.concat(parts).sort("column", "day", "bin")


def row_losses(model: Model, scoring: Scoring, actual: pl.Series, scores: Floats) -> Floats:
    """The loss of each row, its root where the primary metric is the root of a mean."""
    losses = scoring.losses(outcome(model, actual, scores))
    return np.sqrt(losses) if scoring.root else losses


def fit_expectation(
    rows: Floats, losses: Floats, days: pl.Series, categorical: Sequence[int]
) -> tuple[Expectation, Floats]:
    """Fit expected losses; returns them too, each expected by a fit that has not seen its day.

    Expected by a fit that has seen them, losses would look better known than those of a later day
    are, and days more alike than they are.
    """
    lightgbm = import_library("lightgbm")
    cap = float(np.quantile(losses, CAP))
    clipped = np.minimum(losses, cap)

    def fit(some: Array) -> Expectation:
        some = some[:: -(-len(some) // MOST_ROWS)]
        data = lightgbm.Dataset(rows[some], clipped[some], categorical_feature=list(categorical))
        booster = lightgbm.train(OPTIONS, data, TREES)
        return Expectation(persistence.LightGBM(booster), cap)

    number = days.rank("dense").to_numpy().astype(int)
    folds = (number if number.max() >= FOLDS else np.arange(len(losses))) % FOLDS
    expected = np.empty(len(losses))
    for fold in np.unique(folds):
        inside = folds == fold
        expected[inside] = fit(np.flatnonzero(~inside)).expect(rows[inside])
    # A project whose held-out rows are all predicted without error expects a tiny loss.
    mean = max(float(clipped.mean()), np.finfo(float).tiny)
    factor = mean / float(expected.mean())
    rest = (clipped - factor * expected) / mean
    variance = float(rest.var())
    third_moment = float(np.mean((rest - rest.mean()) ** 3))
    found = Expectation(
        estimator=fit(np.arange(len(losses))).estimator,
        cap=cap,
        factor=factor,
        variance=variance,
        skewness=third_moment / max(variance, 1e-12) ** 1.5,
        raw_variance=float((clipped / mean).var()),
    )
    return found, factor * expected


def sum_losses(
    given: pl.DataFrame, days: pl.Series, contract: Contract, losses: Floats, expected: Floats
) -> pl.DataFrame:
    """Sum rows, losses and expected losses by day, of all rows and of each declared slice.

    `days` is the day of each row. Slices are grouped as reports/slices.json groups them.
    """
    everything = pl.repeat("", given.height, eager=True).alias("")
    parts = [slices.groups(given[column.name]) for column in contract.columns if column.sliced]
    sums = []
    for groups in (everything, *parts):
        table = pl.DataFrame({"value": groups.cast(pl.String), "day": days})
        table = table.with_columns(slice=pl.lit(groups.name), loss=losses, expected=expected)
        by_day = table.group_by("slice", "value", "day")
        sums.append(by_day.agg(pl.len().alias("rows"), pl.sum("loss", "expected")))
    return pl.concat(sums).sort("slice", "value", "day")
