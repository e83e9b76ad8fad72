"""Reading tables and JSON, and writing so that a reader never sees half a result."""

import csv
import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import polars as pl

from .errors import UserError

# Between stages speed counts: a third faster to write than zstd, and half as large again.
COMPRESSION: Final = "lz4"


class BrokenFile(UserError):
    """A file is there but its content cannot be read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.file, self.problem = path.name, problem


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it takes the target's place only on success."""
    temporary = target.with_name(f".{target.name}.new")
    discard(temporary)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if target.is_dir():
            discard(target)
        temporary.replace(target)
    finally:
        discard(temporary)


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, all or nothing."""
    with replaced(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file written by an earlier stage."""
    return json.loads(path.read_text(encoding="utf-8"))


def partitions(folder: Path) -> list[Path]:
    """The Parquet files of a folder in name order."""
    return sorted(folder.glob("*.parquet"))


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV (plain or gzipped; every column as text) or a Parquet file.

    Raises UserError when the file is missing or of another kind, BrokenFile when it is empty or
    broken; a broken CSV row is named by its line.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise BrokenFile(path, "the file is empty.")
    if path.suffix == ".parquet":
        return _read_parquet(path)
    if path.name.endswith((".csv", ".csv.gz")):
        return _read_csv(path)
    raise UserError(f"{path}: not a .csv, .csv.gz or .parquet file; convert it to one of these.")


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(path, f"not a complete Parquet file ({error}).") from error


def _read_csv(path: Path) -> pl.DataFrame:
    broken = _broken_csv_line(path)
    if broken:
        raise BrokenFile(path, broken)
    try:
        return pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BrokenFile(path, f"not a readable CSV file ({error}).") from error


def _broken_csv_line(path: Path) -> str | None:
    opener = gzip.open if path.suffix == ".gz" else open
    line = 0
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            width = len(next(rows, []))
            for row in rows:
                line = rows.line_num
                if row and len(row) != width:
                    return f"line {line} has {len(row)} fields, the header has {width}."
    except (csv.Error, UnicodeDecodeError, EOFError, OSError) as error:
        return f"line {line + 1} cannot be read as UTF-8 CSV ({error})."
    return None
