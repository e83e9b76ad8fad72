"""Held-out predictions: scores of rows of train and validation by models that have not seen them.

models/out_of_fold.parquet holds `row` (its position in train and validation together), `time` where
the contract has one, `fold`, `actual`, and `score`, or `score_0`, `score_1` ... of several classes,
with classes as positions like `Predictions`. With repeated folds a row occurs several times.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import polars.selectors as cs

from ..data.contract import Contract
from ..data.splits import stable_hash
from ..files import Content
from ..project import Paths, UserError
from .bootstrap import Interval, Predictions
from .model import Model, raw_scores, unweighted
from .training import Fold, Table
from .types import Array, Estimator

FOLDS, REPEATS, SMALL_TABLE = 5, 3, 3_000
Folds = Sequence[tuple[Array, Array]]


def read_keys(
    paths: Paths, splits: Sequence[str], contract: Contract, group: str | None
) -> pl.DataFrame:
    """Read `row`, and `time` and `group` where they are there, of data/interim."""
    rows = pl.concat([pl.scan_parquet(paths.interim / name / "*.parquet") for name in splits])
    keys = {"row": pl.int_range(pl.len())}
    for time in contract.names("time"):
        keys["time"] = pl.col(time)
    if group and group in rows.collect_schema():
        keys["group"] = pl.col(group)
    return rows.select(**keys).collect()


def make_folds(
    number: int, keys: pl.DataFrame, group: str | None, classes: pl.Series | None, seed: int
) -> Folds:
    """The positions of the rows that learn, and of those held out, of each fold.

    Groups stay together; with a time each fold learns from what came before it; else rows are
    shuffled, and classes keep their shares. Raises ValueError for rows that allow no such folds.
    """
    rng, in_time = np.random.default_rng(seed), "time" in keys.columns and not group
    if group and "group" not in keys.columns:
        raise ValueError(f"{group} is personal data and dropped; set prepare.pii: hash")
    if group:
        groups = stable_hash(keys.select("group")).rank("dense").to_numpy() - 1
        numbers = rng.permutation(groups.max() + 1)[groups] % number
    elif in_time:
        places = keys["time"].rank("ordinal").cast(pl.Int64).to_numpy() - 1
        numbers = places * (number + 1) // keys.height - 1
    else:
        codes = np.zeros(keys.height) if classes is None else classes.rank("dense").to_numpy()
        # In the order of classes, neighbours go to different folds.
        order = np.lexsort([rng.random(keys.height), codes])
        numbers = np.empty(keys.height, dtype=int)
        numbers[order] = np.arange(keys.height) % number
    folds = []
    for each in range(number):
        learns = numbers < each if in_time else numbers != each
        folds.append((np.flatnonzero(learns), np.flatnonzero(numbers == each)))
    if not all(len(held) for _, held in folds):
        raise ValueError(f"{number} folds need more {'groups' if group else 'rows'}")
    if classes is not None and any(classes[learn].n_unique() < 2 for learn, _ in folds):
        raise ValueError(f"of {number} folds one would learn from rows of one class only")
    return folds


def plan_folds(
    mode: str, keys: pl.DataFrame, group: str | None, classes: pl.Series | None, seed: int
) -> Folds:
    """The folds of `train.out_of_fold`; none where the validation split is held out instead.

    Days are held out whole, by models of the days around them, so that every day has predictions:
    the monitor learns from them how days differ.
    Raises UserError where folds are asked for that cannot be made.
    """
    if mode == "validation" or (mode == "auto" and keys.height > SMALL_TABLE):
        return ()
    in_time = "time" in keys.columns and not group
    folds: list[tuple[Array, Array]] = []
    try:
        if mode == "days" and in_time:
            days = keys["time"].cast(pl.Date).rank("dense").to_numpy().astype(int)
            if days.max() >= FOLDS:
                of_days = [days % FOLDS == number for number in range(FOLDS)]
                return [(np.flatnonzero(~held), np.flatnonzero(held)) for held in of_days]
        for repeat in range(1 if in_time else REPEATS):
            folds += make_folds(FOLDS, keys, group, classes, seed + repeat)
    except ValueError as error:
        if mode == "auto":
            return ()
        raise UserError(f"params.yaml: train.out_of_fold: {error}.") from error
    return folds


def predict_held_out(
    folds: Folds,
    validation: Fold,
    task: str,
    holdout: Estimator,
    fit: Callable[[Table], Estimator],
) -> pl.DataFrame:
    """Predict the rows of `folds` by a fit of each, or without folds those of `validation`.

    Rows are numbered in train and validation together; `holdout` was fitted on `validation.train`.
    """
    both, first = validation.train + validation.valid, len(validation.train.target)
    parts: list[pl.DataFrame] = []
    places = np.arange(len(both.target))
    for number, (learns, held) in enumerate(folds or [(places[:first], places[first:])]):
        estimator = fit(both[learns]) if folds else holdout
        scores = unweighted(raw_scores(task, estimator, both.matrix[held]), validation.weights)
        named = {f"score_{i}": column for i, column in enumerate(scores.T)}
        columns = {"score": scores} if scores.ndim == 1 else named
        fixed = {"row": held, "fold": np.full(len(held), number), "actual": both.target[held]}
        parts.append(pl.DataFrame(fixed | columns))
    return pl.concat(parts)


def read_predictions(held_out: pl.DataFrame, model: Model) -> Predictions:
    """Held-out rows as predictions, with labels as `model` decides."""
    scores = held_out.select(cs.starts_with("score")).to_numpy()
    scores = scores if model.task == "multiclass" else scores[:, 0]
    return Predictions(held_out["actual"].to_numpy(), scores, model.decide(scores))


def prediction_interval(held_out: pl.DataFrame, confidence: float) -> Interval | None:
    """Offsets of a prediction, the same for every row; None where the rows are too few.

    Quantiles of residuals with the correction of split conformal prediction (Lei et al., 2018):
    it holds a new row, exchangeable with these, with at least this confidence.
    """
    residuals = np.sort((held_out["actual"] - held_out["score"]).to_numpy())
    rows = held_out["row"].n_unique()
    rank = math.ceil(round((rows + 1) * (1 + confidence) / 2, 9))
    if rank > rows:
        return None
    # A row of repeated folds has several residuals and counts once.
    times = len(residuals) // rows
    return float(residuals[(rows - rank) * times]), float(residuals[rank * times - 1])


def judge_interval(held_out: pl.DataFrame, test: Predictions, confidence: float) -> Content:
    """The prediction interval and the share of test rows that it holds; a note where none is."""
    interval = prediction_interval(held_out, confidence)
    if interval is None:
        note = f"too few held-out rows for {confidence:.0%}: {held_out['row'].n_unique()}"
        return {"prediction_interval": None, "prediction_interval_note": note}
    residuals = test.actual - test.scores
    inside = (residuals >= interval[0]) & (residuals <= interval[1])
    coverage = float(inside.mean())
    return {"prediction_interval": interval, "prediction_interval_coverage": coverage}
