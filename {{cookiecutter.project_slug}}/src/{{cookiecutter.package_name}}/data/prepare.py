"""Stage `prepare`: target, row filter and split of every raw partition into data/interim."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from mlops_loop.console import track
from mlops_loop.data import splits
from mlops_loop.data.contract import CHECKED_ROLES, STORED_ROLES, Contract, load_contract
from mlops_loop.data.known_target import find_definitions
from mlops_loop.features import check_definitions
from mlops_loop.files import COMPRESSION, partitions, replaced, write_json
from mlops_loop.project import SPLITS, Paths, pii_key, run_stage

from .. import PROJECT
from ..features.definitions import KEEP_ROWS, TARGET
from ..params import Params, Prepare, load_params

DROPPED = " (dropped)"  # no column of a CSV begins with a blank


def scan(path: Path, contract: Contract, options: Prepare) -> pl.LazyFrame:
    """The columns to keep of a raw partition, the target, and why a row is dropped (or null)."""
    raw = pl.scan_parquet(path)
    columns = raw.collect_schema().names()
    contract, target, keep_rows = find_definitions(columns, contract, TARGET, KEEP_ROWS)
    reasons = [("target is missing", target.is_null())]
    reasons += [("time is missing", pl.col(time).is_null()) for time in contract.names("time")]
    if options.since:
        old = splits.is_old(contract, options.since, options.old_share)
        reasons.append(("before prepare.since", old))
    if options.until:
        reasons.append(("not before prepare.until", ~splits.is_old(contract, options.until, 0)))
    for keep in keep_rows:
        name = f"excluded by KEEP_ROWS: {keep.meta.output_name()}"
        reasons.append((name, ~keep.fill_null(False)))
    first = pl.coalesce(pl.when(rule).then(pl.lit(reason)) for reason, rule in reasons)
    rows = contract.read(raw, contract.names(*CHECKED_ROLES))
    return rows.select(*contract.names(*STORED_ROLES), target, first.alias(DROPPED))


def read_keys(
    raw: Iterable[Path], contract: Contract, params: Params
) -> tuple[pl.DataFrame, Counter[str]]:
    """`key` and `class` of every row that stays, and the number of the others by reason.

    The class is null unless each class is split for itself.
    """
    group, keys, dropped = params.prepare.group, [], Counter[str]()
    stratified = params.task != "regression" and not group and not contract.names("time")
    target = pl.col(TARGET.meta.output_name())
    label = target.cast(pl.String).cast(pl.Categorical) if stratified else pl.lit(None)
    columns = splits.split_key(contract, group).alias("key"), label.alias("class"), DROPPED
    for path in raw:
        frame = scan(path, contract, params.prepare).select(columns).collect()
        dropped.update(frame[DROPPED].drop_nulls().to_list())
        keys.append(frame.filter(pl.col(DROPPED).is_null()).drop(DROPPED))
    return pl.concat(keys), dropped


def read_kept(path: Path, contract: Contract, options: Prepare, key: str | None) -> pl.DataFrame:
    """The rows of a partition that stay: what features may use, ids and the target.

    Personal data are left out, or hashed where there is a `key`.
    """
    kept = scan(path, contract, options).filter(pl.col(DROPPED).is_null())
    clear, target = contract.dtypes(*STORED_ROLES), TARGET.meta.output_name()
    if key is None:
        return kept.select(*clear, target).collect()
    frame = kept.drop(DROPPED).collect()
    hidden = [name for name in frame.columns if name not in (*clear, target)]
    return frame.with_columns(splits.keyed_hash(frame[name], key) for name in hidden)


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
            frame = read_kept(path, contract, options, secret)
            here, places = places[: frame.height], places[frame.height :]
            for number, name in enumerate(SPLITS):
                part = frame.filter(here == number)
                if not part.is_empty():
                    part.write_parquet(temporary / name / path.name, compression=COMPRESSION)


if __name__ == "__main__":
    run_stage(main, PROJECT)
