"""Stage `featurize`: the features of definitions.py over data/interim, into data/processed."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from mlops_loop.console import track
from mlops_loop.data.contract import FEATURE_ROLES, STORED_ROLES, Contract, load_contract
from mlops_loop.data.splits import assign_folds
from mlops_loop.features import check_features, check_rowwise, serialise
from mlops_loop.files import COMPRESSION, replaced
from mlops_loop.project import SPLITS, Paths, run_stage

from .. import PROJECT
from ..params import load_params
from .definitions import FEATURES, FITTED, TARGET


def fit(
    train: Path, contract: Contract, group: str | None
) -> tuple[list[pl.Expr], list[pl.Series]]:
    """Learn FITTED; returns them as expressions, and their values in the rows of train."""
    if not FITTED:
        return [], []
    stored = pl.read_parquet(train)
    rows = stored.select(*contract.dtypes(*STORED_ROLES), TARGET.meta.output_name())
    folds = assign_folds(stored, contract, group)
    values = [feature.fit_train(rows, folds) for feature in FITTED]
    return [feature.fit(rows) for feature in FITTED], values


def featurize(rows: pl.LazyFrame, features: Sequence[pl.Expr], known: pl.Schema) -> pl.LazyFrame:
    """The features and, last, the target, which no feature can see."""
    made = rows.select(list(known)).select(features)
    return pl.concat([made, rows.select(TARGET.meta.output_name())], how="horizontal")


def main(paths: Paths) -> None:
    """Write data/processed/{train,validation,test} and the features themselves beside them."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    check_features([*FEATURES, *(each.key.alias(each.name) for each in FITTED)], contract)
    train, known = paths.interim / "train" / "*.parquet", contract.dtypes(*FEATURE_ROLES)
    learned, values = fit(train, contract, params.prepare.group)
    features = [*FEATURES, *learned]
    some = pl.read_parquet(train, n_rows=params.featurize.check_rows, columns=list(known))
    check_rowwise(features, some)
    with replaced(paths.processed) as temporary:
        for name in track(SPLITS, "featurize"):
            rows = pl.scan_parquet(paths.interim / name / "*.parquet")
            made = featurize(rows, features, known)
            if name == "train":
                made = made.with_columns(values)
            target = temporary / name / "rows.parquet"
            made.sink_parquet(target, mkdir=True, compression=COMPRESSION)
        (temporary / "features.json").write_text(serialise(features), encoding="utf-8")


if __name__ == "__main__":
    run_stage(main, PROJECT)
