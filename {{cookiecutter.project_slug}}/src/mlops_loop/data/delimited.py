"""CSV in whatever dialect it was written, some megabytes at a time."""

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl

from ..files import BrokenFile

BLOCK_BYTES, HEAD_BYTES = 1 << 23, 1 << 16
SEPARATORS = ",;\t|"
BLANK = -1
NO_MARK = "\x1e"

# What a line must not hold, or hold as often as the others, for it to be a row as it stands.
MARKS = f'"\r\n{NO_MARK}'


@dataclass(frozen=True)
class Dialect:
    """How a file cuts its lines, and the names of its columns."""

    separator: str
    names: list[str]

    @property
    def header(self) -> str:
        """Their line."""
        return self.separator.join(self.names)


def read_blocks(path: Path, skip: int = 0) -> Iterator[pl.DataFrame]:
    """The table in blocks of whole rows, every column as text, after the first `skip` blocks.

    A blank line is no row, unless there is only one column. Raises BrokenFile, which names a
    broken row by its line.
    """
    for dialect, text, line in _texts(path, skip):
        yield _parsed(path, dialect, text, line)


def read_lines(
    path: Path, names: Collection[str], skip: int = 0
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame | pl.Series]]:
    """As `read_blocks`, twice: the columns of `names`, and the rows to be written with more.

    These are lines as they are, named by the header, where each of them is a row without quotes.
    """
    for dialect, text, line in _texts(path, skip):
        header = f"{dialect.header}\n".encode()
        if dialect.separator == "," and _is_plain(dialect, header) and _is_plain(dialect, text):
            wanted = [name for name in dialect.names if name in names]
            yield _read(dialect, text).select(wanted).collect(), _lines(text, dialect.header)
        else:
            rows = _parsed(path, dialect, text, line)
            yield rows, rows


def extended(lines: pl.Series, added: pl.DataFrame) -> pl.DataFrame:
    """The lines with more fields at their ends; to be written as they are, without quotes."""
    header, text = added.clear().write_csv(), added.write_csv(include_header=False)
    return pl.DataFrame([lines, _lines(text.encode(), header.rstrip())])


def _texts(path: Path, skip: int) -> Iterator[tuple[Dialect, bytes, int]]:
    """Dialect, text and first line of each block after the first `skip`."""
    with _opened(path) as file:
        blocks = _blocks(file)
        dialect, line, first = _without_header(next(blocks, b""))
        if not dialect.names:
            raise BrokenFile(path, "the file is empty.")
        for number, block in enumerate(chain([first], blocks)):
            if number >= skip:
                yield dialect, _utf8(block), line
            line += _count("\n", block)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            if head.startswith((b"\xff\xfe", b"\xfe\xff")):
                yield codecs.EncodedFile(file, "utf-8", "utf-16")
            elif head.startswith((b"PK\x03\x04", b"\x00")) or b"\x00\x00" in head:
                raise BrokenFile(path, "not text, whatever its name says; save it as CSV.")
            else:
                yield file
    except (OSError, EOFError, zlib.error) as error:
        what = "a complete gzip file" if path.suffix == ".gz" else "readable"
        raise BrokenFile(path, f"not {what} ({error}).") from error


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The content in parts that end where a row ends."""
    rest = b""
    while read := file.read(BLOCK_BYTES):
        rest += read + file.readline()
        # Without quotes each line is a row.
        end = _end_of_rows(rest) if b'"' in rest else len(rest)
        if end:
            yield rest[:end]
        rest = rest[end:]
    if rest:
        yield rest


def _end_of_rows(text: bytes) -> int:
    """Where the last whole row ends: the ends of lines within quotes belong to a field.

    Where no row ends there is a stray quote, which any end of a line brings to light.
    """
    last = end = text.rfind(b"\n") + 1
    quotes = _count('"', memoryview(text)[:end])
    while end and quotes % 2:
        start = text.rfind(b"\n", 0, end - 1) + 1
        quotes -= text.count(b'"', start, end)
        end = start
    return end or last


def _utf8(text: bytes) -> bytes:
    """The text as UTF-8: files of older programs are Latin-1, as Windows writes it."""
    try:
        if not text.isascii():
            text.decode()
    except UnicodeDecodeError:
        return text.decode("cp1252", errors="replace").encode()
    return text


def _without_header(block: bytes) -> tuple[Dialect, int, bytes]:
    """The dialect, the line of the first row, and what follows the header."""
    text = _utf8(block).removeprefix(b"\xef\xbb\xbf").decode()
    # A line that the limit has cut in two says nothing about the separator.
    head = text if len(text) <= HEAD_BYTES else text[:HEAD_BYTES].rpartition("\n")[0]
    sep = separator(head)
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, delimiter=sep)
    header = next((row for row in rows if row), [])
    return Dialect(sep, unique_names(header)), rows.line_num + 1, lines.read().encode()


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


def _parsed(path: Path, dialect: Dialect, text: bytes, first: int) -> pl.DataFrame:
    """The rows of a block that begins at line `first`; raises BrokenFile."""
    if not _is_plain(dialect, text):
        text = _checked(path, dialect, text, first)
    try:
        return _read(dialect, text).collect()
    except pl.exceptions.PolarsError as error:
        raise BrokenFile(path, f"not a readable CSV file ({error}).") from error


def _is_plain(dialect: Dialect, text: bytes) -> bool:
    """Whether each line is a row with all its fields, and none of them is quoted."""
    marks = dialect.separator + MARKS
    row = (dialect.separator * (len(dialect.names) - 1) + "\n").encode()
    others = bytes(set(range(256)) - set(marks.encode()))
    kept = text.translate(None, others)
    whole = len(row) > 1 and text.endswith(b"\n")
    return whole and kept == row * (len(kept) // len(row))


def _count(character: str, text: bytes | memoryview) -> int:
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))


def _read(dialect: Dialect, text: bytes, quote: str | None = '"') -> pl.LazyFrame:
    return pl.scan_csv(
        text,
        has_header=False,
        separator=dialect.separator,
        quote_char=quote,
        schema=pl.Schema(dict.fromkeys(dialect.names, pl.String())),
        raise_if_empty=False,
    )


def _lines(text: bytes, name: str) -> pl.Series:
    return _read(Dialect(NO_MARK, [name]), text, quote=None).collect().to_series()


def _checked(path: Path, dialect: Dialect, text: bytes, first: int) -> bytes:
    """The text without blank lines; raises BrokenFile."""
    mark, width = dialect.separator.encode(), len(dialect.names)
    fields = {BLANK if _is_blank(line, mark) else line.count(mark) + 1 for line in io.BytesIO(text)}
    # Without a quoted separator, counting is enough, and ten times as fast as parsing.
    broken = None if fields <= {width, BLANK} else _broken_line(text, dialect, first)
    if broken:
        raise BrokenFile(path, broken)
    return _without_blank_lines(text, mark) if BLANK in fields and width > 1 else text


def _broken_line(text: bytes, dialect: Dialect, first: int) -> str | None:
    """What is wrong with the first line that has another number of fields than the header."""
    line, width = first, len(dialect.names)
    rows = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=dialect.separator)
    try:
        for row in rows:
            line = first + rows.line_num - 1
            if row and len(row) != width:
                return f"line {line} has {len(row)} fields, the header has {width}."
    except csv.Error as error:
        return f"line {line + 1} cannot be read as CSV ({error})."
    return None


def _is_blank(line: bytes, mark: bytes) -> bool:
    return mark not in line and not line.strip()


def _without_blank_lines(text: bytes, mark: bytes) -> bytes:
    """The text without blank lines, except those within a quoted field."""
    kept, quoted = [], False
    for line in io.BytesIO(text):
        if quoted or not _is_blank(line, mark):
            kept.append(line)
        quoted ^= line.count(b'"') % 2 == 1
    return b"".join(kept)
