"""Stage `train`: fit the candidate and the baseline on data/processed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any

import polars as pl

from mlops_loop.console import working
from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.features import deserialise
from mlops_loop.models.bootstrap import best_threshold
from mlops_loop.models.dataset import Fitted, Table, balanced, find_classes, table, used_inputs
from mlops_loop.models.model import Encoder, Model, raw_scores, unweighted
from mlops_loop.models.training import write_training
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..features.definitions import TARGET
from ..params import Params, load_params
from .estimators import fit, fit_baseline


@dataclass(frozen=True)
class Training:
    """Result of a training; `report` is the content of models/training.json."""

    candidate: Model
    baseline: Model
    report: dict[str, Any]


def train(
    train_rows: pl.DataFrame,
    validation_rows: pl.DataFrame,
    features: Sequence[pl.Expr],
    inputs: pl.Schema,
    params: Params,
) -> Training:
    """Fit the candidate and the baseline; the last column of the frames is the target.

    Raises UserError where the target does not fit `params.task`.
    """
    target = train_rows.columns[-1]
    encoder = Encoder.fit(train_rows.drop(target))
    known = pl.concat([train_rows[target], validation_rows[target]])
    classes = find_classes(params.task, train_rows[target], known)
    weights = balanced(known, classes) if params.train.class_weight else ()
    rows = table(train_rows, encoder, classes, weights)
    validation = table(validation_rows, encoder, classes, weights)
    fitted = fit(params.task, params.train, params.seed, rows, validation)
    simple = fit_baseline(params.task, rows, validation)
    model = partial(Model, params.task, target, inputs, tuple(features), encoder, classes=classes)
    threshold = find_threshold(params, fitted, validation, weights)
    report = {
        "model": params.train.model,
        "trees": fitted.trees,
        "rows": {"train": train_rows.height, "validation": validation_rows.height},
        "history": fitted.history,
    }
    candidate = model(estimator=fitted.estimator, weights=weights, threshold=threshold)
    return Training(candidate, model(estimator=simple.estimator), report)


def find_threshold(
    params: Params, fitted: Fitted, validation: Table, weights: tuple[float, ...]
) -> float:
    """`train.threshold`, else the best F1 on validation of the model that has not seen it."""
    if params.train.threshold is not None:
        return params.train.threshold
    if params.task != "binary" or fitted.holdout_model is None:
        return 0.5
    scores = raw_scores(params.task, fitted.holdout_model, validation.matrix)
    return best_threshold(validation.target, unweighted(scores, weights))


def main(paths: Paths) -> None:
    """Write models/; `register` logs it to MLflow."""
    started = time()
    params, contract = load_params(paths.params), load_contract(paths.contract)
    features = deserialise((paths.processed / "features.json").read_text(encoding="utf-8"))
    inputs = used_inputs(features, contract.dtypes(*FEATURE_ROLES))
    target = TARGET.meta.output_name()
    train_rows, validation_rows = (
        pl.read_parquet(paths.processed / name / "*.parquet").select(pl.exclude(target), target)
        for name in ("train", "validation")
    )
    with working("train"):
        done = train(train_rows, validation_rows, features, inputs, params)
    write_training(paths, params, started, done.candidate, done.baseline, done.report)


if __name__ == "__main__":
    run_stage(main, PROJECT)
