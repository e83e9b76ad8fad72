"""`make tune`: what it searches, which rows learn and judge, and what it may change."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.commands.tune import folds, space
from mlops_loop.config import changed
from mlops_loop.data.contract import load_contract
from mlops_loop.project import UserError
from project import PROJECT
from project.models.estimators import learner
from project.models.metrics import SCORING
from project.params import load_params
from projects import Project

RATE = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {}}, "tune.space.lightgbm is empty"),
        ({"space": {"lightgbm": {}}}, "tune.space.lightgbm is empty"),
        ({"space": {"svm": RATE}}, "tune.space.lightgbm is empty"),
        ({"space": {"lightgbm": {"rate": [1, 2]}}}, "train.rate: unknown key"),
        ({"space": {"lightgbm": {"threads": [1, 2]}}}, "threads: this is decided, not searched"),
        ({"space": {"lightgbm": {"max_trees": []}}}, "max_trees: no choice is left"),
        ({"space": {"lightgbm": {"max_trees": [0, 9]}}}, "would refuse 0: .* greater than or eq"),
        ({"space": {"lightgbm": {"max_trees": 9}}}, "lightgbm.max_trees: .*valid dictionary"),
        (
            {"space": {"lightgbm": {"max_trees": {"low": 9, "high": 9}}}},
            "max_trees: .*low must be below high",
        ),
        (
            {"space": {"lightgbm": {"learning_rate": {"low": 0.0, "high": 1.0, "log": True}}}},
            "learning_rate: .*log needs a low above 0",
        ),
        ({"space": {"lightgbm": RATE}, "sampler": "grid"}, "learning_rate: a grid needs a step"),
        (
            {"metric": "roc_auc"},
            "tune.metric: regression has no roc_auc; name one of rmse, mae, r2",
        ),
        ({"trials": 0}, "tune.trials: .*greater than or equal to 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    project: Project, change: dict[str, Any], said: str
) -> None:
    project.edit(**{f"tune__{key}": value for key, value in change.items()})
    with pytest.raises(UserError, match=said):
        what_is_searched(project)


def what_is_searched(project: Project) -> tuple[str, space.Space]:
    """The metric and the space that params.yaml asks for."""
    params = load_params(project.params)
    metric = space.metric_name(params.tune.metric, params.task, SCORING[params.task])
    return metric, space.searched(params, params.tune, params.train.model)


@pytest.mark.parametrize("model", ["lightgbm", "random_forest", "linear"])
def test_the_space_of_this_project_is_good(model: str) -> None:
    params = changed(load_params(PROJECT.params), {"train.model": model})
    if params.tune.space.get(model):
        assert space.searched(params, params.tune, model)


def rows(number: int = 40) -> pl.DataFrame:
    """Rows of the small table out of their order in time, with two classes as target."""
    times = [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in range(number)]
    frame = pl.DataFrame({"sold_at": times, "shop": ["a", "b", "c", "d", None] * (number // 5)})
    frame = frame.with_columns(euros=pl.Series([0, 0, 0, 1] * (number // 4)))
    return frame.sample(fraction=1, shuffle=True, seed=1)


def split(project: Project, frame: pl.DataFrame, **params: Any) -> list[Any]:
    """The folds of these rows, each as two frames."""
    project.edit(**params)
    contract = load_contract(project.contract)
    found = folds.positions(frame, learner(load_params(project.params)), contract)
    return [(frame[learning], frame[judging]) for learning, judging in found]


def test_folds_learn_from_the_past(project: Project) -> None:
    pairs = split(project, rows())
    assert [learning.height for learning, _ in pairs] == [10, 20, 30]
    assert all(a["sold_at"].max() < b["sold_at"].min() for a, b in pairs)


def test_a_group_stays_together(project: Project) -> None:
    pairs = split(project, rows(), prepare__group="shop")
    assert len(pairs) == 3
    for learning, judging in pairs:
        assert not set(learning["shop"]) & set(judging["shop"])
    with pytest.raises(UserError, match=r"tune.folds: .*greater than the number of groups"):
        split(project, rows(), tune__folds=9)


def test_classes_keep_their_shares_and_every_row_judges_once(project: Project) -> None:
    text = project.contract.read_text().replace("role: time", "role: ignored")
    project.contract.write_text(text)
    pairs = split(project, rows(), task="binary", tune__folds=5)
    assert [judging["euros"].sum() for _, judging in pairs] == [2] * 5
    assert (
        pl.concat([judging for _, judging in pairs]).sort("sold_at").equals(rows().sort("sold_at"))
    )
    again = split(project, rows())
    assert all(a[1].equals(b[1]) for a, b in zip(pairs, again, strict=True))


@pytest.mark.parametrize("model", ["lightgbm", "random_forest", "linear"])
def test_a_fold_is_judged_by_a_fit_that_has_not_learnt_its_rows(
    project: Project, model: str
) -> None:
    project.edit(train__model=model)
    params, rng = load_params(project.params), np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=400), "kind": ["a", "b"] * 200})
    frame = frame.with_columns(y=pl.col("x") * 2 + (pl.col("kind") == "a"))
    fold = folds.make_fold(frame[:300], frame[300:], frame["y"], learner(params))
    rmse, trees = folds.judge(fold, learner(params), params, "rmse")
    assert rmse < 1 < frame["y"].std()
    again = folds.refit(fold, learner(params), params, trees)
    assert np.sqrt(np.mean((again.scores - again.actual) ** 2)) == pytest.approx(rmse)
    strange = frame[300:].with_columns(kind=pl.lit("c"))
    fold = folds.make_fold(frame[:300], strange, frame["y"], learner(params))
    assert (
        folds.judge(fold, learner(params), params, "rmse")[0] > rmse
    ), "categories are those of the first rows"
