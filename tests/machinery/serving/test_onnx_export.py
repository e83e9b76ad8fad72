"""The ONNX graph of every kind of model and task, which `make export` must have prepared."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.files import read_json
from mlops_loop.models.model import Model
from mlops_loop.project import UserError
from project.models import train
from project.params import load_params
from projects import Project
from services import Service

export = pytest.importorskip("mlops_loop.serving.onnx_export", reason="`make export` installs ONNX")

COLUMNS = {"both": ["size", "far", "shop", "colour"], "numbers": ["far"], "texts": ["shop"]}
TARGETS = {
    "regression": pl.col("far") + pl.col("size").fill_null(3) * (pl.col("colour") == "red"),
    "binary": pl.col("shop").eq_missing("south") | (pl.col("size") > 0.9),
    "multiclass": pl.when(pl.col("size") > 0.7).then(pl.lit("large")).otherwise("colour"),
}


def rows(seed: int, number: int = 400) -> pl.DataFrame:
    """Numbers and texts; `size` and `shop` are sometimes missing, `far` and `colour` never."""
    rng = np.random.default_rng(seed)
    sizes = [None if size < 0.1 else size for size in rng.random(number).tolist()]
    shops = rng.choice(np.array(["north", "south", None]), number).tolist()
    far, colours = rng.normal(1e6, 3, number), rng.choice(["red", "green"], number)
    return pl.DataFrame({"size": sizes, "far": far, "shop": shops, "colour": colours})


def learnt(project: Project, columns: str, **params: Any) -> Model:
    """A model of the rows."""
    if params["train__model"] == "lightgbm with a linear start":
        params |= {"train__model": "lightgbm", "train__lightgbm__linear_start": 1.0}
    project.edit(train__max_trees=20, **params)
    options = load_params(project.params)
    names = [*COLUMNS[columns], TARGETS[options.task].alias("target")]
    learning, validation = (rows(seed).select(names).drop_nulls("target") for seed in (0, 1))
    features = [pl.col(name) for name in COLUMNS[columns]]
    return train.train(learning, validation, features, learning.schema, options).candidate


CASES = [
    (kind, task, weight, "both")
    for kind in ("lightgbm", "lightgbm with a linear start", "linear")
    for task, weight in (*((task, None) for task in TARGETS), ("binary", "balanced"))
]
CASES += [("linear", "multiclass", "balanced", columns) for columns in ("both", "numbers")]
CASES += [("linear", "binary", None, "texts")]


@pytest.mark.parametrize(("kind", "task", "weight", "columns"), CASES)
def test_a_graph_answers_as_its_model(
    project: Project, kind: str, task: str, weight: str | None, columns: str
) -> None:
    model = learnt(project, columns, task=task, train__model=kind, train__class_weight=weight)
    matrix = model.encoder.encode(rows(2))
    assert np.ptp(model.score_matrix(matrix)) > 0.05
    content = export.to_onnx(model).SerializeToString()
    assert export.difference(content, model, matrix) < 1e-6


def test_a_forest_is_not_exported(project: Project) -> None:
    model = learnt(project, "both", task="regression", train__model="random_forest")
    with pytest.raises(UserError, match="RandomForestRegressor cannot be exported"):
        export.to_onnx(model)


@pytest.mark.usefixtures("registry")
def test_a_version_is_exported_only_if_it_scores_as_its_model(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.main(service.project, [])
    folder = service.project.root / "export" / "version-1"
    encoding = read_json(folder / "encoding.json")
    assert [feature["name"] for feature in encoding["features"]] == [
        "shop",
        "size",
        "items",
        "express",
        "weekday",
    ]
    assert encoding["features"][0]["categories"] == ["east", "north", "south"]
    assert (folder / "model.onnx").stat().st_size > 1_000
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match="version 2: largest relative difference"):
        export.main(service.project, ["--version=2"])
    assert [path.name for path in folder.parent.iterdir()] == ["version-1"]
