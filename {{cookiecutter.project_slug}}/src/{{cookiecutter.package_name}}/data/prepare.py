"""Stage `prepare`: target, row filter and split of every raw partition into data/interim."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from mlops_loop.console import track
from mlops_loop.data.contract import CHECKED_ROLES, STORED_ROLES, Contract, load_contract
from mlops_loop.data.hashing import keyed_hash
from mlops_loop.data.splits import assign, check_params, check_splits, key_columns, split_keys
from mlops_loop.features import check_definitions
from mlops_loop.files import COMPRESSION, partitions, replaced, write_json
from mlops_loop.project import SPLITS, Paths, pii_key, run_stage

from .. import PROJECT
from ..features.definitions import KEEP_ROWS, TARGET
from ..params import Params, load_params


def scan(path: Path, contract: Contract) -> pl.LazyFrame:
    """A raw partition with the contract's dtypes."""
    return contract.read(pl.scan_parquet(path), contract.names(*CHECKED_ROLES))


def reason(contract: Contract) -> pl.Expr:
    """Why a row is left out (the first reason), null if it stays."""
    needed = [(TARGET, "target"), *((pl.col(time), "time") for time in contract.names("time"))]
    missing = [
        pl.when(value.is_null()).then(pl.lit(f"{what} is missing")) for value, what in needed
    ]
    outside = [
        pl.when(~keep.fill_null(False)).then(pl.lit(f"not among: {keep.meta.output_name()}"))
        for keep in KEEP_ROWS
    ]
    return pl.coalesce(*missing, *outside)


def read_keys(
    raw: Iterable[Path], contract: Contract, params: Params
) -> tuple[pl.DataFrame, Counter[str]]:
    """`key` and `class` of every row that stays, and the number of the others by reason.

    The class is null unless each class is split for itself.
    """
    group, keys, dropped = params.prepare.group, [], Counter[str]()
    stratified = params.task != "regression" and not group and not contract.names("time")
    label = TARGET.cast(pl.String).cast(pl.Categorical) if stratified else pl.lit(None)
    # In a struct, the user's columns may have any name, `dropped` and `class` too.
    columns = pl.struct(key_columns(contract, group))
    made = {"dropped": reason(contract), "columns": columns, "class": label}
    for path in raw:
        rows = scan(path, contract).select(**made).collect()
        dropped.update(rows["dropped"].drop_nulls().to_list())
        kept = rows.filter(pl.col("dropped").is_null())
        values = kept["columns"].struct.unnest()
        keys.append(kept.select("class", key=split_keys(values, contract, group)))
    return pl.concat(keys), dropped


def kept_rows(path: Path, contract: Contract, key: str | None) -> pl.DataFrame:
    """The rows of a partition that stay: what features may use, ids and the target.

    Personal data are left out, or hashed where there is a `key`.
    """
    kept = scan(path, contract).filter(reason(contract).is_null())
    clear = contract.dtypes(*STORED_ROLES)
    if key is None:
        return kept.select(*clear, TARGET).collect()
    frame = kept.select(*contract.names(*STORED_ROLES), TARGET).collect()
    personal = [name for name in contract.names(*STORED_ROLES) if name not in clear]
    return frame.with_columns(keyed_hash(frame[name], key) for name in personal)


def main(paths: Paths) -> None:
    """Write data/interim/{train,validation,test} and reports/prepare.json."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    options = params.prepare
    check_params(options.test_from, options.group, options.pii, contract)
    check_definitions(TARGET, KEEP_ROWS, contract)
    secret = pii_key(paths) if params.prepare.pii == "hash" else None
    raw = partitions(paths.raw)
    keys, dropped = read_keys(track(raw, "prepare: order of the rows"), contract, params)
    splits = assign(keys, params.prepare.test_from)
    rows = {name: len(splits.filter(splits == number)) for number, name in enumerate(SPLITS)}
    write_json(paths.prepare_report, {"dropped": dropped, "rows": rows})
    check_splits(rows)
    with replaced(paths.interim) as temporary:
        for name in SPLITS:
            (temporary / name).mkdir(parents=True)
        for path in track(raw, "prepare: splits"):
            frame = kept_rows(path, contract, secret)
            places, splits = splits[: frame.height], splits[frame.height :]
            for number, name in enumerate(SPLITS):
                part = frame.filter(places == number)
                if not part.is_empty():
                    part.write_parquet(temporary / name / path.name, compression=COMPRESSION)


if __name__ == "__main__":
    run_stage(main, PROJECT)
