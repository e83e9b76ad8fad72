"""Read and write files, all or nothing."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .project import UserError

# Between stages speed counts: a third faster to write than zstd, and half as large again.
COMPRESSION: Final = "lz4"
Content = dict[str, Any]  # of a JSON file, by its keys
Figures = Mapping[str, float]  # by their names


class BrokenFile(UserError):
    """A file that exists but whose content cannot be read."""

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


def write_text(path: Path, text: str) -> None:
    """Write a text, all or nothing."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, all or nothing."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def rounded(value: Any) -> Any:
    """Round every float to six digits: more of them are noise in a diff."""
    text = json.dumps(value, default=str)
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.6g}"))


def partitions(folder: Path) -> list[Path]:
    """The Parquet files of a folder in name order."""
    return sorted(folder.glob("*.parquet"))
