"""Requirements of any model of your data and features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from ruamel.yaml import YAML

from mlops_loop.config import changed
from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.features import deserialise
from mlops_loop.models.bootstrap import outcome
from mlops_loop.models.model import Model, load
from mlops_loop.models.training import used_inputs
from mlops_loop.models.types import Floats
from mlops_loop.project import Paths

from {{ cookiecutter.package_name }} import PROJECT
from {{ cookiecutter.package_name }}.features import definitions
from {{ cookiecutter.package_name }}.models.metrics import SCORING
from {{ cookiecutter.package_name }}.models.train import Training, train
from {{ cookiecutter.package_name }}.params import load_params

# Of the spread of predictions: less is no effect. Of the rows: so many may be exceptions.
TOLERANCE = 0.05
BY_HEART = {
    "train.model": "lightgbm",
    "train.max_trees": 200,
    "train.learning_rate": 0.3,
    "train.lightgbm.num_leaves": 31,
    "train.lightgbm.min_child_samples": 1,
    "train.lightgbm.folds": None,
}


def read(own: Paths, split: str, stage: str = "processed") -> pl.DataFrame:
    """A split with the target as the last column."""
    rows, target = pl.read_parquet(getattr(own, stage) / split / "*.parquet"), target_name()
    return rows.select(pl.exclude(target), target)


def target_name() -> str:
    """The name of the target's column."""
    return definitions.TARGET.meta.output_name()


def fit(own: Paths, rows: pl.DataFrame, validation: pl.DataFrame, **changes: Any) -> Training:
    """Train with your parameters, some of them changed."""
    params = changed(load_params(own.params), changes)
    features = deserialise((own.processed / "features.json").read_text(encoding="utf-8"))
    inputs = used_inputs(features, load_contract(own.contract).dtypes(*FEATURE_ROLES))
    return train(rows, validation, features, inputs, params)


def losses(model: Model, rows: pl.DataFrame) -> Floats:
    """The loss of each row, whose mean decides between models."""
    scores = model.score_features(rows)
    return SCORING[model.task].losses(outcome(model, rows[target_name()], scores))


@pytest.fixture(scope="module")
def training(own: Paths) -> Training:
    """A candidate and a baseline of some of your rows."""
    return fit(own, read(own, "train"), read(own, "validation"))


@pytest.fixture(scope="module")
def model(training: Training) -> Model:
    """The candidate of `training`."""
    return training.candidate


def test_it_beats_the_baseline(own: Paths, training: Training) -> None:
    test = read(own, "test")
    assert losses(training.candidate, test).mean() < losses(training.baseline, test).mean()


def test_its_loss_falls(training: Training) -> None:
    for history in training.report["history"].values():
        assert min(history) < history[0]


def test_it_can_learn_ten_rows_by_heart(own: Paths) -> None:
    rows = read(own, "train").unique(pl.selectors.exclude(target_name()), maintain_order=True)
    ten = few(rows, load_params(own.params).task)
    often = pl.concat([ten] * 20)
    learnt = fit(own, often, often, **BY_HEART)
    assert losses(learnt.candidate, ten).mean() < 0.01 * losses(learnt.baseline, ten).mean()


def few(rows: pl.DataFrame, task: str) -> pl.DataFrame:
    """Ten rows; of classes five rows each."""
    if task == "regression":
        return rows.head(10)
    return rows.filter(pl.int_range(pl.len()).over(target_name()) < 5)


def test_it_learns_nothing_from_a_shuffled_target(own: Paths) -> None:
    shuffled = pl.col(target_name()).shuffle(seed=1)
    rows, validation = (read(own, s).with_columns(shuffled) for s in ("train", "validation"))
    learnt, test = fit(own, rows, validation), read(own, "test")
    ours, simple = losses(learnt.candidate, test), losses(learnt.baseline, test)
    luck = 4 * np.std(simple - ours) / np.sqrt(test.height)  # of few rows, chance looks like skill
    assert np.mean(simple - ours) < TOLERANCE * simple.mean() + luck


def test_what_is_known_only_afterwards_does_not_matter(own: Paths, model: Model) -> None:
    rows = read(own, "test", "interim")
    afterwards = set(rows.columns) - set(load_contract(own.contract).names(*FEATURE_ROLES))
    shuffled = rows.with_columns(pl.col(*afterwards).shuffle(seed=1))
    assert not shuffled.equals(rows)
    assert np.array_equal(model.score(shuffled), model.score(rows))


def test_it_behaves_as_declared(own: Paths, model: Model) -> None:
    rows = read(own, "test", "interim")
    before = last_class(model.score(rows))
    least = TOLERANCE * before.std()
    knows_nothing = (own.external / "generated.parquet").exists()
    for expected in YAML(typ="safe").load(PROJECT.behaviour) or ():
        check(expected, load_contract(own.contract).names(*FEATURE_ROLES))
        after = last_class(model.score(changed_rows(rows, **expected)))
        moved = {"not lower": before - after, "not higher": after - before}
        if knows_nothing:
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


def changed_rows(rows: pl.DataFrame, column: str, change: Any, then: str) -> pl.DataFrame:
    """The rows with one column changed as a line of behaviour.yaml says."""
    if change == "shuffle":
        return rows.with_columns(pl.col(column).shuffle(seed=1))
    [(how, value)] = change.items()
    values = {"add": pl.col(column) + value, "set": pl.lit(value).alias(column)}
    return rows.with_columns(values[how])


def last_class(scores: Floats) -> Floats:
    """Predicted values, or the probability of the last class."""
    return scores if scores.ndim == 1 else scores[:, -1]


def test_the_same_rows_give_the_same_model(own: Paths, model: Model) -> None:
    again = fit(own, read(own, "train"), read(own, "validation")).candidate
    test = read(own, "test")
    assert np.allclose(again.score_features(test), model.score_features(test), rtol=1e-12)


def test_a_saved_model_predicts_the_same(own: Paths, model: Model) -> None:
    model.save(own.root / "saved")
    rows = read(own, "test", "interim")
    assert np.array_equal(load(own.root / "saved").score(rows), model.score(rows))


def test_one_row_is_predicted_as_in_a_batch(own: Paths, model: Model) -> None:
    rows = read(own, "test", "interim").head(20)
    alone = [model.score(rows[i])[0] for i in range(rows.height)]
    assert np.allclose(alone, model.score(rows), rtol=1e-12)


def test_unknown_categories_and_missing_values_are_survived(own: Paths, model: Model) -> None:
    features = read(own, "test").drop(target_name())
    unknown = features.with_columns(pl.col(pl.String).replace_strict({}, default="never seen"))
    missing = features.clear(n=5)
    assert np.isfinite(model.score_features(unknown)).all()
    assert np.isfinite(model.score_features(missing)).all()
