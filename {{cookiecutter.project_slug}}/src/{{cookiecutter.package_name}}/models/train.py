"""Stage `train`: fit the candidate and the baseline on data/processed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time

import polars as pl

from mlops_loop.console import working
from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.features import deserialise
from mlops_loop.files import Content
from mlops_loop.models import held_out
from mlops_loop.models.bootstrap import best_threshold
from mlops_loop.models.model import Model
from mlops_loop.models.persistence import DummyModel
from mlops_loop.models.slices import check_bars
from mlops_loop.models.training import (
    Learner,
    load_base,
    make_fold,
    used_inputs,
    write_training,
)
from mlops_loop.project import Paths, run_stage

from .. import PROJECT
from ..features.definitions import TARGET
from ..params import Params, load_params
from .estimators import fit
from .metrics import SCORING, judging


@dataclass(frozen=True)
class Training:
    """Result of a training; `report` is the content of models/training.json.

    `held_out` are the predictions of rows that a model of the candidate's kind has not seen.
    """

    candidate: Model
    baseline: Model
    held_out: pl.DataFrame
    report: Content


def train(
    train_rows: pl.DataFrame,
    validation_rows: pl.DataFrame,
    features: Sequence[pl.Expr],
    inputs: pl.Schema,
    params: Params,
    folds: held_out.Folds = (),
    base: Model | None = None,
) -> Training:
    """Fit the candidate, or trees behind `base`, and the baseline; targets are the last columns.

    Rows of `folds` are held out of fits of their own, or without folds those of validation. Raises
    UserError where the target does not fit `params.task`.
    """
    target = train_rows.columns[-1]
    task = params.task
    known = pl.concat([train_rows[target], validation_rows[target]])
    weighted = params.train.class_weight is not None
    fold = make_fold(train_rows, validation_rows, known, task, weighted, base)
    shared = replace(params.shared, base=base.estimator.fitted if base else None)
    holdout, fitted = fit(params.train.kind, shared, fold.train, fold.valid)
    simple = DummyModel.fit(task, (fold.train + fold.valid).target)
    predicted = held_out.predict_held_out(
        folds,
        fold,
        task,
        holdout.estimator,
        lambda some: params.train.kind.fit(shared, some, trees=holdout.trees).estimator,
    )
    about = task, target, inputs, tuple(features), fold.encoder
    report = {
        "model": params.train.model,
        "trees": holdout.trees,
        "rows": {"train": train_rows.height, "validation": validation_rows.height},
        "history": holdout.history,
    }
    threshold = params.train.threshold or 0.5
    if task == "binary" and params.train.threshold is None:
        threshold = best_threshold(predicted["actual"].to_numpy(), predicted["score"].to_numpy())
    candidate = Model(*about, fitted.estimator, fold.classes, fold.weights, threshold)
    return Training(candidate, Model(*about, simple, fold.classes), predicted, report)


def learner(params: Params) -> Learner[Params]:
    """Everything that `make tune` needs of the project."""
    judged_by = judging(params, params.evaluate)
    return Learner(
        params,
        params.tune,
        params.task,
        params.seed,
        params.train.section,
        target=TARGET.meta.output_name(),
        group=params.prepare.group,
        balanced=params.train.class_weight is not None,
        threshold=params.train.threshold,
        scoring=judged_by.scoring,
        bootstrap=judged_by.bootstrap,
        fit=lambda p, rows, stop, trees: p.train.kind.fit(p.shared, rows, stop, trees),
    )


def main(paths: Paths) -> None:
    """Write models/; `register` logs it to MLflow."""
    started = time()
    params, contract = load_params(paths.params), load_contract(paths.contract)
    check_bars(params.task, SCORING[params.task], contract, params.registration)
    features = deserialise((paths.processed / "features.json").read_text(encoding="utf-8"))
    inputs = used_inputs(features, contract.dtypes(*FEATURE_ROLES))
    target = TARGET.meta.output_name()
    train_rows, validation_rows = (
        pl.read_parquet(paths.processed / name / "*.parquet").select(pl.exclude(target), target)
        for name in ("train", "validation")
    )
    group, known = params.prepare.group, pl.concat([train_rows[target], validation_rows[target]])
    keys = held_out.read_keys(paths, ("train", "validation"), contract, group)
    classes = None if params.task == "regression" else known
    mode = params.train.out_of_fold
    if mode == "auto" and params.monitoring:
        mode = "days"
    folds = held_out.plan_folds(mode, keys, group, classes, params.seed)
    base = load_base(paths.base) if params.train.base else None
    with working("train"):
        done = train(train_rows, validation_rows, features, inputs, params, folds, base)
    timed = done.held_out.join(keys.select(pl.exclude("group")), on="row", how="left")
    write_training(paths, params, started, done.candidate, done.baseline, timed, done.report)


if __name__ == "__main__":
    run_stage(main, PROJECT)
