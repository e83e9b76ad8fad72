"""Cross-validation of parameters on the train split, in the order that the data ask for."""

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from ...data.contract import Contract
from ...data.hashing import stable_hash
from ...models.bootstrap import Predictions, best_threshold
from ...models.dataset import Fold, balanced, find_classes, table
from ...models.learner import Learner, P
from ...models.model import Encoder, decide, unweighted
from ...models.types import Array, Floats
from ...project import UserError


def positions(
    rows: pl.DataFrame, learner: Learner[P], contract: Contract
) -> list[tuple[Array, Array]]:
    """Where the rows to learn from and the rows that judge stand, for each fold.

    Groups stay together; with a time column each fold learns from what came before it; else rows
    are shuffled, and classes keep their shares. `rows` are those of data/interim/train. Raises
    UserError when they are too few.
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
        if learner.task == "regression":
            return list(KFold(**shuffled).split(target))
        return list(StratifiedKFold(**shuffled).split(target, target))
    except ValueError as error:
        raise UserError(f"params.yaml: tune.folds: {error}") from error


def make_fold(
    learning: pl.DataFrame, judging: pl.DataFrame, known: pl.Series, learner: Learner[P]
) -> Fold:
    """A fold of frames whose last column is the target; all that is fitted sees `learning` alone.

    `known` are the targets whose classes are told apart. Raises UserError for a single class.
    """
    encoder = Encoder.fit(learning[:, :-1])
    classes = find_classes(learner.task, learning[:, -1], known)
    weights = balanced(learning[:, -1], classes) if learner.balanced else ()
    one, other = (table(frame, encoder, classes, weights) for frame in (learning, judging))
    return Fold(one, other, len(classes), weights)


def judge(fold: Fold, learner: Learner[P], params: P, metric: str) -> tuple[float, int]:
    """The metric of the rows that judge, and the trees that it took.

    Raises UserError where these rows leave the metric undefined.
    """
    raw, trees = learner.fit_fold(params, fold)
    value = learner.scoring.metrics[metric].compute(outcome(fold, learner, raw))
    if np.isnan(value):
        raise UserError(
            f"params.yaml: tune.metric: the rows of a fold leave {metric} undefined; set fewer "
            "tune.folds or another metric."
        )
    return value, trees


def refit(fold: Fold, learner: Learner[P], params: P, trees: int) -> Predictions:
    """What comes of the rows that judge, by a fit that has not seen them in any way."""
    raw = learner.fit_trees(params, fold, trees)
    return outcome(fold, learner, raw)


def outcome(fold: Fold, learner: Learner[P], raw: Floats) -> Predictions:
    """Raw scores as probabilities and answers: of two classes by the threshold, else best F1."""
    scores, threshold = unweighted(raw, fold.weights), learner.threshold
    if learner.task == "binary" and threshold is None:
        threshold = best_threshold(fold.valid.target, scores)
    return Predictions(fold.valid.target, scores, decide(learner.task, scores, threshold or 0.5))
