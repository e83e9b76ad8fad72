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
    """The file or folder of the table."""

    path: str | None


def partitions(options: Options, seed: int, paths: Paths) -> Iterator[Partition]:
    """One partition a file; raises UserError where there is none, or two of the same name."""
    if options.path is None:
        raise UserError(
            "params.yaml: ingest.path is null; name a file or a folder, e.g. data/external/x.csv."
        )
    source, wrong = paths.root / options.path, f"params.yaml: ingest.path: {options.path}"
    if not source.exists():
        raise UserError(f"{wrong} does not exist; put the table there or correct the path.")
    tables = [source] if source.is_file() else sorted(source.iterdir())
    tables = [table for table in tables if kind(table) in (PARQUET, *TEXT) or table == source]
    if not tables:
        raise UserError(f"{wrong} holds no CSV or Parquet file.")
    taken: dict[str, str] = {}
    for table in tables:
        name = f"{Path(table.name.removesuffix('.gz')).stem}.parquet"
        if name in taken:
            raise UserError(
                f"{wrong}: {taken[name]} and {table.name} both give {name}; rename one."
            )
        taken[name] = table.name
        with table.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield Partition(name, f"file: sha256 {digest}", partial(_copy, table))


def _copy(source: Path, target: Path) -> None:
    if kind(source) == PARQUET:
        shutil.copyfile(source, target)
        check_parquet(target, source)
    else:
        read_table(source).write_parquet(target)
