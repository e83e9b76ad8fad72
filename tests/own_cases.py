"""A plugin of pytest in a rendered project: its own tests, once for each case.

OWN_CASES is JSON: by name, values of params.yaml; `broken` is the name of a function below that
breaks the project, and `generated` takes its data away.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.config import changed
from mlops_loop.models import persistence, training
from mlops_loop.models.model import Encoder, Model
from mlops_loop.models.training import Fitted
from my_project import PROJECT
from my_project.data import prepare
from my_project.features import definitions, featurize
from my_project.models import train
from my_project.params import load_params

CASES: dict[str, dict[str, Any]] = json.loads(os.environ["OWN_CASES"])
PARAMS = load_params(PROJECT.params)
TABLE, ENCODE, SCORE, FIT = training.table, Encoder.encode, Model.score, train.fit
SCORE_FEATURES = Model.score_features


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "own" in metafunc.fixturenames:
        metafunc.parametrize("own", list(CASES), indirect=True, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Any:
    if fixturedef.argname == "own":
        values = dict(CASES[request.param])
        patch = pytest.MonkeyPatch()
        request.addfinalizer(patch.undo)
        if broken := values.pop("broken", None):
            globals()[broken](patch)
        if values.pop("generated", None):
            patch.setattr(PROJECT, "raw", PROJECT.root / "nothing")
        PROJECT.params = PROJECT.root / ".case.yaml"
        PROJECT.params.write_text(changed(PARAMS, values).model_dump_json(by_alias=True))
    return (yield)


def with_matrix(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """`table`, its matrix changed."""

    def table(*arguments: Any) -> Any:
        made = TABLE(*arguments)
        return replace(made, matrix=change(made.matrix))

    return table


def shuffled_features(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(training, "table", with_matrix(np.random.default_rng(0).permutation))


def constant_features(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(training, "table", with_matrix(np.zeros_like))


def constant_predictions(patch: pytest.MonkeyPatch) -> None:
    def fit(kind: Any, shared: Any, learning: Any, validation: Any) -> Any:
        constant = Fitted(persistence.DummyModel.fit(shared.task, learning.target))
        return constant, constant

    patch.setattr(train, "fit", fit)


def leaked_outcome(patch: pytest.MonkeyPatch) -> None:
    def leak(score: Callable[..., Any]) -> Callable[..., Any]:
        return lambda model, rows: (
            rows[model.target].to_numpy() if model.target in rows.columns else score(model, rows)
        )

    patch.setattr(Model, "score", leak(SCORE))
    patch.setattr(Model, "score_features", leak(SCORE_FEATURES))


def reversed_scores(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Model, "score", lambda model, rows: -SCORE(model, rows))


def no_seed(patch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(0)  # other weights at each fit

    def fit(kind: Any, shared: Any, learning: Any, validation: Any) -> Any:
        weights = drawn.uniform(0.5, 1, len(learning.target))
        return FIT(kind, shared, replace(learning, weights=weights), validation)

    patch.setattr(train, "fit", fit)


def forgotten_estimator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(persistence, "load", lambda _: persistence.DummyModel(0.0))


def scaled_by_batch(patch: pytest.MonkeyPatch) -> None:
    def encode(encoder: Encoder, features: pl.DataFrame) -> Any:
        matrix = ENCODE(encoder, features)
        return matrix - np.nanmean(matrix, axis=0)

    patch.setattr(Encoder, "encode", encode)


def unknown_is_nothing(patch: pytest.MonkeyPatch) -> None:
    def score_features(model: Model, features: pl.DataFrame) -> Any:
        gaps = np.isnan(model.encoder.encode(features)).any(axis=1)
        return np.where(gaps, np.nan, SCORE_FEATURES(model, features))

    patch.setattr(Model, "score_features", score_features)


def split_by_chance(patch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(0).choice([0, 1, 2], 10**6)
    patch.setattr(prepare.splits, "assign_splits", lambda keys, _: pl.Series(drawn[: keys.height]))


def few_rows_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(prepare, "KEEP_ROWS", (definitions.TARGET < 8,))


def target_of_an_input(patch: pytest.MonkeyPatch) -> None:
    target = (pl.col("trip_distance") * 2).alias("duration_minutes")
    for module in (prepare, featurize, definitions):
        patch.setattr(module, "TARGET", target)
