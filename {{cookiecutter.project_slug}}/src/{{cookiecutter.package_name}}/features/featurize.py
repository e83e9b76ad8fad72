"""Stage `featurize`: the expressions of definitions.py over data/interim, into data/processed."""

from pathlib import Path

import polars as pl

from mlops_loop.console import track
from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.features import check_features, check_rowwise, serialise
from mlops_loop.files import COMPRESSION, partitions, replaced
from mlops_loop.project import SPLITS, Paths, run_stage

from .. import PROJECT
from ..params import load_params
from .definitions import FEATURES, TARGET


def featurize(source: Path, target: Path, known: pl.Schema) -> None:
    """Write the features and the target of one partition."""
    frame = pl.scan_parquet(source)
    features = frame.select(list(known)).select(FEATURES)
    outcome = frame.select(TARGET.meta.output_name())
    made = pl.concat([features, outcome], how="horizontal")
    made.sink_parquet(target, mkdir=True, compression=COMPRESSION)


def main(paths: Paths) -> None:
    """Write data/processed/{train,validation,test} and the features themselves beside them."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    check_features(FEATURES, contract)
    known = contract.dtypes(*FEATURE_ROLES)
    first = partitions(paths.interim / "train")[0]
    rows = pl.read_parquet(first, n_rows=params.featurize.check_rows, columns=list(known))
    check_rowwise(FEATURES, rows)
    with replaced(paths.processed) as temporary:
        for name in SPLITS:
            for path in track(partitions(paths.interim / name), f"featurize: {name}"):
                featurize(path, temporary / name / path.name, known)
        (temporary / "features.json").write_text(serialise(FEATURES), encoding="utf-8")


if __name__ == "__main__":
    run_stage(main, PROJECT)
