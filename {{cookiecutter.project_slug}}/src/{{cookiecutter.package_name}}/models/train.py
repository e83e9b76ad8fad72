"""Stage `train`: fit the candidate and the baseline on data/processed, as one MLflow run."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import polars as pl

from ..data.contract import KNOWN, load_contract
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
from .model import Encoder, Model, model_hash


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
    """Fit the candidate and the baseline; the last column of the frames is the target."""
    target = train_rows.columns[-1]
    encoder = Encoder.fit(train_rows.drop(target))
    learning, validation = (table(frame, encoder) for frame in (train_rows, validation_rows))
    fitted = fit(params.task, params.train, params.seed, learning, validation)
    simple = fit_baseline(learning, validation)

    def model(of: Fitted) -> Model:
        return Model(params.task, target, inputs, tuple(features), encoder, of.estimator)

    report = {
        "model": params.train.model,
        "trees": fitted.trees,
        "rows": {"train": train_rows.height, "validation": validation_rows.height},
        "history": fitted.history,
    }
    return Training(model(fitted), model(simple), report)


def table(frame: pl.DataFrame, encoder: Encoder) -> Table:
    """Encode a frame of features whose last column is the target."""
    features, target = frame[:, :-1], frame[:, -1]
    matrix = encoder.encode(features)
    return Table(matrix, target.cast(pl.Float64).to_numpy(), encoder.names, encoder.categorical)


def used_inputs(features: Sequence[pl.Expr], known: pl.Schema) -> pl.Schema:
    """The input columns that the features use; all of them where a feature is a selector."""
    roots = [feature.meta.root_names() for feature in features]
    used = {name for names in roots for name in names}
    return pl.Schema({n: d for n, d in known.items() if n in used or not all(roots)})


def _open_store(paths: Paths, settings: Settings) -> None:
    from .. import tracking

    tracking.connect(paths, settings)


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
