"""`make predict` killed where it touches the disk; fast ways to read that say what slow ones do."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from helpers import SOURCE
from mlops_loop.commands import predict
from mlops_loop.data import contract, delimited, tables
from mlops_loop.data.contract import Column
from mlops_loop.data.text import Text
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


# While it begins, scores, joins and cleans up.
ANYWHERE = [
    ("os.rename", ".job.json.new"),
    ("os.rename", ".000003.parquet.new"),
    ("os.rename", ".scored.rejected.{ending}.new"),
    ("os.rename", ".scored.{ending}.new"),
    ("os.remove", "000005.parquet"),
]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_killed_it_resumes_to_the_same_bytes(
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
    for deed, name in ANYWHERE:
        killed(trained, [str(source), str(target)], deed, name.format(ending=ending))
    assert results(trained, source, target) == expected


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
