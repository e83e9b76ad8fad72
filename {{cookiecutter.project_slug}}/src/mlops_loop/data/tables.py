"""Read tables, Parquet or CSV of any dialect, also those larger than memory."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

from ..files import BrokenFile
from ..project import UserError

PARQUET = ".parquet"
TEXT = (".csv", ".tsv", ".txt", ".data")
SEPARATORS = ",;\t|"
HEAD_BYTES, BLOCK_BYTES, CHUNK_CELLS = 1 << 16, 1 << 23, 1 << 22


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV (plain or gzipped; every column as text) or a Parquet file.

    Empty rows at the end of a CSV, as spreadsheets leave them, are dropped. Raises as
    `read_chunks` does.
    """
    table = pl.concat(read_chunks(path))
    if kind(path) == PARQUET or table.width == 1:
        return table
    filled = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return table.head(filled[-1] + 1 if len(filled) else 0)


def read_chunks(path: Path, skip: int = 0) -> Iterator[pl.DataFrame]:
    """Read a table in chunks that fit into memory, the same each time, after the first `skip`.

    A table without rows is one chunk. Raises UserError when the file is missing or of another
    kind, BrokenFile when it is empty or broken; a broken CSV row is named by its number.
    """
    check_readable(path)
    chunks = _parquet_chunks(path) if kind(path) == PARQUET else _csv_chunks(path)
    try:
        for chunk in islice(chunks, skip, None):
            patterns = [name for name in chunk.columns if re.fullmatch(r"\*|\^.*\$", name)]
            if patterns:
                raise ValueError(f"Polars takes the column {patterns[0]} for a pattern; rename it.")
            yield chunk
    except (pl.exceptions.PolarsError, ValueError, OSError, EOFError) as error:
        problem = str(error).removeprefix("CSV parse error: ")
        raise BrokenFile(path, f"cannot be read: {problem}") from error


def check_readable(path: Path) -> None:
    """Raise UserError unless there is a file of a kind that can be read."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise BrokenFile(path, "the file is empty.")
    if kind(path) not in (PARQUET, *TEXT):
        raise UserError(
            f"{path}: not a .csv, .csv.gz or .parquet file; convert it (of a spreadsheet: save the "
            "sheet as CSV)."
        )


def check_parquet(path: Path, source: Path) -> None:
    """Raise BrokenFile, which names the `source` of the copy, unless its footer is complete."""
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(source, f"not a complete Parquet file ({error}).") from error


def kind(path: Path) -> str:
    """The file extension in lower case, without .gz."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _parquet_chunks(path: Path) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_parquet(path, glob=False)
    rows, width = lazy.select(pl.len()).collect().item(), len(lazy.collect_schema())
    step = max(1, CHUNK_CELLS // max(1, width))
    for start in range(0, max(1, rows), step):
        yield lazy.slice(start, step).collect()


@dataclass
class _Source:
    """A file that counts the quotes that were read from it."""

    file: Any
    quotes: int = 0
    closed: bool = False

    def read(self, size: int) -> bytes:
        block: bytes = self.file.read(size)
        self.quotes += block.count(b'"')
        return block


def _csv_chunks(path: Path) -> Iterator[pl.DataFrame]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        encoding = _encoding(head)
        text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
        # A line that the limit has cut in two would distort the vote on the separator.
        lines = text if len(head) < HEAD_BYTES else text.rpartition("\n")[0]
        mark = separator(lines)
        rows = enumerate(csv.reader(io.StringIO(lines, newline=""), delimiter=mark))
        blank, header = next(((number, row) for number, row in rows if row), (0, []))
        names = unique_names(header)
        if not names:
            raise BrokenFile(path, "the file is empty.")
        recoded = codecs.EncodedFile(file, "utf-8", encoding, errors="replace")
        source = _Source(file if encoding == "utf-8" else recoded)
        # In one thread, because only then a broken row is named by its number.
        read = ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, skip_rows=blank, column_names=names
        )
        # A blank line is a missing value of a single column, and no row of several.
        parse = ParseOptions(
            delimiter=mark, newlines_in_values=True, ignore_empty_lines=len(names) > 1
        )
        convert = ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        for number, batch in enumerate(open_csv(source, read, parse, convert)):
            yield pl.DataFrame(pl.from_arrow(batch))[int(number == 0) :]
        if source.quotes % 2:
            raise BrokenFile(path, "a quote is not closed; double it where it is part of a text.")


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"PK\x03\x04") or b"\x00" in head:
        raise ValueError("not text, whatever its name says; save it as CSV.")
    try:
        head[: head.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return "cp1252"  # of older programs on Windows
    return "utf-8"


def separator(head: str) -> str:
    """The separator that splits most lines into as many fields as the header has, above one."""

    def score(mark: str) -> tuple[float, int]:
        rows = csv.reader(io.StringIO(head, newline=""), delimiter=mark)
        widths = [len(row) for row in rows if row] or [1]
        share = widths.count(widths[0]) / len(widths)
        return (share, widths[0]) if widths[0] > 1 else (0, 0)

    return max(SEPARATORS, key=score)


def unique_names(header: list[str]) -> list[str]:
    """Column names without outer blanks; empty ones get a name, repeated ones a number."""
    names: list[str] = []
    for position, cell in enumerate(header, start=1):
        wanted = name = cell.strip() or f"column_{position}"
        repeat = 2
        while name in names:
            name, repeat = f"{wanted}_{repeat}", repeat + 1
        names.append(name)
    return names
