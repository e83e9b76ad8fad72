"""Read tables, Parquet or CSV of any dialect, also those larger than memory."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from statistics import mode
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

from ..files import BrokenFile
from ..project import UserError

PARQUET = ".parquet"
TEXT = (".csv", ".tsv", ".txt", ".data")
SEPARATORS = ",;\t|"
QUOTED = r"(?m)(?:^|[,;\t|])'[^'\r\n]*'(?=[,;\t|\r\n]|$)"
# Non-ASCII letters of Western Europe stand in ones, twos and threes between others.
WESTERN = r"(?<![^\x00-\x7f])[À-ÖØ-öø-ÿŠšŽžŒœŸ€£§©®°±²³µº«»\u2013-\u2026\xa0]{1,3}(?![^\x00-\x7f])"
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
        if "Expected " in problem:
            problem += "; delete it if it is a note, and quote a text that holds the separator."
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
        encoding = _encoding(head, file)
        file.seek(0)
        text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
        if len(head) == HEAD_BYTES:  # a line that the limit has cut would distort the dialect
            text = text[: max(text.rfind("\n"), text.rfind("\r"))]
        mark, quote, skip, names = find_dialect(text)
        recoded = codecs.EncodedFile(file, "utf-8", encoding, errors="replace")
        source = _Source(file if encoding == "utf-8" else recoded)
        # In one thread, because only then a broken row is named by its number.
        read = ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, skip_rows=skip, column_names=names
        )
        # A blank line is a missing value of a single column, and no row of several.
        parse = ParseOptions(
            delimiter=mark,
            quote_char=quote,
            newlines_in_values=True,
            ignore_empty_lines=len(names) > 1,
        )
        convert = ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        for number, batch in enumerate(open_csv(source, read, parse, convert)):
            yield pl.DataFrame(pl.from_arrow(batch))[int(number == 0) :]
        if quote == '"' and source.quotes % 2:
            raise BrokenFile(path, "a quote is not closed; double it where it is part of a text.")


def _encoding(head: bytes, file: Any) -> str:
    """Find the encoding of a file by all of it, read from behind its head."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"PK\x03\x04") or b"\x00" in head:
        raise ValueError("not text, whatever its name says; save it as CSV.")
    decoder, block, plain = codecs.getincrementaldecoder("utf-8")(), head, True
    try:
        while block:
            plain &= decoder.decode(block).isascii()
            block = file.read(BLOCK_BYTES)
    except UnicodeDecodeError as error:
        if not (plain and error.object[: error.start].isascii()):
            raise ValueError(
                "some bytes are not UTF-8, as its other letters are; repair it: iconv -c -t utf-8."
            ) from None
        text = block.decode("cp1252", errors="replace")  # of older programs on Windows
        if 2 * len("".join(re.findall(WESTERN, text))) < len(re.findall(r"[^\x00-\x7f]", text)):
            raise ValueError(
                "its text is neither UTF-8 nor of Western Europe; convert it from its code page, "
                "e.g. `iconv -f cp949 -t utf-8` (Korean; cp932 Japanese, gb18030 Chinese, cp1251 "
                "Cyrillic, cp1250 Polish and Czech)."
            ) from None
        return "cp1252"
    return "utf-8"


def find_dialect(text: str) -> tuple[str, str, int, list[str]]:
    """Find the separator, the quote, the number of lines before the header, and the column names.

    The header is the first row that is as wide as most. Raises ValueError where it holds values,
    and for columns between blanks.
    """
    lines = text.splitlines()
    quote = "'" if '"' not in text and 2 * len(re.findall(QUOTED, text)) > len(lines) else '"'
    given = re.match(r"sep=(.)[\r\n]", text)
    mark = given[1] if given else separator(text, quote)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, quotechar=quote))
    if given:
        rows[0] = []
    filled = [row for row in rows if row]
    if not filled:
        raise ValueError("the file is empty.")
    width = mode(map(len, filled))
    words = {len(line.split()) for line in lines if line.strip()}
    if width == 1 and len(words) == 1 and words != {1} and len(lines) > 2:
        raise ValueError("blanks separate its columns; write it with commas or tabs.")
    whole = (row for row in filled if len(row) == width and 2 * sum(map(bool, row)) >= width)
    header = next(whole, filled[0])
    skip = rows.index(header)
    # After other lines, whole numbers are no names either, unless they are years.
    after = any(rows[:skip])
    number = r" *(?!(1[5-9]|20)\d\d$)[+-]?\d+[.,]?\d*" if after else r" *[+-]?\d+[.,]\d+"
    columns = zip_longest(*rows[skip:], fillvalue="")
    values = [
        name for name, *below in columns if re.fullmatch(number, name) or (name and name in below)
    ]
    if 2 * len(values) > sum(map(bool, header)) - after:
        raise ValueError(
            f"line {skip + 1} holds values ({', '.join(values[:3])}) in the place of column names; "
            "put a line of names there."
        )
    return mark, quote, skip, unique_names(header)


def separator(text: str, quote: str) -> str:
    """The separator that splits most lines into as many fields as others, above one."""

    def score(mark: str) -> tuple[float, int]:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark, quotechar=quote)
        widths = [len(row) for row in rows if row] or [1]
        width = mode(widths)
        return (widths.count(width) / len(widths), width) if width > 1 else (0, 0)

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
