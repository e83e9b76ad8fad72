"""Stage `featurize`: no leak, no look at other rows, no hidden code."""

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlops_loop.data.contract import load_contract
from mlops_loop.data.splits import assign_folds
from mlops_loop.features import FittedFeature, deserialise
from mlops_loop.project import UserError
from project.data import ingest, prepare
from project.features import featurize
from projects import DEFINITIONS, Project, rows, sales

SIZE = pl.col("size")
FEATURES = DEFINITIONS["FEATURES"]


@pytest.fixture
def prepared(project: Project) -> Project:
    """A project with data/interim."""
    ingest.main(project)
    prepare.main(project)
    return project


def test_features_and_target_are_written_for_every_row(prepared: Project) -> None:
    featurize.main(prepared)
    for split in ("train", "validation", "test"):
        given = pl.read_parquet(prepared.interim / split / "*.parquet")
        assert rows(prepared, split).equals(given.select(*FEATURES, "euros"))
    stored = deserialise((prepared.processed / "features.json").read_text())
    assert [str(feature) for feature in stored] == [str(feature) for feature in FEATURES]


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ((pl.col("price") * 2).alias("leak"), r"leak(.|\n)*only columns with role input or time"),
        (pl.col("euros").alias("leak"), r"leak(.|\n)*only columns with role input or time"),
        (pl.col("nowhere"), "nowhere"),
        (pl.col("sold_at").alias("when"), "feature when: is Datetime"),
        ((SIZE / SIZE.mean()).alias("relative"), "feature relative: the value of a row changes"),
        (SIZE.shift(1).alias("last"), "feature last: the value of a row changes"),
        (SIZE.rank().alias("place"), "feature place: the value of a row changes"),
        (SIZE.cum_sum().over("shop").alias("sum"), "feature sum: the value of a row changes"),
        (
            SIZE.map_batches(lambda sizes: sizes + 1, pl.Float64).alias("hidden"),
            "feature hidden: calls a Python function",
        ),
    ],
)
def test_an_unfit_feature_is_named(
    prepared: Project, monkeypatch: pytest.MonkeyPatch, feature: pl.Expr, said: str
) -> None:
    monkeypatch.setattr(featurize, "FEATURES", (*FEATURES, feature))
    with pytest.raises(UserError, match=said):
        featurize.main(prepared)
    assert not prepared.processed.exists()


@pytest.mark.parametrize("mode", ["drop", "hash"])
def test_a_feature_of_personal_data_is_refused(
    prepared: Project, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    text = prepared.contract.read_text()
    text = text.replace("name: shop,", "name: shop, pii: true,").replace(", slice: true", "")
    prepared.contract.write_text(text)
    prepared.edit(prepare__pii=mode)
    monkeypatch.setenv("PII_KEY", "a secret")
    prepare.main(prepared)
    with pytest.raises(UserError, match=r"find column .shop.(.|\n)*no personal data"):
        featurize.main(prepared)


def test_stored_features_give_the_same_values() -> None:
    sold = sales(50)
    expressions = (
        *FEATURES,
        pl.selectors.float().log1p().name.suffix("_log"),
        pl.when(SIZE > 50).then(pl.lit("large")).otherwise(pl.lit("small")).alias("kind"),
        (pl.col("sold_at") - datetime(2024, 1, 1)).dt.total_hours().alias("age"),
        pl.col("shop").replace({"north": "n"}).alias("short"),
    )
    assert sold.select(deserialise(featurize.serialise(expressions))).equals(
        sold.select(expressions)
    )


def test_features_that_this_polars_cannot_read_are_refused() -> None:
    with pytest.raises(UserError, match=f"cannot be read by {pl.__version__}"):
        deserialise('[{"Future": {"expression": 1}}]')


MEAN = FittedFeature("shop_mean", pl.col("shop"), pl.col("euros").mean(), smoothing=20)
COUNT = FittedFeature("shop_rows", pl.col("shop"), pl.len(), unknown=0)


def learned(project: Project, patch: pytest.MonkeyPatch, *fitted: FittedFeature) -> pl.DataFrame:
    """Featurize with fitted features; returns data/processed/train."""
    patch.setattr(featurize, "FITTED", fitted)
    featurize.main(project)
    return rows(project, "train")


def test_a_fitted_feature_knows_train_only_and_no_row_its_own_target(
    prepared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = learned(prepared, monkeypatch, MEAN, COUNT)
    given = pl.read_parquet(prepared.interim / "train" / "*.parquet")
    folds = assign_folds(given, load_contract(prepared.contract), None)
    assert sorted(folds.unique()) == [0, 1, 2, 3, 4]
    assert folds.is_sorted(), "rows that follow each other know the same"

    def mean(teachers: pl.DataFrame, shop: str | None) -> float:
        same = teachers.filter(pl.col("shop").eq_missing(shop))["euros"]
        return (same.sum() + 20 * teachers["euros"].mean()) / (len(same) + 20)

    for place in (0, 300, given.height - 1):
        others = given.filter(folds != folds[place])
        assert train["shop_mean"][place] == pytest.approx(mean(others, given["shop"][place]))
    counts = dict(given["shop"].value_counts().iter_rows())
    assert train["shop_rows"].to_list() == [counts[shop] for shop in given["shop"]]
    for split in ("validation", "test"):
        shops = pl.read_parquet(prepared.interim / split / "*.parquet")["shop"]
        expected = [mean(given, shop) for shop in shops]
        assert rows(prepared, split)["shop_mean"].to_list() == pytest.approx(expected)
    carried = deserialise((prepared.processed / "features.json").read_text())
    new = pl.DataFrame({"shop": ["south", None, "a new one"]}).select(carried[-2:])
    assert new["shop_rows"].to_list() == [counts["south"], counts[None], 0]
    expected = [mean(given, "south"), mean(given, None), given["euros"].mean()]
    assert new["shop_mean"].to_list() == pytest.approx(expected)


def correlations(
    prepared: Project, patch: pytest.MonkeyPatch, effect: float
) -> tuple[float, float]:
    """Correlation of the mean by key with the target on train and on test, with 400 keys."""
    rng = np.random.default_rng(1)
    size = rng.integers(0, 400, 6_000) / 4
    kinds = rng.permutation(400)
    price = 75 + rng.normal(0, 10, 6_000) + effect * (kinds[(size * 4).astype(int)] - 200)
    prepared.put_raw(sales(6_000).with_columns(size=pl.Series(size), price=pl.Series(price)))
    prepare.main(prepared)
    mean = FittedFeature("mean", pl.col("size"), pl.col("euros").mean())
    train = learned(prepared, patch, mean)
    for frame in (train, test := rows(prepared, "test")):
        assert frame["mean"].is_finite().all()
    return (
        train.select(pl.corr("mean", "euros")).item(),
        test.select(pl.corr("mean", "euros")).item(),
    )


def test_a_target_without_meaning_is_not_learned(
    prepared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = correlations(prepared, monkeypatch, effect=0)
    assert abs(train) < 0.1, "the mean with the row itself in it correlates by 0.3"
    assert abs(test) < 0.1


def test_what_a_key_says_of_the_target_is_learned(
    prepared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = correlations(prepared, monkeypatch, effect=0.1)
    assert train == pytest.approx(test, abs=0.05)
    assert min(train, test) > 0.6


def test_a_group_is_in_one_fold(prepared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.edit(prepare__group="items")
    prepare.main(prepared)
    value = (pl.col("euros") > 50).mean()
    train = learned(prepared, monkeypatch, FittedFeature("share", pl.col("items"), value))
    values = train.group_by("items").agg("share")["share"].list.unique()
    assert values.list.len().max() == 1, "a row learns from no row of its group"
    assert values.n_unique() > 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": pl.col("price")}, r"mine(.|\n)*only columns with role input or time"),
        ({"key": pl.col("sold_at")}, "feature mine: is Datetime"),
        ({"key": pl.col("size").rank()}, "feature mine: the value of a row changes"),
        ({"value": pl.col("price").mean()}, r"FITTED: mine: (.|\n)*the target by its name.*euros"),
        ({"value": pl.col("euros")}, r"FITTED: mine: (.|\n)*value is an aggregate"),
    ],
)
def test_an_unfit_fitted_feature_is_named(
    prepared: Project, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    given = {"key": pl.col("shop"), "value": pl.col("euros").mean(), **changes}
    with pytest.raises(UserError, match=said):
        learned(prepared, monkeypatch, FittedFeature("mine", **given))
    assert not prepared.processed.exists()


def test_folds_need_a_group_that_is_there(
    prepared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = prepared.contract.read_text().replace("name: items,", "name: items, pii: true,")
    prepared.contract.write_text(text)
    prepared.edit(prepare__group="items")
    prepare.main(prepared)
    monkeypatch.setattr(featurize, "FEATURES", FEATURES[:2])
    with pytest.raises(UserError, match=r"two values of items .*prepare\.pii: hash"):
        learned(prepared, monkeypatch, MEAN)
