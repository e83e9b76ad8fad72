"""`make predict` killed where it touches the disk; fast ways to read that say what slow ones do."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import SOURCE
from mlops_loop.commands import predict
from mlops_loop.data import contract, delimited, tables
from mlops_loop.data.contract import Column
from mlops_loop.data.text import Text
from mlops_loop.files import BrokenFile
from project.models import register
from projects import Project, sales

ROWS = 60
OWNERS, NAMES, SIZES = (delimited, tables), ("BLOCK_BYTES", "CHUNK_CELLS"), (350, 40)
# The process ends itself when it is about to do `deed` to a file with this name.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv.pop(1))
from mlops_loop.commands import predict
from mlops_loop.data import delimited, tables
from mlops_loop.project import Paths

root, deed, name, delimited.BLOCK_BYTES, tables.CHUNK_CELLS = *sys.argv[1:4], *map(int, sys.argv[4:6])
del sys.argv[1:6]

def watch(event, arguments):
    if event == deed and Path(str(arguments[0])).name == name:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
predict.main(Paths(Path(root), Path()), sys.argv[1:])
"""


def killed(project: Project, files: list[str], deed: str, name: str) -> None:
    """Run the command in a process of its own, killed when it is about to do this."""
    arguments = [str(SOURCE / "src"), str(project.root), deed, name, *map(str, SIZES), *files]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, (deed, name, done.stderr)


def results(project: Project, source: Path, target: Path) -> tuple[bytes, bytes]:
    """The output and the list of what was rejected, after the command has run."""
    predict.main(project, [str(source), str(target)])
    assert not list(project.root.glob(".scored*"))
    return target.read_bytes(), predict.rejected(target).read_bytes()


# While it throws parts away, after which it begins anew; while it scores, when a chunk is written
# and not noted, while it ends.
ANYWHERE = {
    "csv": [
        ("os.remove", "scored-000003.json"),
        ("os.rename", ".error-000005.parquet.new"),
        ("os.rename", ".scored-000006.json.new"),
        ("os.rename", "rows.csv"),
    ],
    "parquet": [("os.rename", ".scored.parquet.new")],
}


@pytest.mark.parametrize("ending", ANYWHERE)
def test_killed_it_goes_on_to_the_same_bytes(
    trained: Project, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    register.main(trained)
    source, target = trained.root / f"new.{ending}", trained.root / f"scored.{ending}"
    for owner, name, size in zip(OWNERS, NAMES, SIZES, strict=True):
        monkeypatch.setattr(owner, name, size)
    dirty = pl.when(pl.int_range(ROWS) % 9 == 3).then(-1.0).otherwise("size").alias("size")
    getattr(sales(ROWS).drop("price").with_columns(dirty), f"write_{ending}")(source)
    expected = results(trained, source, target)
    target.unlink()
    for place in ANYWHERE[ending]:
        killed(trained, [str(source), str(target)], *place)
    assert results(trained, source, target) == expected, ANYWHERE[ending]


COLUMNS = [
    Column(name=dtype, dtype=dtype, role="input", nullable=True, description="", **limits)
    for dtype, limits in (("Int64", {"max": 6}), ("Float64", {"min": 0}), ("Datetime", {}))
]
INSTANTS = ["2024-02-29T10:00:00.5", "2024-02-29T23:59:59.000001", "2024-02-30T10:00:00.000000"]
INSTANTS += ["+024-02-29T10:00:00.000000", "2024-02-29T 1:00:00.000000", "2024-02-29"]
INSTANTS += [
    "2024-02-29T10:00:60.000000",
    "2024-02-29T24:00:00.000000",
    "1600-02-29T00:00:00.000000",
]
NUMBERS = ["5", "5.0", "-3", "+7", "0.5", "1e3", ".5", "5.", " 5", "007", "1.00", "-0.0", "1.0e0"]
WORDS = [*NUMBERS, "nan", "inf", "NA", "x", "1,5", "1.234", "9223372036854775808", "1e400", None]
TEXTS = [
    Text(),
    Text(missing=()),
    Text(missing=("5", "x")),
    Text(decimal=","),
    Text(decimal=",", thousands="."),
    Text(thousands=","),
]


@pytest.mark.parametrize("seed", range(20))
def test_plain_values_are_read_as_any_text_is(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    some = random.Random(seed)
    kinds = (NUMBERS, INSTANTS, [*WORDS, *INSTANTS])
    words = some.sample(kinds[seed % 3], some.randint(1, 3))
    values = {column.name: some.choices(words, k=9) for column in COLUMNS}
    frame = pl.DataFrame(values, schema=dict.fromkeys(values, pl.String))
    fast = [contract.judged(frame, COLUMNS, text) for text in TEXTS]
    monkeypatch.setattr(Text, "plain", False)
    slow = [contract.judged(frame, COLUMNS, text) for text in TEXTS]
    for (ours, ours_broken), (theirs, theirs_broken) in zip(fast, slow, strict=True):
        assert ours.equals(theirs) and ours_broken.equals(theirs_broken)


def texts(separator: str) -> Iterator[str]:
    """Tables, most of them broken somewhere."""
    some, pieces = random.Random(0), ["1", separator, "\n", "\r\n", " ", '"', "x", "\n\n"]
    for _ in range(200):
        width = some.randint(1, 3)
        rows = [separator.join(names[:width]) for names in ("abc", *["1xy"] * some.randint(0, 2))]
        yield "\n".join([*rows, "".join(some.choices(pieces, k=some.randint(0, 8)))])


def outcome(read: Callable[[], list[pl.DataFrame]]) -> list[Any] | str:
    """The rows, or what is wrong."""
    try:
        return [block.rows() for block in read()]
    except BrokenFile as error:
        return str(error)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_plain_lines_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    def written() -> list[pl.DataFrame]:
        blocks = []
        for table, rows in delimited.read_lines(path, "abc"):
            added = pl.DataFrame({"z": ['a, "b"'] * table.height}, schema={"z": pl.String})
            if isinstance(rows, pl.Series):
                text = delimited.extended(rows, added).write_csv(quote_style="never")
                rows = pl.read_csv(text.encode(), infer_schema=False)
                assert rows["z"].equals(added["z"])
            blocks.append(rows.drop("z", strict=False))
            assert table.equals(blocks[-1])
        return blocks

    path = tmp_path / "x.csv"
    for text in texts(separator):
        path.write_text(text, newline="")
        fast = outcome(lambda: list(delimited.read_blocks(path))), outcome(written)
        with monkeypatch.context() as patch:
            patch.setattr(delimited, "_is_plain", lambda *_: False)
            slow = outcome(lambda: list(delimited.read_blocks(path)))
        assert fast == (slow, slow), text
