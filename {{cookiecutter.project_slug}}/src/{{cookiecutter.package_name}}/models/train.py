"""Stage `train`: fit the candidate and the baseline on data/processed, as one MLflow run."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from ..data.contract import KNOWN, load_contract
from ..errors import UserError
from ..features.definitions import TARGET
from ..features.serialise import deserialise
from ..files import replaced, write_json
from ..lineage import lineage
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..progress import working
from ..settings import Settings, load_settings
from ..stage import run_stage
from .estimators import Fitted, Table, fit, fit_baseline
from .metrics import best_threshold
from .model import Encoder, Label, Model, encode_target, model_hash, raw_scores, unweighted


@dataclass(frozen=True)
class Training:
    """What a training produced; `report` is models/training.json."""

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
    learning, validation = (
        table(frame, encoder, classes, weights) for frame in (train_rows, validation_rows)
    )
    fitted = fit(params.task, params.train, params.seed, learning, validation)
    simple = fit_baseline(params.task, learning, validation)
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


def find_classes(task: str, train: pl.Series, known: pl.Series) -> tuple[Label, ...]:
    """The classes of all known targets in order; none for regression.

    Raises UserError where the task does not fit them, or train holds one class only.
    """
    name, dtype = train.name, train.dtype
    if task == "regression":
        if not (dtype.is_numeric() or dtype == pl.Boolean):
            raise UserError(f"params.yaml: task: {name} is {dtype}; set binary or multiclass.")
        return ()
    if not (dtype.is_integer() or dtype in (pl.String, pl.Boolean)):
        raise UserError(
            f"params.yaml: task: {name} is {dtype}; classes are text, integers or booleans. Set "
            "regression, or cast TARGET in definitions.py."
        )
    classes = tuple(known.unique().sort().to_list())
    if train.n_unique() < 2:
        raise UserError(
            f"every row of train has {name} = {train[0]}, so there is nothing to learn; bring more "
            "rows, or split them otherwise (`prepare` in params.yaml)."
        )
    if task == "binary" and len(classes) > 2:
        raise UserError(
            f"params.yaml: task: {name} has {len(classes)} classes; set multiclass, or leave two "
            "of them in TARGET or KEEP_ROWS."
        )
    return classes


def balanced(target: pl.Series, classes: tuple[Label, ...]) -> tuple[float, ...]:
    """The weight of each class with which all of them count the same."""
    # A fold may lack a class that the others have.
    counts = np.bincount(encode_target(target, classes), minlength=len(classes)).clip(1)
    return tuple((len(target) / (len(classes) * counts)).tolist())


def table(
    frame: pl.DataFrame,
    encoder: Encoder,
    classes: tuple[Label, ...] = (),
    weights: tuple[float, ...] = (),
) -> Table:
    """Encode a frame of features whose last column is the target."""
    matrix, target = encoder.encode(frame[:, :-1]), encode_target(frame[:, -1], classes)
    return Table(
        matrix, target, encoder.categorical, np.array(weights)[target] if weights else None
    )


def find_threshold(
    params: Params, fitted: Fitted, validation: Table, weights: tuple[float, ...]
) -> float:
    """`train.threshold`, else the best on validation for the model that has not seen it."""
    if params.train.threshold is not None:
        return params.train.threshold
    if params.task != "binary" or fitted.first is None:
        return 0.5
    scores = raw_scores(params.task, fitted.first, validation.matrix)
    return best_threshold(validation.target, unweighted(scores, weights))


def used_inputs(features: Sequence[pl.Expr], known: pl.Schema) -> pl.Schema:
    """The input columns that the features use; all of them where a feature is a selector."""
    roots = [feature.meta.root_names() for feature in features]
    used = {name for names in roots for name in names}
    return pl.Schema({n: d for n, d in known.items() if n in used or not all(roots)})


def _open_store(paths: Paths, settings: Settings) -> None:
    from .. import tracking

    tracking.warm_up(paths, settings)


def main(paths: Paths = PROJECT) -> None:
    """Write models/ and log the run; models/run.json comes last and names it."""
    params, settings = load_params(paths.params), load_settings(paths)
    features = deserialise((paths.processed / "features.json").read_text(encoding="utf-8"))
    known = load_contract(paths.contract).dtypes(*KNOWN)
    target = TARGET.meta.output_name()
    learning, validation = (
        pl.read_parquet(paths.processed / name / "*.parquet").select(pl.exclude(target), target)
        for name in ("train", "validation")
    )
    with working("train"), ThreadPoolExecutor(max_workers=1) as pool:
        # MLflow takes as long to import and open as a model to fit.
        opening = pool.submit(_open_store, paths, settings)
        training = train(learning, validation, features, used_inputs(features, known), params)
        opening.result()
    with replaced(paths.candidate) as candidate, replaced(paths.baseline) as baseline:
        training.candidate.save(candidate)
        training.baseline.save(baseline)
    write_json(paths.training, training.report)
    record = {
        "model_hash": model_hash(paths.candidate),
        "lineage": lineage(paths, settings, params),
    }
    from .. import tracking

    run_id = tracking.log_training(paths, settings, params, record)
    write_json(paths.run, {"run_id": run_id, **record})


if __name__ == "__main__":
    run_stage(main)
