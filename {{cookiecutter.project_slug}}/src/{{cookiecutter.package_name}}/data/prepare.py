"""Stage `prepare`: target, row filter and split of every raw partition into data/interim."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from mlops_loop.console import track
from mlops_loop.data import splits
from mlops_loop.data.contract import CHECKED_ROLES, STORED_ROLES, Contract, load_contract
from mlops_loop.features import check_definitions
from mlops_loop.files import COMPRESSION, partitions, replaced, write_json
from mlops_loop.project import SPLITS, Paths, pii_key, run_stage

from .. import PROJECT
from ..features.definitions import KEEP_ROWS, TARGET
from ..params import Params, load_params


def scan(path: Path, contract: Contract) -> pl.LazyFrame:
    """A raw partition with the contract's dtypes."""
    return contract.read(pl.scan_parquet(path), contract.names(*CHECKED_ROLES))


def drop_reason(contract: Contract) -> pl.Expr:
    """The first reason to drop a row; null if it stays."""
    reasons = [pl.when(TARGET.is_null()).then(pl.lit("target is missing"))]
    for time in contract.names("time"):
        reasons.append(pl.when(pl.col(time).is_null()).then(pl.lit("time is missing")))
    for keep in KEEP_ROWS:
        text = pl.lit(f"excluded by KEEP_ROWS: {keep.meta.output_name()}")
        reasons.append(pl.when(~keep.fill_null(False)).then(text))
    return pl.coalesce(reasons)


def read_keys(
    raw: Iterable[Path], contract: Contract, params: Params
) -> tuple[pl.DataFrame, Counter[str]]:
    """`key` and `class` of every row that stays, and the number of the others by reason.

    The class is null unless each class is split for itself.
    """
    group, keys, dropped = params.prepare.group, [], Counter[str]()
    stratified = params.task != "regression" and not group and not contract.names("time")
    label = TARGET.cast(pl.String).cast(pl.Categorical) if stratified else pl.lit(None)
    for path in raw:
        rows = scan(path, contract).select(
            splits.split_key(contract, group).alias("key"),
            label.alias("class"),
            drop_reason(contract).alias("dropped"),
        )
        frame = rows.collect()
        dropped.update(frame["dropped"].drop_nulls().to_list())
        keys.append(frame.filter(pl.col("dropped").is_null()).drop("dropped"))
    return pl.concat(keys), dropped


def read_kept(path: Path, contract: Contract, key: str | None) -> pl.DataFrame:
    """The rows of a partition that stay: what features may use, ids and the target.

    Personal data are left out, or hashed where there is a `key`.
    """
    kept = scan(path, contract).filter(drop_reason(contract).is_null())
    clear, stored = contract.dtypes(*STORED_ROLES), contract.names(*STORED_ROLES)
    if key is None:
        return kept.select(*clear, TARGET).collect()
    frame = kept.select(*stored, TARGET).collect()
    return frame.with_columns(
        splits.keyed_hash(frame[name], key) for name in stored if name not in clear
    )


def main(paths: Paths) -> None:
    """Write data/interim/{train,validation,test} and reports/prepare.json."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    options = params.prepare
    splits.check_params(options.test_from, options.group, options.pii, contract)
    check_definitions(TARGET, KEEP_ROWS, contract)
    secret = pii_key(paths) if options.pii == "hash" else None
    raw = partitions(paths.raw)
    keys, dropped = read_keys(track(raw, "prepare: order of the rows"), contract, params)
    places = splits.assign_splits(keys, options.test_from)
    rows = {name: int((places == number).sum()) for number, name in enumerate(SPLITS)}
    write_json(paths.prepare_report, {"dropped": dropped, "rows": rows})
    splits.check_splits(rows)
    with replaced(paths.interim) as temporary:
        for name in SPLITS:
            (temporary / name).mkdir(parents=True)
        for path in track(raw, "prepare: splits"):
            frame = read_kept(path, contract, secret)
            here, places = places[: frame.height], places[frame.height :]
            for number, name in enumerate(SPLITS):
                part = frame.filter(here == number)
                if not part.is_empty():
                    part.write_parquet(temporary / name / path.name, compression=COMPRESSION)


if __name__ == "__main__":
    run_stage(main, PROJECT)
