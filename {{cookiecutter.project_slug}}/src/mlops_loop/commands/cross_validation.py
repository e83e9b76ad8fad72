"""Cross-validation of parameters on the train split, with folds that suit the data."""

from typing import Any

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from ..data.contract import Contract
from ..data.splits import stable_hash
from ..models.bootstrap import Predictions, best_threshold
from ..models.dataset import Fold, balanced, find_classes, table
from ..models.learner import Learner
from ..models.model import Encoder, decide, unweighted
from ..models.types import Array, Floats
from ..project import UserError


def positions(
    rows: pl.DataFrame, learner: Learner[Any], contract: Contract
) -> list[tuple[Array, Array]]:
    """The positions of the training and the validation rows of each fold.

    Groups stay together; with a time column each fold trains on what came before it; else rows are
    shuffled, and classes keep their shares. `rows` are those of data/interim/train, the target
    last. Raises UserError when they are too few.
    """
    number, group, times = learner.tune.folds, learner.group, contract.names("time")
    shuffled = {"n_splits": number, "shuffle": True, "random_state": learner.seed}
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
        splitter = KFold if learner.task == "regression" else StratifiedKFold
        return list(splitter(**shuffled).split(target, target))
    except ValueError as error:
        raise UserError(f"params.yaml: tune.folds: {error}") from error


def make_fold(
    train: pl.DataFrame, valid: pl.DataFrame, known: pl.Series, learner: Learner[Any]
) -> Fold:
    """Encode two frames whose last column is the target; everything fitted sees `train` only.

    `known` are targets of every class. Raises UserError for a single class.
    """
    encoder = Encoder.fit(train[:, :-1])
    classes = find_classes(learner.task, train[:, -1], known)
    weights = balanced(train[:, -1], classes) if learner.balanced else ()
    one, other = (table(frame, encoder, classes, weights) for frame in (train, valid))
    return Fold(one, other, len(classes), weights)


def predictions(fold: Fold, learner: Learner[Any], raw: Floats) -> Predictions:
    """Predictions of the validation rows from raw scores.

    Of two classes by `train.threshold`, else by the threshold with the best F1.
    """
    scores, threshold = unweighted(raw, fold.weights), learner.threshold
    if learner.task == "binary" and threshold is None:
        threshold = best_threshold(fold.valid.target, scores)
    return Predictions(fold.valid.target, scores, decide(learner.task, scores, threshold or 0.5))


def evaluate(fold: Fold, learner: Learner[Any], params: Any, metric: str) -> tuple[float, int]:
    """The metric of the validation rows, and the number of trees of the fit.

    Raises UserError where these rows leave the metric undefined.
    """
    raw, trees = learner.fit_fold(params, fold)
    value = learner.scoring.metrics[metric].compute(predictions(fold, learner, raw))
    if np.isnan(value):
        raise UserError(
            f"params.yaml: tune.metric: the rows of a fold leave {metric} undefined; set fewer "
            "tune.folds or another metric."
        )
    return value, trees
