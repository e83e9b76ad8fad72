"""Source `file`: a table of your own, or a folder of tables that belong together."""

import hashlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mlops_loop.config import Section
from mlops_loop.data.sources import Partition
from mlops_loop.data.tables import PARQUET, TEXT, check_parquet, kind, read_table
from mlops_loop.project import Paths, UserError


class Options(Section):
    """Where the table is."""

    path: str | None


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """One partition a file; raises UserError where there is none, or two of the same name."""
    if options.path is None:
        raise UserError(
            "params.yaml: ingest.path is null; name a file or a folder, e.g. data/external/x.csv."
        )
    taken: dict[str, str] = {}
    for source in _tables(paths.root, options.path):
        name = f"{_stem(source)}.parquet"
        if name in taken:
            raise UserError(
                f"{options.path}: {taken[name]} and {source.name} would both be {name}; "
                "rename one of them, or take it away."
            )
        taken[name] = source.name
        yield Partition(name, f"file: sha256 {_digest(source)}", partial(_copy, source))


def _tables(root: Path, path: str) -> list[Path]:
    source = root / path
    if source.is_dir():
        found = sorted(file for file in source.iterdir() if kind(file) in (PARQUET, *TEXT))
        if found:
            return found
        raise UserError(f"params.yaml: ingest.path: {path} holds no CSV or Parquet file.")
    if not source.is_file():
        raise UserError(
            f"params.yaml: ingest.path: there is no {path}; put it there or correct it."
        )
    return [source]


def _stem(source: Path) -> str:
    return source.with_suffix("").stem if source.suffix == ".gz" else source.stem


def _digest(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: Path, target: Path) -> None:
    if kind(source) == PARQUET:
        shutil.copyfile(source, target)
        check_parquet(target, source)
    else:
        read_table(source).write_parquet(target)
