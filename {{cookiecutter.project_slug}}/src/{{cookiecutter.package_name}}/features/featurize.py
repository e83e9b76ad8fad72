"""Stage `featurize`: the expressions of definitions.py over data/interim, into data/processed."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ..data.contract import KNOWN, Contract, load_contract
from ..errors import UserError
from ..files import COMPRESSION, partitions, replaced
from ..params import load_params
from ..paths import PROJECT, SPLITS, Paths
from ..progress import track
from ..stage import run_stage
from .definitions import FEATURES, TARGET
from .serialise import serialise


def check_features(features: Sequence[pl.Expr], contract: Contract) -> None:
    """Raise UserError for a feature of an unfit dtype, or of columns that features may not use."""
    known = contract.dtypes(*KNOWN)
    empty = pl.LazyFrame(schema=known)
    for feature in features:
        try:
            schema = empty.select(feature).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise UserError(
                f"feature {feature}: {error}\nA feature may use only columns with role input or "
                f"time in contract.yaml: {', '.join(known)}.{_personal(feature, contract)}"
            ) from error
        for name, dtype in schema.items():
            if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String)):
                raise UserError(f"feature {name}: is {dtype}; make it a number, boolean or text.")


def _personal(feature: pl.Expr, contract: Contract) -> str:
    personal = {column.name for column in contract.columns if column.pii}
    hidden = ", ".join(name for name in feature.meta.root_names() if name in personal)
    return f" Personal data (pii: true) are never among them: {hidden}." if hidden else ""


def check_rowwise(features: Sequence[pl.Expr], rows: pl.DataFrame) -> None:
    """Raise UserError for a feature whose value in one row depends on other rows.

    Such a feature cannot be computed for a single request as it was in training.
    """
    together = rows.select(features)
    apart = pl.concat([rows[i].select(features) for i in range(rows.height)])
    differs = [name for name in together.columns if not same(together[name], apart[name])]
    if differs:
        raise UserError(
            f"features {', '.join(differs)}: the value of a row changes with the rows around it; "
            "use expressions that look at one row only."
        )


def same(one: pl.Series, other: pl.Series) -> bool:
    """Whether two series hold the same; one row alone may be rounded otherwise than many."""
    if not one.dtype.is_float():
        return one.equals(other)
    return one.is_null().equals(other.is_null()) and one.is_close(other, nans_equal=True).all()


def featurize(source: Path, target: Path, known: pl.Schema) -> None:
    """Write the features and the target of one partition."""
    frame = pl.scan_parquet(source)
    features = frame.select(list(known)).select(FEATURES)
    outcome = frame.select(TARGET.meta.output_name())
    made = pl.concat([features, outcome], how="horizontal")
    made.sink_parquet(target, mkdir=True, compression=COMPRESSION)


def main(paths: Paths = PROJECT) -> None:
    """Write data/processed/{train,validation,test} and the features themselves beside them."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    check_features(FEATURES, contract)
    known = contract.dtypes(*KNOWN)
    first = partitions(paths.interim / "train")[0]
    rows = pl.read_parquet(first, n_rows=params.featurize.check_rows, columns=list(known))
    check_rowwise(FEATURES, rows)
    with replaced(paths.processed) as temporary:
        for name in SPLITS:
            for path in track(partitions(paths.interim / name), f"featurize: {name}"):
                featurize(path, temporary / name / path.name, known)
        (temporary / "features.json").write_text(serialise(FEATURES), encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
