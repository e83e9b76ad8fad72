"""One row in, features out: with `compute` write a test for each feature of your own."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.features import deserialise
from mlops_loop.project import Paths

from {{ cookiecutter.package_name }}.features.definitions import FEATURES, FITTED


def compute(own: Paths, values: Mapping[str, Any]) -> dict[str, Any]:
    """The features of the first row of train, with these values in some of its columns."""
    known = load_contract(own.contract).dtypes(*FEATURE_ROLES)
    row = pl.read_parquet(own.interim / "train" / "*.parquet", n_rows=1).select(list(known))
    other = (pl.lit(value, known[name]).alias(name) for name, value in values.items())
    return row.with_columns(other).select(FEATURES).row(0, named=True)


def test_one_row_has_the_features_that_training_saw(own: Paths) -> None:
    trained = pl.read_parquet(own.processed / "train" / "*.parquet", n_rows=1).row(0, named=True)
    for name, value in compute(own, {}).items():
        assert trained[name] == pytest.approx(value, nan_ok=True), name


def test_the_model_gets_the_features_of_definitions(own: Paths) -> None:
    carried = deserialise((own.processed / "features.json").read_text(encoding="utf-8"))
    plain, learned = carried[: len(FEATURES)], carried[len(FEATURES) :]
    assert [str(feature) for feature in plain] == [str(feature) for feature in FEATURES]
    assert [feature.meta.output_name() for feature in learned] == [each.name for each in FITTED]


def test_a_missing_value_leaves_every_feature_in_place(own: Paths) -> None:
    contract = load_contract(own.contract)
    missing = {column.name: None for column in contract.columns if column.nullable}
    missing = {name: None for name in missing if name in contract.dtypes(*FEATURE_ROLES)}
    assert compute(own, missing).keys() == compute(own, {}).keys()
