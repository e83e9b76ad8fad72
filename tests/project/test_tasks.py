"""Regression, two classes and several, with every kind of model, through the whole pipeline."""

import json
import re
from dataclasses import replace
from typing import Any

import mlflow
import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import compare, predict
from mlops_loop.data.contract import load_contract
from mlops_loop.files import read_json, write_json
from mlops_loop.models import summary
from mlops_loop.models.bootstrap import best_threshold
from mlops_loop.models.explanations import explanation
from mlops_loop.models.model import load
from mlops_loop.project import UserError, load_settings
from mlops_loop.tracking import registry as tracking
from project.data import prepare
from project.features import featurize
from project.models import evaluate
from project.models import gate as rule
from project.models import register, train
from project.models.metrics import SCORING, judging
from project.models.plots import draw_all
from project.models.predict import load_champion
from project.params import load_params
from projects import CONTRACT, Project, sales

pytestmark = pytest.mark.filterwarnings("ignore:Glyph")
MODELS = ("lightgbm", "random_forest", "linear")
TASKS = ("regression", "binary", "multiclass")
SHOPS = ("east", "north", "south")
PRICE = "name: price, dtype: Float64, role: {}, nullable: true"
TARGETS = {
    "binary": (pl.col("shop") == "south").alias("is south"),
    "multiclass": pl.col("shop").alias("which shop"),
    "integers": pl.col("shop").replace_strict({"north": 7, "south": 3}, default=5).alias("number"),
}
FEATURES = (
    pl.col("size"),
    pl.col("price").alias('a "price": {é}'),
    (pl.col("price") - pl.col("size") * pl.col("items") / 5).alias("$rest$"),
    pl.col("express").cast(pl.String).alias("日本"),
)
PLOTS = {
    "regression": {"predicted_vs_actual", "residuals"},
    "binary": {"roc", "precision_recall", "calibration", "confusion"},
    "multiclass": {"calibration", "confusion"},
}


def define(patch: pytest.MonkeyPatch, **values: Any) -> None:
    """Put definitions in the place of the user's."""
    for module in (prepare, featurize, train):
        for name, value in values.items():
            if hasattr(module, name):
                patch.setattr(module, name, value)


def ask(project: Project, patch: pytest.MonkeyPatch, task: str, target: str | None = None) -> None:
    """Ask for the shop of a sale, from its price; a regression asks for the price as it does."""
    project.edit(task=task, train__random_forest__trees=20, train__max_trees=40)
    if task != "regression":
        project.contract.write_text(
            CONTRACT.replace(PRICE.format("outcome"), PRICE.format("input"))
        )
        define(patch, TARGET=TARGETS[target or task], FEATURES=FEATURES, KEEP_ROWS=())
        prepare.main(project)
        featurize.main(project)


def learn(project: Project, **params: Any) -> dict[str, Any]:
    """Train, evaluate and register; the content of metrics.json, which must be valid JSON."""
    project.edit(**params)
    for stage in (train, evaluate, register):
        stage.main(project)
    text = project.metrics.read_text()
    report: dict[str, Any] = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    return report


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", TASKS)
def test_every_task_and_model(
    trained: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    model: str,
) -> None:
    ask(trained, monkeypatch, task)
    report = learn(trained, train__model=model, train__random_forest__min_samples_leaf=5)
    primary = "rmse" if task == "regression" else "log_loss"
    assert report["test"][primary] < 0.8 * report["baseline"][primary]
    for name, (low, high) in report["intervals"].items():
        assert low <= report["test"][name] <= high, name
    assert read_json(trained.gate)["decision"] == "promote"
    drawn = {path.stem for path in trained.plots.iterdir()}
    assert drawn == PLOTS[task] | {"importance", "dependence"}

    champion, rows = load_champion(trained), sales(60, seed=4).drop_nulls()
    scored = predict.predict(rows, champion, load_contract(trained.contract))
    answers = np.array(scored["prediction"].to_list())
    assert np.array_equal(answers, champion.predict(rows))
    chances = [column for column in scored.columns if column.startswith("probability_")]
    if task != "regression":
        assert chances == [f"probability_{label}" for label in champion.classes]
        assert np.allclose(scored.select(pl.sum_horizontal(chances)).to_series(), 1)
    if task == "multiclass":
        assert champion.classes == SHOPS
        most = scored.select(chances).to_numpy().argmax(axis=1)
        assert np.array_equal(answers, np.array(SHOPS)[most])
    if task == "binary":
        reached = scored["probability_True"].to_numpy() >= report["threshold"]
        assert np.array_equal(answers, reached)
    served = mlflow.pyfunc.load_model(f"models:/{load_settings(trained).project}@champion")
    columns = [column.name for column in served.metadata.signature.outputs]
    given = served.predict(rows.with_columns(pl.col("items").cast(pl.Float64)).to_pandas())
    if task == "regression":
        assert columns == ["euros"]
        assert np.allclose(given, answers)
    else:
        assert columns == list(given.columns) == ["prediction", *chances]
        assert given["prediction"].tolist() == answers.tolist()
    capsys.readouterr()
    summary.print_summary(trained)
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in report["test"])


def test_integer_classes_stay_integers(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(trained, monkeypatch, "multiclass", "integers")
    learn(trained)
    champion = load_champion(trained)
    assert champion.classes == (3, 5, 7)
    scored = predict.predict(sales(50), champion, load_contract(trained.contract))
    assert set(scored["prediction"].drop_nulls()) <= {3, 5, 7}
    taken = scored.select("probability_5", *champion.inputs)
    with pytest.raises(UserError, match="has a column probability_5 already"):
        predict.predict(taken, champion, load_contract(trained.contract))


@pytest.mark.parametrize("model", MODELS)
def test_balanced_classes_stay_calibrated(trained: Project, model: str) -> None:
    trained.edit(task="binary", train__class_weight="balanced", train__model=model)
    trained.edit(train__random_forest__trees=20)
    learning, validation, test = (rare(seed) for seed in range(3))
    params, inputs = load_params(trained.params), pl.Schema({"size": pl.Float64()})
    training = train.train(learning, validation, [pl.col("size")], inputs, params)
    fitted, known = training.candidate, training.held_out
    share, scores = test["class"].mean(), fitted.score_features(test)
    assert scores.mean() == pytest.approx(share, rel=0.2)
    assert replace(fitted, weights=()).score_features(test).mean() > 3 * share
    assert fitted.threshold < 0.5, "the best F1 of a rare class needs less than one half"
    assert fitted.threshold == best_threshold(known["actual"].to_numpy(), known["score"].to_numpy())
    assert known["score"].mean() == pytest.approx(validation["class"].mean(), rel=0.2)


def rare(seed: int) -> pl.DataFrame:
    """Rows of which one in twenty is of the second class, more where `size` is large."""
    rng = np.random.default_rng(seed)
    size = rng.random(6_000)
    return pl.DataFrame({"size": size, "class": rng.random(6_000) < size**4 / 4})


def test_a_champion_of_other_classes_is_another_question(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(trained)
    ask(trained, monkeypatch, "multiclass")
    learn(trained)
    [reason] = read_json(trained.gate)["reasons"]
    assert reason.startswith("first model of which shop (multiclass: 'east', 'north', 'south');")
    assert reason.endswith("the champion predicts euros (regression)")
    champion = tracking.connect(trained, load_settings(trained)).load("champion")
    other = replace(load(trained.candidate), classes=("a", "b", "c"))
    verdict = rule.judge_question(other, champion, load_params(trained.params), False)
    assert verdict.decision == "promote"
    assert "first model of which shop (multiclass: 'a', 'b', 'c')" in verdict.reasons[0]


def test_a_better_classifier_replaces_the_champion(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(trained, monkeypatch, "binary")
    learn(trained, train__max_trees=2)
    learn(trained, train__max_trees=60)
    decided = read_json(trained.gate)
    assert decided["decision"] == "promote"
    assert decided["comparisons"]["metric"] == "log_loss"
    assert decided["comparisons"]["interval"][0] > 0


def tiny(targets: list[Any]) -> pl.DataFrame:
    """Rows with these targets and three dull features."""
    size = len(targets)
    columns = {"size": np.linspace(0, 1, size), "price": [1.0] * size, "rest": [None] * size}
    return pl.DataFrame({**columns, "class": targets}, schema_overrides={"rest": pl.Float64})


TINY: dict[str, Any] = {
    "two classes": ("binary", [True, False] * 7, [True, False, True], [False, True, False]),
    "one row of a class": ("binary", ["a"] * 13 + ["b"], ["a", "a", "a"], ["a", "a", "b"]),
    "one class in test": ("binary", ["a", "b"] * 7, ["a", "b", "a"], ["a", "a", "a"]),
    "three classes": ("multiclass", [3, 7, 9, 7] * 3 + [3, 9], [3, 7, 9], [9, 9, 7]),
    "new in validation": ("multiclass", ["a", "b"] * 7, ["c", "a", "b"], ["a", "b", "c"]),
    "new in test": ("multiclass", ["a", "b"] * 7, ["a", "a", "b"], ["new", "a", "b"]),
    "new in test of two": ("binary", ["a", "b"] * 7, ["a", "a", "b"], ["new", "a", "b"]),
    "constant": ("regression", [1.0, 2.0] * 7, [1.0] * 3, [2.0] * 3),
    "one row": ("regression", [1.0, 2.0] * 7, [1.0], [2.0]),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("case", "model"), [(case, MODELS[place % 3]) for place, case in enumerate(TINY)]
)
def test_tiny_tables_break_nothing(trained: Project, case: str, model: str) -> None:
    task, *targets = TINY[case]
    learning, validation, test = map(tiny, targets)
    lightgbm = {"num_leaves": 2, "min_child_samples": 1, "early_stopping_rounds": 1, "folds": 2}
    trained.edit(task=task, train__model=model, train__lightgbm=lightgbm)
    trained.edit(train__lightgbm__linear_start=1.0, train__lightgbm__parameters={"max_bin": 15})
    trained.edit(train__random_forest__trees=5)
    params, features = load_params(trained.params), [pl.col(name) for name in test.columns[:-1]]
    inputs = pl.Schema({name: pl.Float64() for name in test.columns[:-1]})
    fitted = train.train(learning, validation, features, inputs, params)
    models = fitted.candidate, fitted.baseline
    judged_by = judging(params, params.evaluate)
    report, rows = evaluate.evaluate(test, *models, fitted.held_out, judged_by)
    json.dumps(report, allow_nan=False)
    assert np.isfinite(report["test"]["rmse" if task == "regression" else "log_loss"])
    found = explanation(test, fitted.candidate, SCORING[task], 0)
    draw_all(trained.root / "drawn", rows, fitted.candidate, found)
    if case == "one class in test":
        assert report["test"]["roc_auc"] is report["intervals"]["roc_auc"] is None
        write_json(trained.metrics, report)
        assert any(line.split()[:2] == ["roc_auc", "-"] for line in summary.metrics(trained))
    if case == "new in test":
        assert report["test"]["log_loss"] > 36 / 3, "a class with probability 0 costs 36"
        assert fitted.candidate.classes == ("a", "b")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("wide", "levels", "rows"), [(120, 3, 400), (2, 10_000, 10_000)])
def test_many_features_and_many_categories(
    trained: Project, monkeypatch: pytest.MonkeyPatch, model: str, wide: int, levels: int, rows: int
) -> None:
    define(monkeypatch, TARGET=pl.col("class"))
    without = CONTRACT.replace("slice: true", "slice: false")
    trained.contract.write_text(without.replace("sensitive: true", "sensitive: false"))
    for split, size in (("train", rows), ("validation", 300), ("test", 300)):
        rng, [path] = np.random.default_rng(0), (trained.processed / split).iterdir()
        numbers = {f"f {i}": rng.random(size) for i in range(wide)}
        text = {"text": (np.arange(size) % levels).astype(str)}
        target = {"class": numbers["f 0"] + numbers["f 1"] > 1}
        pl.DataFrame({**numbers, **text, **target}).write_parquet(path)
        [raw] = (trained.interim / split).iterdir()
        given = pl.read_parquet(raw)
        given.sample(size, with_replacement=True, seed=0).write_parquet(raw)
    (trained.processed / "features.json").write_text(
        featurize.serialise([pl.lit(0.0).alias(name) for name in (*numbers, *text)])
    )
    trained.edit(task="binary", train__model=model, train__max_trees=20, evaluate__resamples=10)
    trained.edit(train__random_forest__trees=10)
    train.main(trained)
    evaluate.main(trained)
    assert read_json(trained.metrics)["test"]["roc_auc"] > 0.75


def test_two_versions_of_a_task_are_compared(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = "binary"
    ask(trained, monkeypatch, task)
    learn(trained)
    learn(trained, train__model="linear")
    registry, params = tracking.connect(trained, load_settings(trained)), load_params(
        trained.params
    )
    by = judging(params, params.registration)
    text = compare.compare(registry, "1", "2", trained, by)
    parts = (part.partition("\n") for part in text.split("\n## ")[1:])
    found = {
        title: [
            tuple(cell.strip() for cell in line.split("|")[1:-1])
            for line in content.splitlines()
            if line.startswith("|")
        ][2:]
        for title, _, content in parts
    }
    assert ("train.model", "lightgbm", "linear") in found["Parameters"]
    one, other = (registry.record(registry.find(name)).metrics for name in ("1", "2"))
    assert [(row[0], float(row[1]), float(row[2])) for row in found["Metrics"]] == [
        (name, pytest.approx(one[f"test_{name}"], 1e-3), pytest.approx(other[f"test_{name}"], 1e-3))
        for name in SCORING[task].metrics
    ]
    pattern = r"(not significantly )?(?:better|worse) by (\S+) \((\S+) to (\S+)\)"
    for name, first, second, words in found["Metrics"]:
        match = re.fullmatch(pattern, words)
        if not match:
            assert (words, first) == ("equal", second)
            continue
        better, low, high = map(float, match.groups()[1:])
        assert low <= better <= high, name
        assert bool(match[1]) == (low <= 0 <= high), name
