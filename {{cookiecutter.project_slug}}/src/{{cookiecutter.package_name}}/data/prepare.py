"""Stage `prepare`: target, row filter and split of every raw partition into data/interim."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import UserError
from ..features.definitions import KEEP_ROWS, TARGET
from ..files import COMPRESSION, partitions, replaced, write_json
from ..params import Prepare, load_params
from ..paths import PROJECT, SPLITS, Paths
from ..progress import track
from ..stage import run_stage
from .contract import USED, Contract, load_contract

TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
SMALL_TABLE = 1_000
HASH_RANGE = 2**64


def with_reasons(frame: pl.LazyFrame, time: list[str]) -> pl.LazyFrame:
    """Add the target, and `dropped`: why a row is left out (the first reason), null if it stays."""
    target = TARGET.meta.output_name()
    missing = [
        pl.when(pl.col(name).is_null()).then(pl.lit(reason))
        for name, reason in ((target, "target is missing"), *((t, "time is missing") for t in time))
    ]
    outside = [
        pl.when(~keep.fill_null(False)).then(pl.lit(f"not among: {keep.meta.output_name()}"))
        for keep in KEEP_ROWS
    ]
    reason = pl.coalesce(*missing, *outside).alias("dropped")
    return frame.with_columns(TARGET).with_columns(reason)


def split_keys(frame: pl.DataFrame, contract: Contract, group: str | None) -> pl.Series:
    """What orders rows into splits: their group's hash, else their time, else their own hash."""
    time, identity = contract.names("time"), contract.names("id")
    if group:
        return stable_hash(frame.select(group))
    if time:
        return frame[time[0]].cast(pl.Datetime("us"))
    return stable_hash(frame.select(identity or contract.names("input")))


def stable_hash(frame: pl.DataFrame) -> pl.Series:
    """64 bits a row, from the Python text of its values: the same with any library version."""
    digests = (
        int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest())
        for row in frame.iter_rows()
    )
    return pl.Series(digests, dtype=pl.UInt64)


def cut_points(keys: pl.Series, test_from: date | None) -> tuple[Any, Any]:
    """The keys at which validation and test begin.

    A hash of many rows is cut at fixed values, so that new rows never move old ones; time, and
    tables under 1,000 rows, are cut where the shares are exact.
    """
    if test_from:
        start = datetime(test_from.year, test_from.month, test_from.day)
        earlier = keys.filter(keys < start).sort()
        return _at(earlier, 1 - VALIDATION_SHARE), start
    if keys.dtype == pl.UInt64 and len(keys) >= SMALL_TABLE:
        return int(TRAIN_SHARE * HASH_RANGE), int((TRAIN_SHARE + VALIDATION_SHARE) * HASH_RANGE)
    ordered = keys.sort()
    return _at(ordered, TRAIN_SHARE), _at(ordered, TRAIN_SHARE + VALIDATION_SHARE)


def _at(ordered: pl.Series, share: float) -> Any:
    if ordered.is_empty():
        raise UserError(
            "no rows are left to train on; check KEEP_ROWS in definitions.py and prepare.test_from."
        )
    return ordered[min(round(share * len(ordered)), len(ordered) - 1)]


def split(frame: pl.DataFrame, keys: pl.Series, cuts: tuple[Any, Any]) -> dict[str, pl.DataFrame]:
    """The rows of each split."""
    validation, test = cuts
    masks = (keys < validation, (keys >= validation) & (keys < test), keys >= test)
    return {name: frame.filter(mask) for name, mask in zip(SPLITS, masks, strict=True)}


def scan(path: Path, contract: Contract) -> pl.LazyFrame:
    """A raw partition with the contract's dtypes, the target and the reason to drop each row."""
    return with_reasons(
        contract.typed(pl.scan_parquet(path), contract.names(*USED)), contract.names("time")
    )


def read_keys(raw: Iterable[Path], contract: Contract, params: Prepare) -> pl.Series:
    """The split keys of every row that stays, partition by partition."""
    columns = [params.group] if params.group else contract.names("time")
    columns = columns or contract.names("id") or contract.names("input")
    kept = (scan(path, contract).filter(pl.col("dropped").is_null()) for path in raw)
    frames = (frame.select(columns).collect() for frame in kept)
    return pl.concat(split_keys(frame, contract, params.group) for frame in frames)


def check_params(params: Prepare, contract: Contract) -> None:
    """Raise UserError when the split asks for columns that the contract does not have."""
    groups = contract.names("input", "id", "time")
    if params.group and params.group not in groups:
        raise UserError(f"params.yaml: prepare.group: {params.group} is none of {groups}.")
    if params.test_from and (params.group or not contract.names("time")):
        raise UserError("params.yaml: prepare.test_from needs a time column and no prepare.group.")


def main(paths: Paths = PROJECT) -> None:
    """Write data/interim/{train,validation,test} and reports/prepare.json."""
    params, contract = load_params(paths.params).prepare, load_contract(paths.contract)
    check_params(params, contract)
    raw = partitions(paths.raw)
    order = read_keys(track(raw, "prepare: order of the rows"), contract, params)
    cuts = cut_points(order, params.test_from)
    columns = [*contract.names("input", "time", "id"), TARGET.meta.output_name()]
    dropped: Counter[str] = Counter()
    rows: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
    with replaced(paths.interim) as temporary:
        for name in SPLITS:
            (temporary / name).mkdir(parents=True)
        for path in track(raw, "prepare: splits"):
            frame = scan(path, contract).select(*columns, "dropped").collect()
            dropped.update(frame["dropped"].drop_nulls().to_list())
            kept = frame.filter(pl.col("dropped").is_null()).drop("dropped")
            keys = split_keys(kept, contract, params.group)
            for name, part in split(kept, keys, cuts).items():
                rows[name] += part.height
                if not part.is_empty():
                    part.write_parquet(temporary / name / path.name, compression=COMPRESSION)
        write_json(paths.prepare_report, {"dropped": dropped, "rows": rows})
        check_splits(rows)


def check_splits(rows: Counter[str]) -> None:
    """Raise UserError when a split has no rows: nothing could be learnt or judged."""
    empty = [name for name in SPLITS if not rows[name]]
    if empty:
        raise UserError(
            f"no rows for {' and '.join(empty)} (train {rows['train']}, validation "
            f"{rows['validation']}, test {rows['test']}); bring more rows or move test_from."
        )


if __name__ == "__main__":
    run_stage(main)
