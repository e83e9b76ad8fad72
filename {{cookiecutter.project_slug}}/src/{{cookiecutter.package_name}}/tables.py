"""Reading tables as people keep them: Parquet, and CSV in whatever dialect it was written."""

import csv
import gzip
import io
import re
from collections import Counter
from pathlib import Path

import polars as pl

from .errors import UserError
from .files import BrokenFile

PARQUET = ".parquet"
TEXT = (".csv", ".tsv", ".txt", ".data")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
SEPARATORS = ",;\t|"
HEAD_BYTES = 1 << 16


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV (plain or gzipped; every column as text) or a Parquet file.

    Raises UserError when the file is missing or of another kind, BrokenFile when it is empty or
    broken; a broken CSV row is named by its line.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise BrokenFile(path, "the file is empty.")
    if kind(path) in (PARQUET, *TEXT):
        frame = _read_parquet(path) if kind(path) == PARQUET else _read_csv(path)
        _check_names(path, frame.columns)
        return frame
    if kind(path) in SPREADSHEETS:
        raise UserError(f"{path}: a spreadsheet; save the sheet as CSV there, and name that file.")
    raise UserError(f"{path}: not a .csv, .csv.gz or .parquet file; convert it to one of these.")


def kind(path: Path) -> str:
    """What a file is by its name: its ending in lower case, without .gz."""
    name = path.with_suffix("") if path.suffix == ".gz" else path
    return name.suffix.lower()


def separator(head: str) -> str:
    """The separator that cuts most lines into as many fields as the header has, more than one."""
    scores = {}
    for candidate in SEPARATORS:
        widths = [len(row) for row in csv.reader(head.splitlines(), delimiter=candidate) if row]
        share = Counter(widths)[widths[0]] / len(widths) if widths and widths[0] > 1 else 0.0
        scores[candidate] = (share, widths[0] if widths else 0)
    best = max(scores, key=lambda candidate: scores[candidate])
    return best if scores[best][0] else SEPARATORS[0]


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


def check_parquet(path: Path, source: Path) -> None:
    """Raise BrokenFile, which names the `source` of the copy, unless its footer is whole."""
    try:
        pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(source, f"not a complete Parquet file ({error}).") from error


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if re.fullmatch(r"\*|\^.*\$", name):
            raise BrokenFile(path, f"column {name}: Polars takes this for a pattern; rename it.")


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(path, f"not a complete Parquet file ({error}).") from error


def _read_csv(path: Path) -> pl.DataFrame:
    text = _utf8(path)
    head = text[:HEAD_BYTES].decode(errors="ignore")
    # A line that the limit has cut in two says nothing about the separator.
    sep = separator(head if len(text) <= HEAD_BYTES else head.rpartition("\n")[0])
    broken = _broken_line(text, sep)
    if broken:
        raise BrokenFile(path, broken)
    header = next(csv.reader(io.StringIO(head, newline=""), delimiter=sep))
    try:
        frame = pl.read_csv(
            text, separator=sep, infer_schema=False, new_columns=unique_names(header)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(path, f"not a readable CSV file ({error}).") from error
    return _without_blank_lines(frame)


def _without_blank_lines(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width > 1 else frame


def _utf8(path: Path) -> bytes:
    """The content as UTF-8: files of older programs are Latin-1, as Windows writes it."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise BrokenFile(path, f"not a complete gzip file ({error}).") from error
    if content.startswith((b"PK\x03\x04", b"\x00")) or b"\x00\x00" in content[:HEAD_BYTES]:
        raise BrokenFile(path, "not text, whatever its name says; save it as CSV.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16").encode()
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def _broken_line(text: bytes, sep: str) -> str | None:
    """What is wrong with the first line that has another number of fields than the header."""
    mark = sep.encode()
    # Without a quoted separator, counting is enough, and ten times as fast as parsing.
    if len({line.count(mark) for line in io.BytesIO(text) if line.strip()}) <= 1:
        return None
    line, rows = 0, csv.reader(io.StringIO(text.decode(), newline=""), delimiter=sep)
    try:
        width = len(next(rows, []))
        for row in rows:
            line = rows.line_num
            if row and len(row) != width:
                return f"line {line} has {len(row)} fields, the header has {width}."
    except csv.Error as error:
        return f"line {line + 1} cannot be read as CSV ({error})."
    return None
