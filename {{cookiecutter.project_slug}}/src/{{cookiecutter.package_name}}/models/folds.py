"""Cross-validation of parameters on the train split, in the order that the data ask for."""

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from ..data.contract import Contract
from ..data.hashing import stable_hash
from ..errors import UserError
from ..params import Params
from .estimators import Fold, fit_fold, fit_trees
from .metrics import METRICS, Outcome, best_threshold
from .model import Array, Encoder, Floats, decide, unweighted
from .train import balanced, find_classes, table


def positions(rows: pl.DataFrame, params: Params, contract: Contract) -> list[tuple[Array, Array]]:
    """Where the rows to learn from and the rows that judge stand, for each fold.

    Groups stay together; with a time column each fold learns from what came before it; else rows
    are shuffled, and classes keep their shares. `rows` are those of data/interim/train. Raises
    UserError when they are too few.
    """
    number, group, times = params.tune.folds, params.prepare.group, contract.names("time")
    shuffled = {"n_splits": number, "shuffle": True, "random_state": params.seed}
    target = rows[:, -1].to_numpy()
    if group and group not in rows.columns:
        raise UserError(
            f"prepare.group: {group} is personal data and dropped; set prepare.pii: hash."
        )
    try:
        if group:
            groups = stable_hash(rows.select(group)).to_numpy()
            return list(GroupKFold(number).split(target, groups=groups))
        if times:
            order = np.argsort(rows[times[0]].to_physical().to_numpy(), kind="stable")
            return [(order[a], order[b]) for a, b in TimeSeriesSplit(number).split(order)]
        if params.task == "regression":
            return list(KFold(**shuffled).split(target))
        return list(StratifiedKFold(**shuffled).split(target, target))
    except ValueError as error:
        raise UserError(f"params.yaml: tune.folds: {error}") from error


def make_fold(
    learning: pl.DataFrame, judging: pl.DataFrame, known: pl.Series, params: Params
) -> Fold:
    """A fold of frames whose last column is the target; all that is fitted sees `learning` alone.

    `known` are the targets whose classes are told apart. Raises UserError for a single class.
    """
    encoder = Encoder.fit(learning[:, :-1])
    classes = find_classes(params.task, learning[:, -1], known)
    weights = balanced(learning[:, -1], classes) if params.train.class_weight else ()
    one, other = (table(frame, encoder, classes, weights) for frame in (learning, judging))
    return Fold(one, other, len(classes), weights)


def judge(fold: Fold, params: Params, metric: str) -> tuple[float, int]:
    """The metric of the rows that judge, and the trees that it took.

    Raises UserError where these rows leave the metric undefined.
    """
    raw, trees = fit_fold(params.task, params.train, params.seed, fold)
    value = METRICS[params.task][metric].compute(outcome(fold, params, raw))
    if np.isnan(value):
        raise UserError(
            f"params.yaml: tune.metric: the rows of a fold leave {metric} undefined; set fewer "
            "tune.folds or another metric."
        )
    return value, trees


def refit(fold: Fold, params: Params, trees: int) -> Outcome:
    """What comes of the rows that judge, by a fit that has not seen them in any way."""
    raw = fit_trees(params.task, params.train, params.seed, fold, trees)
    return outcome(fold, params, raw)


def outcome(fold: Fold, params: Params, raw: Floats) -> Outcome:
    """Raw scores as probabilities and answers: of two classes by the threshold, else best F1."""
    scores, threshold = unweighted(raw, fold.weights), params.train.threshold
    if params.task == "binary" and threshold is None:
        threshold = best_threshold(fold.judging.target, scores)
    return Outcome(fold.judging.target, scores, decide(params.task, scores, threshold or 0.5))
