"""Stage `ingest`: bring the asked-for partitions into data/raw, unchanged, and no others."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from ..errors import UserError
from ..files import BrokenFile, discard, read_json, replaced, write_json
from ..params import Params, load_params
from ..paths import PROJECT, Paths
from ..stage import run_stage
from ..tables import read_table
from . import sample, tlc
from .contract import load_contract
from .validate import unreadable, write_report


@dataclass(frozen=True)
class Partition:
    """One file of data/raw; made again only when its origin is another than recorded."""

    name: str
    origin: str
    fetch: Callable[[Path], None]


def wanted(params: Params, paths: Paths) -> Iterator[Partition]:
    """The partitions that params.yaml asks for."""
    ingest = params.ingest
    if ingest.source == "file":
        yield _file_partition(ingest.path, paths.root)
        return
    for month in ingest.months:
        if ingest.source == "sample":
            origin = f"simulated: {month}, {ingest.rows_per_month} rows, seed {params.seed}"
            fetch = partial(_simulate, month, ingest.rows_per_month, params.seed)
            yield Partition(f"sample_{month}.parquet", origin, fetch)
        else:
            fetch = partial(_fetch_tlc, ingest.base, month, paths.partial)
            yield Partition(tlc.file_name(month), f"tlc: {ingest.base}, {month}", fetch)


def _simulate(month: str, rows: int, seed: int, target: Path) -> None:
    sample.simulate(month, rows, seed).write_parquet(target)


def _fetch_tlc(base: str, month: str, partial_downloads: Path, target: Path) -> None:
    tlc.fetch(base, month, target, partial_downloads)
    check_parquet(target, Path(base) / tlc.file_name(month))


def _file_partition(path: str | None, root: Path) -> Partition:
    if path is None:
        raise UserError("params.yaml: ingest.path is null; name a file, e.g. data/external/x.csv.")
    source = root / path
    if not source.is_file():
        raise UserError(
            f"params.yaml: ingest.path: there is no {path}; put it there or correct it."
        )
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    name = source.name.removesuffix(".gz").removesuffix(source.suffix).removesuffix(".csv")
    return Partition(f"{name}.parquet", f"file: sha256 {digest}", partial(_copy, source))


def _copy(source: Path, target: Path) -> None:
    if source.suffix != ".parquet":
        read_table(source).write_parquet(target)
        return
    shutil.copyfile(source, target)
    check_parquet(target, source)


def check_parquet(path: Path, source: Path) -> None:
    """Raise BrokenFile, which names the `source` of the copy, unless its footer is whole."""
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(source, f"not a complete Parquet file ({error}).") from error


def ingest(asked: list[Partition], raw: Path) -> None:
    """Fetch what is new, keep what is good, remove everything else."""
    raw.mkdir(parents=True, exist_ok=True)
    manifest = raw / "manifest.json"
    recorded = read_json(manifest) if manifest.exists() else {}
    for partition in asked:
        target = raw / partition.name
        if target.exists() and recorded.get(partition.name) == partition.origin:
            continue
        # Killed between file and record, the next run must not take the one for the other.
        recorded.pop(partition.name, None)
        write_json(manifest, recorded)
        with replaced(target) as temporary:
            partition.fetch(temporary)
        recorded[partition.name] = partition.origin
        write_json(manifest, recorded)
    good = {partition.name: partition.origin for partition in asked}
    for path in raw.iterdir():
        if path.name not in {*good, manifest.name}:
            discard(path)
    write_json(manifest, good)


def main(paths: Paths = PROJECT) -> None:
    """Fill data/raw; a file that cannot be read is reported like any breach of the contract."""
    params = load_params(paths.params)
    load_contract(paths.contract)
    try:
        ingest(list(wanted(params, paths)), paths.raw)
    except BrokenFile as error:
        write_report(paths.validation_report, {}, [unreadable(error)])


if __name__ == "__main__":
    run_stage(main)
