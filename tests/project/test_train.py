"""Stage `train`: every model type is fitted, kept as files that run no code, and read back."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import projects
import pytest
import skops.io
from mlops_loop.data.contract import load_contract
from mlops_loop.files import read_json
from mlops_loop.models import training
from mlops_loop.models.explanations import contributions
from mlops_loop.models.model import Encoder, Model, load, model_hash, unweighted
from mlops_loop.project import UserError, import_library
from project.models import train
from project.params import load_params
from projects import DEFINITIONS, Project, sales
from sklearn.preprocessing import FunctionTransformer

MODELS = ("lightgbm", "xgboost", "catboost", "random_forest", "linear")


def rows_of(project: Project, split: str) -> pl.DataFrame:
    """The features and the target of a split."""
    return pl.read_parquet(project.processed / split / "*.parquet")


def fit(project: Project, base: Model | None = None, **params: Any) -> train.Training:
    """Train on data/processed, without MLflow."""
    project.edit(**params)
    features = DEFINITIONS["FEATURES"]
    known = load_contract(project.contract).dtypes("input", "time")
    return train.train(
        rows_of(project, "train"),
        rows_of(project, "validation"),
        features,
        training.used_inputs(features, known),
        load_params(project.params),
        base=base,
    )


def change_target(project: Project, target: pl.Expr) -> None:
    """Take another target in data/processed."""
    for path in project.processed.glob("*/*.parquet"):
        pl.read_parquet(path).with_columns(target.alias("euros")).write_parquet(path)


@pytest.mark.parametrize("model", MODELS)
def test_unknown_categories_and_missing_values_are_predicted(trained: Project, model: str) -> None:
    candidate = fit(trained, train__model=model, train__random_forest__trees=5).candidate
    rows = sales(4).with_columns(
        shop=pl.Series(["moon", None, "north", ""]), items=pl.Series([2, None, None, 3])
    )
    assert np.isfinite(candidate.predict(rows)).all()
    unknown, missing = candidate.predict(rows[[0, 0]].with_columns(shop=pl.Series(["moon", None])))
    assert unknown == missing
    assert candidate.predict(rows.clear()).shape == (0,)


@pytest.mark.parametrize("numbers", ["mean", "median", "most_frequent"])
def test_missing_numbers_are_imputed_as_params_yaml_says(trained: Project, numbers: str) -> None:
    candidate = fit(trained, train__model="linear", train__impute=numbers).candidate
    known = pl.concat([rows_of(trained, "train"), rows_of(trained, "validation")])
    items = known["items"].drop_nulls()
    usual = {"mean": items.mean(), "median": items.median(), "most_frequent": items.mode().item()}
    assert len(set(usual.values())) == len(usual)
    rows = known[[0, 0]].with_columns(items=pl.Series([None, usual[numbers]]))
    gap, filled = candidate.score_features(rows)
    assert gap == pytest.approx(filled)
    shops = rows[[0] * 4].with_columns(shop=pl.Series([None, "north", "south", "east"]))
    assert len(set(candidate.score_features(shops))) == 4, "a missing category is one of its own"


@pytest.mark.parametrize("task", ["regression", "multiclass"])
@pytest.mark.parametrize("folds", [None, 3])
def test_the_trees_of_a_model_are_continued(
    trained: Project, tmp_path: Path, task: str, folds: int | None
) -> None:
    if task != "regression":
        change_target(trained, pl.col("euros").cut([20, 60]).cast(pl.String))
    first = fit(trained, task=task, train__max_trees=30, train__lightgbm__folds=folds)
    with pytest.raises(UserError, match=r"train\.base: models/base is not there"):
        training.load_base(trained.base)
    first.candidate.save(trained.base)
    trained.edit(train__max_trees=12, train__base=1)
    done = fit(trained, training.load_base(trained.base))
    booster, before = done.candidate.estimator.fitted, first.candidate.estimator.fitted
    assert 1 <= done.report["trees"] <= 12
    assert booster.current_iteration() == before.current_iteration() + done.report["trees"]
    number = before.num_trees()
    assert (
        booster.model_to_string(num_iteration=before.current_iteration()).count("Tree=") == number
    )
    old, new = (b.dump_model()["tree_info"][:number] for b in (before, booster))
    assert [tree["tree_structure"] for tree in old] == [tree["tree_structure"] for tree in new]
    done.candidate.save(tmp_path / "again")
    fit(trained, load(trained.base)).candidate.save(tmp_path / "twice")
    assert model_hash(tmp_path / "again") == model_hash(tmp_path / "twice")


def test_the_encoder_learns_from_train_only(trained: Project) -> None:
    for split in ("validation", "test"):
        [path] = (trained.processed / split).iterdir()
        pl.read_parquet(path).with_columns(shop=pl.lit("moon")).write_parquet(path)
    candidate = fit(trained).candidate
    assert candidate.encoder.categories == {"shop": ["east", "north", "south"]}


def test_codes_follow_the_categories() -> None:
    encoder = Encoder(("size", "shop"), {"shop": ["east", "north"]})
    rows = pl.DataFrame({"shop": ["north", "east", "moon", None], "size": [1, 2, None, 4]})
    expected = [[1, 1], [2, 0], [np.nan, np.nan], [4, np.nan]]
    assert np.array_equal(encoder.encode(rows), expected, equal_nan=True)
    assert encoder.categorical == (1,)


@pytest.mark.parametrize(
    ("task", "train_rows", "classes"),
    [
        ("regression", [1.5, 2.5], ()),
        ("binary", [True, False], (False, True)),
        ("multiclass", [7, 3, 5], (3, 5, 7)),
        ("multiclass", ["b", "a"], ("a", "b", "c")),
    ],
)
def test_classes_are_the_sorted_labels_of_train_and_validation(
    task: str, train_rows: list[Any], classes: tuple[Any, ...]
) -> None:
    known = [*train_rows, "c"] if "c" in classes else train_rows
    assert training.find_classes(task, pl.Series(train_rows), pl.Series(known)) == classes


@pytest.mark.parametrize(
    ("task", "train_rows", "said"),
    [
        ("regression", ["a", "b"], "y is String; set binary or multiclass"),
        ("binary", [1.5, 2.5], "y is Float64; classes are text, integers or booleans"),
        ("binary", ["a", "a"], "y is a in every row of train"),
        ("binary", ["a", "b", "c"], "y has 3 classes; set multiclass"),
    ],
)
def test_a_target_that_does_not_fit_its_task_is_named(
    task: str, train_rows: list[Any], said: str
) -> None:
    rows = pl.Series("y", train_rows)
    with pytest.raises(UserError, match=said):
        training.find_classes(task, rows, rows)


def test_balanced_classes_count_the_same() -> None:
    weights = training.balanced(pl.Series(["a", "b", "a", "a"]), ("a", "b"))
    assert weights == pytest.approx((4 / 6, 2))
    scores = np.array([0.5, 0.75])
    assert unweighted(scores, weights) == pytest.approx([0.25, 0.5])
    assert unweighted(scores, ()) is scores


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train__class_weight": "balanced"}, "train.class_weight: regression has no classes"),
        ({"train__threshold": 0.5}, "train.threshold: only task binary has one"),
    ],
)
def test_a_parameter_of_another_task_is_refused(
    project: Project, change: dict[str, Any], said: str
) -> None:
    project.edit(task="regression", **change)
    with pytest.raises(UserError, match=said):
        load_params(project.params)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_two_trainings_give_the_same_files_whatever_the_threads(
    trained: Project, task: str, model: str
) -> None:
    if task == "binary":
        for path in trained.processed.rglob("*.parquet"):
            pl.read_parquet(path).with_columns(euros=pl.col("euros") > 60).write_parquet(path)

    def trained_hash(name: str, **changes: Any) -> str:
        fit(trained, **changes).candidate.save(trained.root / name)
        return model_hash(trained.root / name)

    trained.edit(task=task, train__model=model, train__random_forest__trees=5)
    trained.edit(train__lightgbm__linear_start=10.0)
    assert trained_hash("one", train__threads=1) == trained_hash("two", train__threads=3)
    trained.edit(train__learning_rate=0.2, train__linear__alpha=2.0, seed=1)
    assert trained_hash("other") != model_hash(trained.root / "one")


def test_lightgbm_stops_where_validation_no_longer_improves(trained: Project) -> None:
    report = fit(trained, train__max_trees=500, train__learning_rate=0.5).report
    [history] = report["history"].values()
    assert report["trees"] == int(np.argmin(history)) + 1 < 500


def test_few_rows_are_cross_validated(trained: Project) -> None:
    report = fit(trained, train__max_trees=500, train__lightgbm__folds=5).report
    [history] = report["history"].values()
    assert report["trees"] == int(np.argmin(history)) + 1 < len(history) < 500
    alone = fit(trained, train__lightgbm__folds=None).report
    assert alone["history"]["rmse"][0] != history[0]


def test_the_baseline_is_the_mean_whatever_the_row(trained: Project) -> None:
    rows = pl.concat([rows_of(trained, "train"), rows_of(trained, "validation")])
    predicted = load(trained.baseline).predict(sales(3))
    assert predicted == pytest.approx([rows["euros"].mean()] * 3)


def test_a_model_knows_the_columns_that_it_needs(trained: Project) -> None:
    model = load(trained.candidate)
    assert list(model.inputs) == ["sold_at", "shop", "size", "items", "express"]
    assert "price" not in model.inputs
    with pytest.raises(UserError, match="columns that are not there: shop, size"):
        model.predict(sales(3).drop("shop", "size"))


def test_a_column_that_no_feature_uses_is_not_needed(trained: Project) -> None:
    known = load_contract(trained.contract).dtypes("input", "time")
    assert list(training.used_inputs([pl.col("size") * pl.col("items")], known)) == [
        "size",
        "items",
    ]
    assert training.used_inputs([pl.selectors.float()], known) == known


def test_a_file_that_hides_code_is_refused(trained: Project) -> None:
    folder = trained.root / "forest"
    fit(trained, train__model="random_forest").candidate.save(folder)
    skops.io.dump(FunctionTransformer(print), folder / "estimator.skops")
    with pytest.raises(UserError, match=r"holds types that no model of ours has.*print"):
        load(folder)


def test_the_report_says_what_was_trained(trained: Project) -> None:
    report = read_json(trained.training)
    assert report["rows"] == {
        split: rows_of(trained, split).height for split in ("train", "validation")
    }
    record = read_json(trained.run)
    assert record["model_hash"] == model_hash(trained.candidate)
    assert len(record["training_id"]) == 32
    assert record["started"] <= record["ended"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["folds", "validation"])
def test_held_out_predictions_are_of_models_that_have_not_seen_the_row(
    trained: Project, mode: str, model: str
) -> None:
    rng, splits = np.random.default_rng(0), ("train", "validation")
    for split in splits:  # a target of nothing but noise
        [path] = (trained.processed / split).iterdir()
        noise = pl.Series("euros", rng.normal(size=rows_of(trained, split).height))
        rows_of(trained, split).with_columns(noise).write_parquet(path)
    trained.edit(train__model=model, train__out_of_fold=mode, train__random_forest__trees=20)
    trained.edit(train__lightgbm__min_child_samples=1, train__random_forest__min_samples_leaf=1)
    train.main(trained)
    held_out = pl.read_parquet(trained.out_of_fold)
    assert held_out.columns == ["row", "fold", "actual", "score", "time"]
    rows = pl.concat([rows_of(trained, split) for split in splits])[held_out["row"]]
    assert held_out["actual"].equals(rows["euros"], check_names=False)
    times = [pl.read_parquet(trained.interim / split / "*.parquet") for split in splits]
    known = pl.concat(times)["sold_at"][held_out["row"]]
    assert held_out["time"].equals(known, check_names=False)
    validation = rows_of(trained, "validation").height
    in_folds = rows_of(trained, "train").height * 5 // 6
    assert held_out.height == validation if mode == "validation" else held_out.height > in_folds
    assert abs(held_out.select(pl.corr("actual", "score")).item()) < 0.1


SHARES = {
    "regression": pl.col("euros"),
    "binary": (pl.col("euros") > 60).alias("dear"),
    "multiclass": (pl.col("euros") // 40).clip(0, 2).cast(pl.String).alias("class"),
}


@pytest.mark.parametrize("model", [*MODELS, "extra_trees", "neighbours"])
@pytest.mark.parametrize("task", SHARES)
def test_every_kind_does_every_task(trained: Project, task: str, model: str) -> None:
    ending = "Regressor" if task == "regression" else "Classifier"
    paths = {
        "extra_trees": f"sklearn.ensemble.ExtraTrees{ending}",
        "neighbours": f"sklearn.neighbors.KNeighbors{ending}",
    }
    trained.edit(train__model=paths.get(model, model), train__random_forest__trees=5)
    trained.edit(train__max_trees=40)
    if model == "extra_trees":
        trained.edit(train__sklearn__arguments={"n_estimators": 5, "min_samples_leaf": 3})
    if model == "neighbours":
        tree = "sklearn.neighbors._kd_tree.KDTree"
        metric = "sklearn.metrics._dist_metrics.EuclideanDistance64"
        trained.edit(train__sklearn__trusted_types=[tree, metric])
    weight = "balanced" if task != "regression" and model != "neighbours" else None
    fitted = projects.fit(trained, task, SHARES[task], train__class_weight=weight)
    fitted.save(trained.root / "saved")
    matrix = fitted.encoder.encode(rows_of(trained, "test"))
    scores = fitted.score_matrix(matrix)
    assert np.array_equal(load(trained.root / "saved").score_matrix(matrix), scores)
    actual = rows_of(trained, "test").select(SHARES[task]).to_series()
    if task == "regression":
        assert np.corrcoef(scores, actual)[0, 1] > 0.9
    else:
        assert np.mean(fitted.label(scores) == actual.to_numpy()) > 0.7
    if fitted.estimator.is_additive and task != "multiclass":
        added = contributions(fitted, matrix).sum(axis=1)
        raw = replace(fitted, weights=()).score_matrix(matrix)
        expected = raw if task == "regression" else np.log(raw / (1 - raw))
        assert np.allclose(added, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("svm", {}, "train.model: svm is none of lightgbm, xgboost, catboost, random_forest, lin"),
        ("sklearn", {}, "train.model: sklearn is none of"),
        ("no.such.Model", {}, "no.such.Model: No module named 'no'"),
        ("sklearn.ensemble.Forest", {}, "has no attribute 'Forest'"),
        ("sklearn.preprocessing.StandardScaler", {}, "is no regressor"),
        ("sklearn.linear_model.LogisticRegression", {}, "no regressor, which the task regression"),
        (
            "sklearn.ensemble.ExtraTreesRegressor",
            {"trees": 1},
            r"sklearn.arguments: .*unexpected keyword .*trees",
        ),
        ("sklearn.ensemble.ExtraTreesRegressor", {"n_estimators": -1}, r"n_estimators.*Got -1"),
    ],
)
def test_a_wrong_estimator_is_a_sentence(
    trained: Project, model: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=rf"params.yaml: .*{said}"):
        fit(trained, train__model=model, train__sklearn__arguments=arguments)


def test_types_that_nobody_trusts_yet_are_named(trained: Project) -> None:
    fitted = fit(trained, train__model="sklearn.neighbors.KNeighborsRegressor").candidate
    with pytest.raises(UserError, match=r"trusted_types.*\[.*sklearn.neighbors._kd_tree.KDTree"):
        fitted.save(trained.root / "saved")


def test_a_missing_library_and_an_unknown_kind_are_sentences(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(trained, train__model="xgboost").candidate.save(trained.root / "saved")
    import_library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "xgboost", None)
        with pytest.raises(UserError, match=r"xgboost.*run `make setup EXTRA=estimators`"):
            load(trained.root / "saved")
    (trained.root / "saved" / "xgboost.json").rename(trained.root / "saved" / "other.bin")
    with pytest.raises(UserError, match="saved: this code does not know the kind of this model"):
        load(trained.root / "saved")
