"""Reading tables as people keep them, Parquet or CSV, also those larger than memory."""

import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl

from ..files import BrokenFile
from ..project import UserError
from . import delimited

PARQUET = ".parquet"
TEXT = (".csv", ".tsv", ".txt", ".data")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
CHUNK_CELLS = 1 << 22
Item = TypeVar("Item")
Result = TypeVar("Result")


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV (plain or gzipped; every column as text) or a Parquet file.

    Empty rows at the end of a CSV, as spreadsheets leave them, are none. Raises UserError when the
    file is missing or of another kind, BrokenFile when it is empty or broken; a broken CSV row is
    named by its line.
    """
    table = pl.concat(read_chunks(path))
    return table if kind(path) == PARQUET else _without_empty_end(table)


def read_chunks(path: Path, skip: int = 0) -> Iterator[pl.DataFrame]:
    """Read a table in parts that fit into memory, the same each time, after the first `skip`.

    A table without rows is one part. Raises as `read_table` does.
    """
    check_readable(path)
    read = _parquet_chunks if kind(path) == PARQUET else delimited.read_blocks
    for chunk in read(path, skip):
        _check_names(path, chunk.columns)
        yield chunk


def read_rows(
    path: Path, names: Collection[str], target: Path, skip: int = 0
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | pl.Series]]:
    """As `read_chunks`, twice: the columns of `names` at least, and what `target` is to hold.

    From CSV to CSV these are lines, where they can stay as they are.
    """
    if PARQUET not in (kind(path), kind(target)):
        return delimited.read_lines(path, names, skip)
    return ((chunk, chunk) for chunk in read_chunks(path, skip))


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made in a thread of its own while the one before it is used."""
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = beside.submit(next, items, None)
            yield item


def two_at_a_time(work: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """What `work` makes of each item, in their order; no core waits for the end of one of them."""
    with ThreadPoolExecutor(2) as beside:
        coming: deque[Future[Result]] = deque()
        for item in items:
            coming.append(beside.submit(work, item))
            if len(coming) > 2:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def count_chunks(path: Path) -> int:
    """About how many parts there are; 1 for a gzipped file, which does not tell its size."""
    if kind(path) == PARQUET:
        rows, most = _parquet_size(path)
        return max(1, -(-rows // most))
    return 1 if path.suffix == ".gz" else -(-path.stat().st_size // delimited.BLOCK_BYTES)


def check_readable(path: Path) -> None:
    """Raise UserError unless there is a file of a kind that can be read."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise BrokenFile(path, "the file is empty.")
    if kind(path) in SPREADSHEETS:
        raise UserError(f"{path}: a spreadsheet; save the sheet as CSV there, and name that file.")
    if kind(path) not in (PARQUET, *TEXT):
        raise UserError(
            f"{path}: not a .csv, .csv.gz or .parquet file; convert it to one of these."
        )


def kind(path: Path) -> str:
    """What a file is by its name: its ending in lower case, without .gz."""
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return name.suffix.lower()


def check_parquet(path: Path, source: Path) -> None:
    """Raise BrokenFile, which names the `source` of the copy, unless its footer is whole."""
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _incomplete(source, error) from error


def _parquet_chunks(path: Path, skip: int) -> Iterator[pl.DataFrame]:
    rows, most = _parquet_size(path)
    for start in range(skip * most, max(1, rows), most):
        try:
            yield pl.scan_parquet(path, glob=False).slice(start, most).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _incomplete(path, error) from error


def _parquet_size(path: Path) -> tuple[int, int]:
    """The rows of a file, and the most of one chunk."""
    check_parquet(path, path)
    lazy = pl.scan_parquet(path, glob=False)
    rows: int = lazy.select(pl.len()).collect().item()
    return rows, max(1, CHUNK_CELLS // max(1, len(lazy.collect_schema())))


def _incomplete(path: Path, error: Exception) -> BrokenFile:
    return BrokenFile(path, f"not a complete Parquet file ({error}).")


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if re.fullmatch(r"\*|\^.*\$", name):
            raise BrokenFile(path, f"column {name}: Polars takes this for a pattern; rename it.")


def _without_empty_end(frame: pl.DataFrame) -> pl.DataFrame:
    if frame.width == 1:
        return frame
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return frame.head(filled[-1] + 1) if len(filled) else frame.clear()
