"""Stage `featurize`: no leak, no look at other rows, no hidden code."""

from datetime import datetime

import polars as pl
import pytest
from mlops_loop.features import deserialise
from mlops_loop.project import UserError
from project.data import ingest, prepare
from project.features import featurize
from projects import DEFINITIONS, Project, sales

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
        rows = pl.read_parquet(prepared.interim / split / "*.parquet")
        made = pl.read_parquet(prepared.processed / split / "*.parquet")
        assert made.equals(rows.select(*FEATURES, "euros"))
    stored = deserialise((prepared.processed / "features.json").read_text())
    assert [str(feature) for feature in stored] == [str(feature) for feature in FEATURES]


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ((pl.col("price") * 2).alias("leak"), r"leak(.|\n)*only columns with role input or time"),
        (pl.col("euros").alias("leak"), r"leak(.|\n)*only columns with role input or time"),
        (pl.col("nowhere"), "nowhere"),
        (pl.col("sold_at").alias("when"), "feature when: is Datetime"),
        ((SIZE / SIZE.mean()).alias("relative"), "features relative: the value of a row changes"),
        (SIZE.shift(1).alias("last"), "features last: the value of a row changes"),
        (SIZE.rank().alias("place"), "features place: the value of a row changes"),
        (SIZE.cum_sum().over("shop").alias("sum"), "features sum: the value of a row changes"),
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
    with pytest.raises(UserError, match=r"feature (.|\n)*never among them: shop\."):
        featurize.main(prepared)


def test_stored_features_give_the_same_values() -> None:
    rows = sales(50)
    expressions = (
        *FEATURES,
        pl.selectors.float().log1p().name.suffix("_log"),
        pl.when(SIZE > 50).then(pl.lit("large")).otherwise(pl.lit("small")).alias("kind"),
        (pl.col("sold_at") - datetime(2024, 1, 1)).dt.total_hours().alias("age"),
        pl.col("shop").replace({"north": "n"}).alias("short"),
    )
    assert rows.select(deserialise(featurize.serialise(expressions))).equals(
        rows.select(expressions)
    )


def test_features_that_this_polars_cannot_read_are_refused() -> None:
    with pytest.raises(UserError, match=f"cannot be read by {pl.__version__}"):
        deserialise('[{"Future": {"expression": 1}}]')
