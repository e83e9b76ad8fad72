"""Explanations: contributions that add up, importance, dependence, and `make explain`."""

from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
from mlops_loop.commands import explain
from mlops_loop.files import read_json
from mlops_loop.models import explanations
from mlops_loop.models.model import load
from mlops_loop.models.persistence import inverse_link
from project.models.metrics import SCORING, judging
from project.models.register import main as register
from project.params import load_params
from projects import Project, fit, rows, sales

NEW = sales(30, seed=3).drop("price")
FILES = {"dependence.png", "explanations.json", "importance.png", "slices.json"}


def command(project: Project, *arguments: str) -> None:
    """Run `make explain` with these arguments."""
    params = load_params(project.params)
    explain.main(project, judging(params, params.evaluate), arguments)


def test_contributions_add_up_to_the_value(trained: Project) -> None:
    model, test = load(trained.candidate), rows(trained)
    values = explanations.contributions(model, model.encoder.encode(test))
    assert values.shape == (test.height, len(model.encoder.names) + 1)
    assert np.allclose(values.sum(axis=1), model.score_features(test))
    assert len(set(values[:, -1])) == 1, "the base value is the same for each row"


LINEAR = {
    "regression": pl.col("euros"),
    "binary": (pl.col("euros") > 20).alias("dear"),
    "multiclass": (pl.col("euros") // 20).clip(0, 2).cast(pl.String).alias("twenties"),
}


@pytest.mark.parametrize("kind", ["linear", "lightgbm"])
@pytest.mark.parametrize("task", LINEAR)
def test_terms_of_a_linear_model_add_up_to_its_score(
    trained: Project, task: str, kind: str
) -> None:
    trained.edit(train__lightgbm__linear_start=1.0)
    model = fit(trained, task, LINEAR[task], train__model=kind)
    matrix = model.encoder.encode(rows(trained))
    values = explanations.contributions(model, matrix)
    assert all(np.ptp(values[:, position]) > 0 for position in range(len(model.encoder.names)))
    by_score = model.estimator.contributions(matrix).reshape(len(matrix), -1, values.shape[1])
    scores = inverse_link(task, by_score.sum(axis=2))
    assert np.allclose(scores, model.score_matrix(matrix))


def test_a_linear_start_does_not_go_on_beyond_training(trained: Project) -> None:
    trained.edit(train__lightgbm__linear_start=1.0)
    model = fit(trained, "regression", pl.col("euros"))
    size = model.encoder.names.index("size")
    matrix = model.encoder.encode(rows(trained))[:1].repeat(3, axis=0)
    matrix[:, size] = [matrix[0, size], 1e6, 1e9]
    usual, far, farther = model.score_matrix(matrix)
    assert usual < far == farther < 1_000


def test_only_a_feature_that_is_used_is_important() -> None:
    matrix = np.arange(20.0).reshape(10, 2)

    def loss(shuffled: np.ndarray) -> float:
        return float(np.abs(shuffled[:, 0] - matrix[:, 0]).mean())

    found = explanations.permutation_importance(loss, matrix, ("used", "unused"), seed=0)
    assert found["used"] > 0
    assert found["unused"] == 0


@pytest.mark.parametrize(("kind", "method"), [("lightgbm", "TreeSHAP"), ("linear", "permutation")])
def test_what_decides_the_price_is_important(trained: Project, kind: str, method: str) -> None:
    model = fit(trained, "regression", pl.col("euros"), train__model=kind)
    found = explanations.explanation(rows(trained), model, SCORING["regression"], seed=0)
    assert found["method"] == method
    assert set(list(found["importance"])[:2]) == {"size", "items"}
    assert list(found["importance"].values()) == sorted(found["importance"].values(), reverse=True)
    curve = found["dependence"]["size"]
    assert curve["values"] == sorted(curve["values"])[: explanations.GRID]
    assert curve["mean"][-1] > curve["mean"][0] + 30
    shops = found["dependence"]["shop"]
    assert set(shops["values"]) == {"north", "south", "east"}
    assert shops["values"][np.argmax(shops["mean"])] == "south"


def test_evaluate_explains_what_it_judges(trained: Project) -> None:
    found = read_json(trained.explanations)
    assert (found["method"], found["rows"], found["unit"]) == ("TreeSHAP", 162, "euros")
    assert set(found["importance"]) == {"shop", "size", "items", "express", "weekday"}
    assert set(found["dependence"]) == set(found["importance"])


def test_a_version_is_explained_and_keeps_it(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    register(trained)
    command(trained, "--version=1")
    assert {path.name for path in trained.explained.iterdir()} == FILES
    for written in (trained.explanations, trained.slices):
        assert read_json(trained.explained / written.name) == read_json(written)
    [run] = mlflow.search_runs(output_format="list")
    kept = mlflow.MlflowClient().list_artifacts(run.info.run_id, "explain")
    assert {Path(artifact.path).name for artifact in kept} == FILES
    said = capsys.readouterr().out
    for words in ("version 1: explained on 162 test rows", "TreeSHAP, euros", "fairness  metric"):
        assert words in said


def test_rows_of_a_file_are_explained(trained: Project) -> None:
    register(trained)
    source, target = trained.root / "new.parquet", trained.root / "explained.parquet"
    number = pl.int_range(pl.len())
    bad = NEW.with_columns(size=pl.when(number == 4).then(None).otherwise("size"))
    bad.write_parquet(source)
    command(trained, f"--input={source}", f"--output={target}")
    explained = pl.read_parquet(target)
    names = [f"contribution_{name}" for name in load(trained.candidate).encoder.names]
    assert explained.columns == [*NEW.columns, "prediction", "error", "base", *names]
    assert explained["error"].is_not_null().arg_true().to_list() == [4]
    assert explained.select(pl.col("base", *names).is_null().arg_true().implode()).row(0) == (
        *[[4]] * (len(names) + 1),
    )
    good = explained.filter(pl.col("error").is_null())
    assert np.allclose(
        good.select(pl.sum_horizontal("base", *names)).to_series(), good["prediction"]
    )
