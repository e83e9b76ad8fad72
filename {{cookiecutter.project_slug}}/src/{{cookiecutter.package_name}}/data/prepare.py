"""Stage `prepare`: target, row filter and split of every raw partition into data/interim."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import UserError
from ..features.definitions import KEEP_ROWS, TARGET
from ..files import COMPRESSION, partitions, replaced, write_json
from ..params import Params, Prepare, load_params
from ..paths import PROJECT, SPLITS, Paths
from ..progress import track
from ..settings import pii_key
from ..stage import run_stage
from .contract import KEPT, USED, Contract, load_contract
from .hashing import keyed_hash, stable_hash

TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
SMALL_TABLE = 1_000
HASH_RANGE = 2**64


def scan(path: Path, contract: Contract) -> pl.LazyFrame:
    """A raw partition with the contract's dtypes."""
    return contract.typed(pl.scan_parquet(path), contract.names(*USED))


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


def key_columns(contract: Contract, group: str | None) -> list[str]:
    """What orders rows into splits: their group, else their time, else their id or inputs."""
    if group:
        return [group]
    return contract.names("time") or contract.names("id") or contract.names("input")


def split_keys(values: pl.DataFrame, contract: Contract, group: str | None) -> pl.Series:
    """The values of `key_columns` as one: a time as it is, anything else hashed."""
    if contract.names("time") and not group:
        return values.to_series().cast(pl.Datetime("us"))
    return stable_hash(values)


def assign(rows: pl.DataFrame, test_from: date | None) -> pl.Series:
    """The number of each row's split in SPLITS, from its `key` and `class`.

    Raises UserError when there are no rows, or too few of a class.
    """
    if rows["key"].dtype == pl.UInt64 and not rows.is_empty():
        check_classes(rows["class"])
        return rows.select(by_hash().over("class")).to_series()
    cuts = cut_points(rows["key"], test_from)
    return rows.select(_split(pl.col("key"), *cuts)).to_series()


def by_hash() -> pl.Expr:
    """The split of each row of a class; equal keys stay together, the first ones in train.

    Many keys are cut at fixed values, so that new rows never move old ones; under 1,000 are cut
    where the shares are exact, with a row at least for validation and for test.
    """
    key, rows = pl.col("key"), pl.len().cast(pl.Int64)
    begins = TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE
    validation, test = (
        pl.min_horizontal((rows * begin).round(), rows - left)
        for begin, left in zip(begins, (2, 1), strict=True)
    )
    place = key.rank("max").cast(pl.Int64) - 1
    exact = pl.when(key > key.min()).then(_split(place, validation, test)).otherwise(0)
    fixed = _split(key, *(pl.lit(int(begin * HASH_RANGE), pl.UInt64) for begin in begins))
    return pl.when(key.n_unique() < SMALL_TABLE).then(exact).otherwise(fixed)


def cut_points(times: pl.Series, test_from: date | None) -> tuple[datetime, datetime]:
    """The times at which validation and test begin."""
    if test_from:
        start = datetime(test_from.year, test_from.month, test_from.day)
        return _at(times.filter(times < start).sort(), 1 - VALIDATION_SHARE), start
    ordered = times.sort()
    return _at(ordered, TRAIN_SHARE), _at(ordered, TRAIN_SHARE + VALIDATION_SHARE)


def _at(ordered: pl.Series, share: float) -> Any:
    if ordered.is_empty():
        raise UserError(
            "no rows are left to train on; check KEEP_ROWS in definitions.py and prepare.test_from."
        )
    return ordered[min(round(share * len(ordered)), len(ordered) - 1)]


def _split(place: pl.Expr, validation: Any, test: Any) -> pl.Expr:
    return pl.sum_horizontal((place >= begin).cast(pl.UInt8) for begin in (validation, test))


def check_classes(classes: pl.Series) -> None:
    """Raise UserError when a class has too few rows to be in every split."""
    counts = classes.drop_nulls().value_counts(name="rows")
    few = counts.filter(pl.col("rows") < len(SPLITS)).sort("rows", "class")
    if not few.is_empty():
        label, rows = few.row(0)
        raise UserError(
            f"class {label!r} of the target has too few rows to split ({rows}, at least 3 are "
            "needed); merge it with another in TARGET or drop it by KEEP_ROWS, both in "
            "definitions.py, or bring more rows."
        )


def check_params(params: Prepare, contract: Contract) -> None:
    """Raise UserError when the split asks for columns that the contract does not have."""
    groups = contract.names(*KEPT)
    if params.group and params.group not in groups:
        raise UserError(f"params.yaml: prepare.group: {params.group} is none of {groups}.")
    if params.test_from and (params.group or not contract.names("time")):
        raise UserError("params.yaml: prepare.test_from needs a time column and no prepare.group.")
    if not groups:
        raise UserError("contract.yaml: no column has role input; features need one at least.")
    hidden = [column.name for column in contract.columns if column.sliced and column.pii]
    if hidden and params.pii == "drop":
        raise UserError(
            f"contract.yaml: column {hidden[0]}: metrics by its values need them in data/interim, "
            "where prepare.pii: drop leaves none of personal data; set it to hash in params.yaml."
        )


def check_definitions(contract: Contract) -> None:
    """Raise UserError when the target or a filter cannot be computed, or a feature could see it."""
    target = TARGET.meta.output_name()
    if target in contract.names(*KEPT):
        raise UserError(
            f"the target {target} has the name of a column that features may use; give that "
            "column role outcome in contract.yaml, or the target another name (.alias)."
        )
    everything = contract.dtypes(*USED, pii=True)
    schemas = [(TARGET, contract.dtypes(*USED)), *((keep, everything) for keep in KEEP_ROWS)]
    for expression, schema in schemas:
        try:
            pl.LazyFrame(schema=schema).select(expression).collect_schema()
        except pl.exceptions.PolarsError as error:
            raise UserError(
                f"definitions.py: {expression}: {error}\nTARGET and KEEP_ROWS may use any column "
                "of contract.yaml that is not ignored; TARGET no personal data (pii: true)."
            ) from error


def kept_rows(path: Path, contract: Contract, key: str | None) -> pl.DataFrame:
    """The rows of a partition that stay: what features may use, ids and the target.

    Personal data are left out, or hashed where there is a `key`.
    """
    kept = scan(path, contract).filter(reason(contract).is_null())
    clear = contract.dtypes(*KEPT)
    if key is None:
        return kept.select(*clear, TARGET).collect()
    frame = kept.select(*contract.names(*KEPT), TARGET).collect()
    personal = [name for name in contract.names(*KEPT) if name not in clear]
    return frame.with_columns(keyed_hash(frame[name], key) for name in personal)


def check_splits(rows: dict[str, int]) -> None:
    """Raise UserError when a split has no rows: nothing could be learnt or judged."""
    empty = [name for name in SPLITS if not rows[name]]
    if empty:
        raise UserError(
            f"no rows for {' and '.join(empty)} (train {rows['train']}, validation "
            f"{rows['validation']}, test {rows['test']}); bring more rows or move test_from."
        )


def main(paths: Paths = PROJECT) -> None:
    """Write data/interim/{train,validation,test} and reports/prepare.json."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    check_params(params.prepare, contract)
    check_definitions(contract)
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
    run_stage(main)
