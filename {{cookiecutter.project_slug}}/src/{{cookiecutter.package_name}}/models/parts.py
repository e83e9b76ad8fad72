"""What a batch has scored so far: files beside its output, for an interrupted run to go on."""

from pathlib import Path
from typing import Any

import polars as pl

from ..files import COMPRESSION, discard, read_json, replaced, write_json


class Parts:
    """The scored chunks of one output; they count only for the same `job`, as JSON."""

    def __init__(self, target: Path, job: dict[str, Any]) -> None:
        self.folder, self.job = target.with_name(f".{target.name}.parts"), job
        self._note = self.folder / "job.json"
        if not self._note.exists() or read_json(self._note) != job:
            discard(self.folder)

    @property
    def done(self) -> int:
        """The number of chunks."""
        return len(self._files("scored"))

    def rows(self) -> int:
        """The number of their rows."""
        return int(self.scored().select(pl.len()).collect().item()) if self.done else 0

    def add(self, scored: pl.DataFrame, broken: pl.DataFrame) -> None:
        """Keep one more chunk, and the rules that its rows break."""
        write_json(self._note, self.job)
        # The scored rows come last: with them the chunk is done.
        for name, frame in (("broken", broken), ("scored", scored)):
            with replaced(self.folder / f"{name}-{self.done:06}.parquet") as temporary:
                frame.write_parquet(temporary, compression=COMPRESSION)

    def scored(self) -> pl.LazyFrame:
        """All rows, in their order."""
        return pl.scan_parquet(self._files("scored"), glob=False)

    def broken(self) -> pl.LazyFrame:
        """All broken rules, row by row."""
        return pl.scan_parquet(self._files("broken"), glob=False)

    def _files(self, name: str) -> list[Path]:
        return sorted(self.folder.glob(f"{name}-*.parquet"))
