"""What a batch has scored so far: files beside its output, for an interrupted run to go on."""

import os
from pathlib import Path
from typing import Any

import polars as pl

from ..data import delimited
from ..files import COMPRESSION, discard, read_json, replaced, write_json


class Parts:
    """The scored chunks of one output; they count only for the same `job`, as JSON.

    `done` is their number. A chunk is a file of Parquet, or a piece at the end of one CSV that
    grows, whose size is noted after it.
    """

    def __init__(self, target: Path, job: dict[str, Any]) -> None:
        self.target, self.job = target, job
        self.folder = target.with_name(f".{target.name}.parts")
        self._note, self._grown = self.folder / "job.json", self.folder / "rows.csv"
        self._grows = target.suffix == ".csv"
        self._mark = ".json" if self._grows else target.suffix
        if not self._note.exists() or read_json(self._note) != job:
            self.discard()
        self.done = len(list(self.folder.glob(f"scored-*{self._mark}")))
        if self._grows and self._note.exists():
            self._cut()

    def _cut(self) -> None:
        # A kill may have left a piece that is not noted; a loss of power, less than is noted.
        size = read_json(self._file("scored", self.done - 1, self._mark)) if self.done else 0
        if self._grown.exists() and self._grown.stat().st_size >= size:
            os.truncate(self._grown, size)
        else:
            self.discard()
            self.done = 0

    def rows(self) -> int:
        """The number of their rows."""
        return int(self.errors().select(pl.len()).collect().item()) if self.done else 0

    def add(self, rows: pl.DataFrame | pl.Series, added: pl.DataFrame) -> None:
        """Keep one more chunk with what is added to it."""
        if not self.done:
            write_json(self._note, self.job)
        with replaced(self._file("error", self.done)) as temporary:
            added.select("error").write_parquet(temporary, compression=COMPRESSION)
        # The scored rows come last: with them the chunk is done.
        scored = self._file("scored", self.done, self._mark)
        if self._grows or isinstance(rows, pl.Series):
            write_json(scored, self._grow(rows, added))
        else:
            with replaced(scored) as temporary:
                rows.hstack(added).write_parquet(temporary, compression=COMPRESSION)
        self.done += 1

    def _grow(self, rows: pl.DataFrame | pl.Series, added: pl.DataFrame) -> int:
        """Write a chunk to the end of the CSV; return the size of the whole."""
        with self._grown.open("ab") as file:
            if isinstance(rows, pl.Series):
                lines = delimited.extended(rows, added)
                lines.write_csv(file, quote_style="never", include_header=not self.done)
            else:
                rows.hstack(added).write_csv(file, include_header=not self.done)
        return self._grown.stat().st_size

    def errors(self) -> pl.LazyFrame:
        """The column `error` of all rows, in their order."""
        return self._scan("error")

    def scored(self) -> pl.LazyFrame:
        """All rows with what was added to them; those of a CSV as text."""
        if self._grows:
            return pl.scan_csv(self._grown, infer_schema=False)
        return self._scan("scored")

    def join(self) -> None:
        """Write the output, all or nothing."""
        with replaced(self.target) as temporary:
            if self._grows:
                self._grown.replace(temporary)
            else:
                self.scored().sink_parquet(temporary, compression=COMPRESSION)

    def discard(self) -> None:
        """Forget all chunks; the note goes first, so that what a kill leaves does not count."""
        discard(self._note)
        discard(self.folder)

    def _scan(self, name: str) -> pl.LazyFrame:
        return pl.scan_parquet([self._file(name, n) for n in range(self.done)], glob=False)

    def _file(self, name: str, number: int, suffix: str = ".parquet") -> Path:
        return self.folder / f"{name}-{number:06}{suffix}"
