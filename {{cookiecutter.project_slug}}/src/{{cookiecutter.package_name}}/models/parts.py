"""What a batch has scored so far: files beside its output, for an interrupted run to go on."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from .. import delimited
from ..files import COMPRESSION, discard, read_json, replaced, write_json


class Parts:
    """The scored chunks of one output; they count only for the same `job`, as JSON.

    `done` is the number of chunks.
    """

    def __init__(self, target: Path, job: dict[str, Any]) -> None:
        self.target, self.job = target, job
        self.folder = target.with_name(f".{target.name}.parts")
        self._note = self.folder / "job.json"
        if not self._note.exists() or read_json(self._note) != job:
            self.discard()
        self.done = len(list(self.folder.glob(f"scored-*{target.suffix}")))

    def rows(self) -> int:
        """The number of their rows."""
        return int(self.errors().select(pl.len()).collect().item()) if self.done else 0

    def add(
        self, rows: pl.DataFrame | pl.Series, added: pl.DataFrame, broken: pl.DataFrame
    ) -> None:
        """Keep one more chunk with what is added to it, and the rules that its rows break."""
        if not self.done:
            write_json(self._note, self.job)
        # The scored rows come last: with them the chunk is done.
        for name, frame in (("broken", broken), ("error", added.select("error"))):
            with replaced(self._file(name, self.done)) as temporary:
                frame.write_parquet(temporary, compression=COMPRESSION)
        with replaced(self._file("scored", self.done, self.target.suffix)) as temporary:
            self._write(rows, added, temporary)
        self.done += 1

    def _write(self, rows: pl.DataFrame | pl.Series, added: pl.DataFrame, path: Path) -> None:
        if isinstance(rows, pl.Series):
            lines = delimited.extended(rows, added)
            lines.write_csv(path, quote_style="never", include_header=not self.done)
        elif self.target.suffix == ".csv":
            rows.hstack(added).write_csv(path, include_header=not self.done)
        else:
            rows.hstack(added).write_parquet(path, compression=COMPRESSION)

    def errors(self) -> pl.LazyFrame:
        """The column `error` of all rows, in their order."""
        return self._scan("error")

    def broken(self) -> pl.LazyFrame:
        """All broken rules, row by row."""
        return self._scan("broken")

    def join(self) -> None:
        """Write the output, all or nothing."""
        with replaced(self.target) as temporary:
            if self.target.suffix == ".parquet":
                self._scan("scored").sink_parquet(temporary, compression=COMPRESSION)
                return
            with temporary.open("wb") as whole:
                for number in range(self.done):
                    with self._file("scored", number, ".csv").open("rb") as part:
                        shutil.copyfileobj(part, whole)

    def discard(self) -> None:
        """Forget all chunks; the note goes first, so that what a kill leaves does not count."""
        discard(self._note)
        discard(self.folder)

    def _scan(self, name: str) -> pl.LazyFrame:
        return pl.scan_parquet([self._file(name, n) for n in range(self.done)], glob=False)

    def _file(self, name: str, number: int, suffix: str = ".parquet") -> Path:
        return self.folder / f"{name}-{number:06}{suffix}"
