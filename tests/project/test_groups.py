"""Slices, fairness and explanations: every task, and what cannot be."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import explain
from mlops_loop.data.contract import load_contract
from mlops_loop.data.splits import check_params
from mlops_loop.files import read_json
from mlops_loop.models import bootstrap
from mlops_loop.models import explanations as attribution
from mlops_loop.models import slices
from mlops_loop.models.bootstrap import Predictions
from mlops_loop.models.model import load
from mlops_loop.project import UserError
from mlops_loop.tracking.registry import Version
from project.models import evaluate, metrics, register, train
from project.models.predict import load_champion
from project.params import load_params
from projects import Project, fit, gate, rows, sales

NEW = sales(30, seed=3).drop("price")
BOOTSTRAP = bootstrap.Bootstrap(resamples=200, confidence=0.95, seed=0)


def judging(task: str) -> slices.Judging:
    """The metrics of a task; groups need 30 rows."""
    return slices.Judging(metrics.SCORING[task], BOOTSTRAP, min_rows=30)


def make_explain(project: Project, *arguments: str) -> None:
    """Run `make explain` with these arguments."""
    params = load_params(project.params)
    explain.main(project, metrics.judging(params, params.evaluate), arguments)


@pytest.mark.parametrize("values", [[None] * 30, [1.0] * 30, [float("inf"), -1.0] * 15])
def test_dull_columns_have_groups_too(values: list[Any]) -> None:
    assert slices.groups(pl.Series("x", values, pl.Float64)).null_count() == 0


def test_a_pair_that_is_no_worse_than_one_of_its_columns_is_left_out() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"text {i}": rng.choice(["a", "b", "c", "d"], 4_000) for i in range(6)})
    losses = rng.exponential(size=4_000) + (frame["text 3"] == "a").to_numpy()
    found, searched = slices.worst(
        [slices.groups(values) for values in frame], 0, losses, judging("regression")
    )
    assert searched > 100
    assert [each["slice"] for each in found] == ["text 3 = a"]


def test_classes_are_compared_by_selection_and_by_true_positives() -> None:
    part = slices.groups(pl.Series("sex", ["f"] * 100 + ["m"] * 100))
    actual = np.tile([0, 1], 100)
    answers = np.where(np.arange(200) < 100, actual, 0)
    rows = Predictions(actual, np.where(answers, 0.9, 0.1), answers)
    gaps = {gap["metric"]: gap for gap in slices.fairness([part], rows, judging("binary"))}
    for name, gap in (("selection_rate", 0.5), ("true_positive_rate", 1)):
        assert gaps[name]["gap"] == gap
        assert (gaps[name]["lowest"], gaps[name]["highest"]) == ("m", "f")


def test_an_interval_of_many_rows_is_what_resampling_all_would_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, zeros = np.random.default_rng(0), np.zeros(20_000)
    one, two = (Predictions(zeros, rng.normal(0, size, 20_000), zeros) for size in (2.0, 1.0))
    found = bootstrap.difference_interval(bootstrap.Metric(metrics.rmse), one, two, BOOTSTRAP)
    monkeypatch.setattr(bootstrap, "MOST_DRAWN", 20_000)
    whole = bootstrap.difference_interval(bootstrap.Metric(metrics.rmse), one, two, BOOTSTRAP)
    assert found == pytest.approx(whole, abs=0.01)
    assert found[0] < metrics.rmse(one) - metrics.rmse(two) < found[1]


def test_a_slice_of_personal_data_needs_them_hashed(project: Project) -> None:
    text = project.contract.read_text()
    project.contract.write_text(text.replace("slice: true", "slice: true, pii: true"))
    known = load_contract(project.contract)
    with pytest.raises(UserError, match=r"column shop: .* prepare.pii: drop .* set it to hash"):
        check_params(None, None, "drop", known)
    check_params(None, None, "hash", known)


def test_a_slice_must_be_there_when_a_prediction_is_made(project: Project) -> None:
    text = project.contract.read_text()
    project.contract.write_text(text.replace("description: paid", "description: x, slice: true"))
    with pytest.raises(UserError, match=r"column price: .* data/interim holds no .* outcome"):
        load_contract(project.contract)


def test_a_column_that_came_later_or_other_rows_are_named(trained: Project) -> None:
    [path] = (trained.interim / "test").iterdir()
    rows = pl.read_parquet(path)
    rows.head(9).write_parquet(path)
    with pytest.raises(UserError, match="data/interim/test and data/processed/test differ"):
        evaluate.main(trained)
    rows.drop("shop").write_parquet(path)
    with pytest.raises(UserError, match="data/interim/test has no column shop"):
        evaluate.main(trained)


def test_a_champion_whose_slice_misses_a_raised_bar_stays(trained: Project) -> None:
    register.main(trained)
    trained.edit(register__slices={"mae": 0.1})
    register.main(trained)
    assert gate(trained)["decision"] == "hold"
    assert "shop = south: mae" in " ".join(gate(trained)["reasons"])


@pytest.mark.parametrize(
    ("bars", "without", "said"),
    [
        (
            {"slices": {"auc": 0.5}},
            "none",
            r"register.slices.auc: regression has only rmse, mae, r2",
        ),
        (
            {"fairness": {"f1": 0.5}},
            "none",
            r"register.fairness.f1: regression has only .* mean_error",
        ),
        ({"slices": {"rmse": 9.0}}, "sensitive|slice", "has slice: true"),
        ({"fairness": {"mae": 9.0}}, "sensitive", "has sensitive: true"),
    ],
)
def test_a_bar_that_nothing_is_held_to_is_named(
    trained: Project, bars: dict[str, dict[str, float]], without: str, said: str
) -> None:
    trained.edit(**{f"register__{key}": value for key, value in bars.items()})
    text = trained.contract.read_text()
    trained.contract.write_text(re.sub(rf"({without}): true", r"\1: false", text))
    with pytest.raises(UserError, match=said):
        register.main(trained)
    assert not trained.gate.exists()


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_contributions_add_up_to_the_log_odds(trained: Project, weight: str | None) -> None:
    large = (pl.col("euros") > 60).alias("large")
    model = fit(trained, "binary", large, train__class_weight=weight)
    matrix = model.encoder.encode(rows(trained))
    chances = replace(model, weights=()).score_matrix(matrix)
    added = attribution.contributions(model, matrix).sum(axis=1)
    assert np.allclose(added, np.log(chances / (1 - chances)))


def test_contributions_are_those_of_the_answered_class(trained: Project) -> None:
    size = (pl.col("euros") // 40).clip(0, 2).cast(pl.String).alias("class")
    model = fit(trained, "multiclass", size)
    matrix = model.encoder.encode(rows(trained))
    estimator: Any = model.estimator.fitted
    raw = estimator.predict(matrix, raw_score=True)
    added = attribution.contributions(model, matrix).sum(axis=1)
    assert np.allclose(added, raw.max(axis=1))
    curves = attribution.dependence(model, matrix[:50], ["size"])["size"]
    assert np.allclose(np.sum(curves["mean"], axis=1), 1), "a mean for each class"


def test_a_version_without_trees_is_explained_by_shuffling(trained: Project) -> None:
    trained.edit(train__model="linear")
    for stage in (train, evaluate, register):
        stage.main(trained)
    make_explain(trained)
    found = read_json(trained.explained / "explanations.json")
    assert found == read_json(trained.explanations)
    assert list(found["importance"])[:2] == ["size", "items"]


def test_a_forest_is_not_divided(trained: Project) -> None:
    forest = {"trees": 5, "min_samples_leaf": 5}
    changes = {"train__model": "random_forest", "train__random_forest": forest}
    model = fit(trained, "regression", pl.col("euros"), **changes)
    with pytest.raises(UserError, match=r"RandomForestRegressor has no exact .* or a linear model"):
        explain.explain_rows(NEW, model, load_contract(trained.contract))


def test_no_good_row_is_no_reason_to_fail(trained: Project) -> None:
    model, known = load(trained.candidate), load_contract(trained.contract)
    for table in (NEW.clear(), NEW.with_columns(size=pl.lit(-1.0))):
        explained = explain.explain_rows(table, model, known)
        assert explained["base"].null_count() == explained.height == table.height
    with pytest.raises(UserError, match="has a column base already"):
        explain.explain_rows(NEW.with_columns(base=1), model, known)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version=7"], "no version, alias or run 7 .* versions 1 and the aliases champion"),
        (["--input=new.csv"], "name both files: make explain INPUT=new.csv OUTPUT="),
        (["--input=new.csv", "--output=x.xlsx"], "end it in .csv or .parquet"),
        (["--input=nowhere.csv", "--output=x.csv"], "nowhere.csv: no such file"),
    ],
)
def test_what_is_not_there_is_named(trained: Project, arguments: list[str], said: str) -> None:
    register.main(trained)
    with pytest.raises(UserError, match=said):
        make_explain(trained, *arguments)
    assert not trained.explained.exists()


def test_a_version_of_another_target_is_not_held_against_these_rows(trained: Project) -> None:
    register.main(trained)
    model = replace(load_champion(trained), target="dollars")
    version = Version(1, "run", {"git_commit": "abc"})
    with pytest.raises(UserError, match=r"version 1 predicts dollars, .* at its commit, abc"):
        explain.read_test(trained, model, version)
