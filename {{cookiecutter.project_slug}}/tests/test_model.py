"""What a model of this project's own data and features must be able to do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import Project
from ruamel.yaml import YAML

from {{ cookiecutter.package_name }} import tracking
from {{ cookiecutter.package_name }}.data.contract import KNOWN, load_contract
from {{ cookiecutter.package_name }}.features import definitions
from {{ cookiecutter.package_name }}.models import evaluate, metrics, train
from {{ cookiecutter.package_name }}.models.model import Floats, Model, load
from {{ cookiecutter.package_name }}.models.register import main as register
from {{ cookiecutter.package_name }}.params import load_params
from {{ cookiecutter.package_name }}.settings import load_settings

FEATURES = definitions.FEATURES
TARGET_NAME = definitions.TARGET.meta.output_name()
BEHAVIOUR = Path(__file__).with_name("behaviour.yaml")
# Of the spread of predictions: less is no effect. Of the rows: so many may be exceptions.
TOLERANCE = 0.05


def read(project: Project, split: str, stage: str = "processed") -> pl.DataFrame:
    """A split with the target as the last column."""
    rows = pl.read_parquet(getattr(project, stage) / split / "*.parquet")
    return rows.select(pl.exclude(TARGET_NAME), TARGET_NAME)


def fit(project: Project, rows: pl.DataFrame, validation: pl.DataFrame, **changes: Any) -> Any:
    """Train with the project's parameters, some of them changed."""
    params = load_params(project.params)
    params = params.model_copy(update={"train": params.train.model_copy(update=changes)})
    known = load_contract(project.contract).dtypes(*KNOWN)
    return train.train(rows, validation, FEATURES, train.used_inputs(FEATURES, known), params)


@pytest.fixture(scope="module")
def training(own: Project) -> train.Training:
    """The project's model, trained on some of its rows."""
    return fit(own, read(own, "train"), read(own, "validation"), threads=1)


@pytest.fixture(scope="module")
def model(training: train.Training) -> Model:
    """The candidate of `training`."""
    return training.candidate


def test_it_beats_the_baseline(own: Project, training: train.Training) -> None:
    params = load_params(own.params)
    rows, test = training.report["rows"], read(own, "test")
    report, _ = evaluate.evaluate(test, training.candidate, training.baseline, rows, params)
    assert metrics.is_better(params.task, report["test"], report["baseline"])


def test_its_loss_falls(training: train.Training) -> None:
    for history in training.report["history"].values():
        assert min(history) < history[0]


def test_it_can_learn_ten_rows_by_heart(own: Project) -> None:
    rows = read(own, "train").unique(pl.selectors.exclude(TARGET_NAME), maintain_order=True)
    ten = few(rows, load_params(own.params).task)
    often = pl.concat([ten] * 20)
    lightgbm = load_params(own.params).train.lightgbm
    lightgbm = lightgbm.model_copy(update={"min_child_samples": 1, "num_leaves": 31})
    changes = {"model": "lightgbm", "lightgbm": lightgbm, "max_trees": 200, "learning_rate": 0.3}
    learnt = fit(own, often, often, threads=1, **changes)
    assert loss(learnt.candidate, ten) < 0.1 * loss(learnt.baseline, ten)


def test_it_learns_nothing_from_a_shuffled_target(own: Project) -> None:
    shuffled = pl.col(TARGET_NAME).shuffle(seed=1)
    rows, validation = (read(own, s).with_columns(shuffled) for s in ("train", "validation"))
    learnt, test = fit(own, rows, validation, threads=1), read(own, "test")
    assert loss(learnt.candidate, test) > 0.95 * loss(learnt.baseline, test)


def test_what_is_known_only_afterwards_does_not_matter(own: Project, model: Model) -> None:
    rows = read(own, "test", "interim")
    afterwards = set(rows.columns) - set(load_contract(own.contract).names(*KNOWN))
    shuffled = rows.with_columns(pl.col(*afterwards).shuffle(seed=1))
    assert not shuffled.equals(rows)
    assert np.array_equal(model.score(shuffled), model.score(rows))


def test_it_behaves_as_declared(own: Project, model: Model) -> None:
    rows = read(own, "test", "interim")
    before = last_class(model.score(rows))
    least = TOLERANCE * before.std()
    for expected in YAML(typ="safe").load(BEHAVIOUR) or ():
        check(expected, load_contract(own.contract).names(*KNOWN))
        after = last_class(model.score(changed(rows, **expected)))
        moved = {"not lower": before - after, "not higher": after - before}
        if own.made_up:
            continue
        if expected["then"] == "same":
            assert abs(after - before).mean() <= least, expected
        else:
            assert np.mean(moved[expected["then"]] > least) <= TOLERANCE, expected


def check(expected: dict[str, Any], inputs: Sequence[str]) -> None:
    """Fail with a sentence at a line of behaviour.yaml that cannot be tested."""
    line = f"behaviour.yaml: {expected}"
    assert set(expected) == {"column", "change", "then"}, f"{line}: give column, change and then"
    assert expected["column"] in inputs, f"{line}: no input in contract.yaml has this name"
    how, then = expected["change"], ("same", "not lower", "not higher")
    how = [*how] if isinstance(how, dict) else how
    ways = "shuffle, {add: number} or {set: value}"
    assert how in ("shuffle", ["add"], ["set"]), f"{line}: change is {ways}"
    assert expected["then"] in then, f"{line}: then is one of {', '.join(then)}"


def changed(rows: pl.DataFrame, column: str, change: Any, then: str) -> pl.DataFrame:
    """The rows with one column changed as a line of behaviour.yaml says."""
    if change == "shuffle":
        return rows.with_columns(pl.col(column).shuffle(seed=1))
    [(how, value)] = change.items()
    values = {"add": pl.col(column) + value, "set": pl.lit(value).alias(column)}
    return rows.with_columns(values[how])


def last_class(scores: Floats) -> Floats:
    """Predicted values, or the probability of the last class."""
    return scores if scores.ndim == 1 else scores[:, -1]


def few(rows: pl.DataFrame, task: str) -> pl.DataFrame:
    """Ten rows; of classes five rows each."""
    if task == "regression":
        return rows.head(10)
    return rows.filter(pl.int_range(pl.len()).over(TARGET_NAME) < 5)


def loss(model: Model, rows: pl.DataFrame) -> float:
    """The primary metric of a model on these rows."""
    return metrics.primary(model.task)(
        metrics.outcome(model, rows[TARGET_NAME], model.score_features(rows))
    )


def test_the_same_rows_give_the_same_model(own: Project, model: Model) -> None:
    again = fit(own, read(own, "train"), read(own, "validation"), threads=1).candidate
    test = read(own, "test")
    assert np.allclose(again.score_features(test), model.score_features(test), rtol=1e-12)


def test_a_saved_model_predicts_the_same(own: Project, model: Model) -> None:
    model.save(own.root / "saved")
    rows = read(own, "test", "interim")
    assert np.array_equal(load(own.root / "saved").score(rows), model.score(rows))


def test_it_comes_back_from_the_registry_the_same(own: Project) -> None:
    for stage in (train.main, evaluate.main, register):
        stage(own)
    champion = tracking.connect(own, load_settings(own)).load("champion")
    rows = read(own, "test", "interim")
    assert np.array_equal(champion.score(rows), load(own.candidate).score(rows))


def test_one_row_is_predicted_as_in_a_batch(own: Project, model: Model) -> None:
    rows = read(own, "test", "interim").head(20)
    alone = [model.score(rows[i])[0] for i in range(rows.height)]
    assert np.allclose(alone, model.score(rows), rtol=1e-12)


def test_unknown_categories_and_missing_values_are_survived(own: Project, model: Model) -> None:
    features = read(own, "test").drop(TARGET_NAME)
    unknown = features.with_columns(pl.col(pl.String).replace_strict({}, default="never seen"))
    missing = features.clear(n=5)
    assert np.isfinite(model.score_features(unknown)).all()
    assert np.isfinite(model.score_features(missing)).all()
