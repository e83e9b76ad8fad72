"""`make tune`: what it searches, which rows learn and judge, and what it may change."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import tune
from mlops_loop.config import changed
from mlops_loop.project import UserError
from project import PROJECT
from project.models.train import learner
from project.params import load_params
from projects import Project, registry_of

RATE = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {}}, "tune.space.lightgbm is empty"),
        ({"space": {"lightgbm": {}}}, "tune.space.lightgbm is empty"),
        ({"space": {"svm": RATE}}, "tune.space: svm is none of lightgbm, xgboost"),
        ({"space": {"lightgbm": {"rate": [1, 2]}}}, "train.rate: unknown key"),
        ({"space": {"lightgbm": {"threads": [1, 2]}}}, "threads: this is decided, not searched"),
        ({"space": {"lightgbm": {"max_trees": []}}}, "max_trees: give a list of choices"),
        ({"space": {"lightgbm": {"max_trees": [0, 9]}}}, "max_trees: .*greater than 0"),
        (
            {"space": {"lightgbm": {"max_trees": 9}}},
            "lightgbm.max_trees: give a list of choices, or",
        ),
        (
            {"space": {"lightgbm": {"max_trees": {"low": 9, "high": 8}}}},
            "lightgbm.max_trees: .*low <= high",
        ),
        ({"space": {"lightgbm": {"max_trees": {"low": 9}}}}, "lightgbm.max_trees: .*valid int"),
        (
            {"space": {"lightgbm": {"max_trees": {"low": 1, "high": 9, "every": 2}}}},
            "lightgbm.max_trees: .*every",
        ),
        (
            {"space": {"lightgbm": {"linear.alpha": {"low": 0.0, "high": 1.0, "log": True}}}},
            "linear.alpha: .*low > 0",
        ),
        ({"space": {"lightgbm": RATE}, "sampler": "grid"}, "learning_rate: a grid needs a step"),
        (
            {"metric": "roc_auc"},
            "tune.metric: regression has no roc_auc; name one of rmse, mae, r2",
        ),
        ({"trials": 0}, "tune.trials: .*greater than 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(
    project: Project, change: dict[str, Any], said: str
) -> None:
    project.edit(**{f"tune__{key}": value for key, value in change.items()})
    with pytest.raises(UserError, match=said):
        tune.read_spaces(learner(load_params(project.params)))


@pytest.mark.parametrize("model", ["lightgbm", "xgboost", "catboost", "random_forest", "linear"])
def test_the_space_of_this_project_is_good(model: str) -> None:
    params = changed(load_params(PROJECT.params), {"train.model": model})
    if params.tune.space.get(model):
        assert tune.read_spaces(learner(params))


def test_folds_that_cannot_be_made_are_refused(trained: Project) -> None:
    trained.edit(prepare__group="shop", tune__folds=9)
    with pytest.raises(UserError, match=r"params.yaml: tune.folds: 9 folds need more groups"):
        tune.prepare(learner(load_params(trained.params)), trained)


@pytest.mark.parametrize("model", ["lightgbm", "xgboost", "catboost", "random_forest", "linear"])
def test_a_fold_is_judged_by_a_fit_that_has_not_learnt_its_rows(
    project: Project, model: str
) -> None:
    project.edit(train__model=model)
    params, rng = load_params(project.params), np.random.default_rng(0)
    frame = pl.DataFrame({"x": rng.normal(size=400), "kind": ["a", "b"] * 200})
    frame = frame.with_columns(y=pl.col("x") * 2 + (pl.col("kind") == "a"))
    fold = tune.make_fold(frame[:300], frame[300:], frame["y"], "regression", False)
    rmse, trees = tune.evaluate(fold, learner(params), params, "rmse")
    assert rmse < 1 < frame["y"].std()
    fitted = learner(params).fit(params, fold.train, None, trees)
    again = tune.predictions(fold, learner(params), fitted.estimator)
    assert np.sqrt(np.mean((again.scores - again.actual) ** 2)) == pytest.approx(rmse)
    strange = frame[300:].with_columns(kind=pl.lit("c"))
    fold = tune.make_fold(frame[:300], strange, frame["y"], "regression", False)
    assert (
        tune.evaluate(fold, learner(params), params, "rmse")[0] > rmse
    ), "categories are those of the first rows"


def search(project: Project, *arguments: str) -> list[dict[str, Any]]:
    """Run `make tune`; the parameters and scores of the trials that count."""
    tune.main(project, load_params(project.params), learner, arguments)
    trials = pl.read_csv(project.tuning / "trials.csv")
    return trials.filter(pl.col("state").is_in(["COMPLETE", "PRUNED"])).rows(named=True)


def test_a_grid_is_searched_once_and_the_best_is_written(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"max_trees": {"low": 1, "high": 21, "step": 10}, "learning_rate": [0.1]}
    trained.edit(train__max_trees=1, tune__sampler="grid", tune__space={"lightgbm": space})
    trials = search(trained, "--trials=9", "--timeout=60")
    assert [trial["params_train.max_trees"] for trial in trials] == [1, 11, 21]
    assert load_params(trained.params).train.max_trees == 21
    printed = capsys.readouterr().out
    assert "3 trials are done" in printed and "train.max_trees  1 -> 21" in printed
    assert search(trained, "--trials=9") == trials
    assert "The current parameters are the best" in capsys.readouterr().out


def test_estimators_compete_in_one_search(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    spaces = {
        "lightgbm": {"learning_rate": {"low": 1e-4, "high": 2e-4}},
        "linear": {"linear.alpha": {"low": 0.1, "high": 10.0, "log": True}},
    }
    trained.edit(train__max_trees=2, train__learning_rate=1e-4, tune__space=spaces)
    trials = search(trained, "--trials=6", "--models=lightgbm linear")
    tried = [trial["params_train.model"] for trial in trials]
    assert len(tried) == 6 and set(tried) == {"lightgbm", "linear"}
    train = load_params(trained.params).train
    assert train.model == "linear" and train.linear.alpha != 1.0
    printed = capsys.readouterr().out
    assert "train.model         lightgbm -> linear" in printed
    assert search(trained, "--trials=6", "--models=lightgbm linear")[:6] == trials
    with pytest.raises(UserError, match=r"tune.space.svm is empty"):
        search(trained, "--models=svm")


def test_an_interrupted_search_resumes(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    evaluate, before = tune.evaluate, trained.params.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(tune, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(trained)
    assert trained.params.read_text() == before
    assert len(search(trained)) == 4, "all of tune.trials"
    assert "4 trials are done" in capsys.readouterr().out
    runs = registry_of(trained).client.search_runs(["1"])
    states = [run.data.tags["state"] for run in runs if "state" in run.data.tags]
    assert len(states) == 4 and set(states) <= {"complete", "pruned"}
    [parent] = [run.info.run_id for run in runs if run.info.run_name == "tune"]
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {parent, None}
    assert len(search(trained, "--trials=6")) == 6
