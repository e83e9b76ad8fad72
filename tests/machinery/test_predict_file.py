"""`make predict` killed where it touches the disk."""

import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from helpers import SOURCE
from mlops_loop.commands import predict
from mlops_loop.data import tables
from project.models import register
from projects import DEFINITIONS, Project, sales

ROWS = 60
NAMES, SIZES = ("BLOCK_BYTES", "CHUNK_CELLS"), (350, 40)
# The process ends itself when it is about to do `deed` to a file with this name.
KILLED = """
import os, signal, sys
from pathlib import Path
import polars as pl
sys.path.insert(0, sys.argv.pop(1))
from mlops_loop.commands import predict
from mlops_loop.data import tables
from mlops_loop.project import Paths

root, deed, name, tables.BLOCK_BYTES, tables.CHUNK_CELLS = *sys.argv[1:4], *map(int, sys.argv[4:6])
del sys.argv[1:6]

def watch(event, arguments):
    if event == deed and Path(str(arguments[0])).name == name:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
predict.main(Paths(Path(root), Path()), pl.col("price").alias("euros"), sys.argv[1:])
"""


def killed(project: Project, files: list[str], deed: str, name: str) -> None:
    """Run the command in a process of its own, killed when it is about to do this."""
    arguments = [str(SOURCE / "src"), str(project.root), deed, name, *map(str, SIZES), *files]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, (deed, name, done.stderr)


def named(source: Path, target: Path) -> list[str]:
    """The arguments that name the input and the output."""
    return [f"--input={source}", f"--output={target}"]


def results(project: Project, source: Path, target: Path) -> tuple[bytes, bytes]:
    """The output and the list of what was rejected, after the command has run."""
    predict.main(project, DEFINITIONS["TARGET"], named(source, target))
    assert not list(project.root.glob(".scored*"))
    return target.read_bytes(), predict.rejected(target).read_bytes()


# While it begins, scores, joins and cleans up; of CSV while it joins.
ANYWHERE = [
    ("os.rename", ".job.json.new"),
    ("os.rename", ".000003.parquet.new"),
    ("os.rename", ".scored.rejected.{ending}.new"),
    ("os.rename", ".scored.{ending}.new"),
    ("os.remove", "000005.parquet"),
]


@pytest.mark.parametrize(("ending", "places"), [("csv", ANYWHERE[3:4]), ("parquet", ANYWHERE)])
def test_killed_it_resumes_to_the_same_bytes(
    trained: Project,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    places: list[tuple[str, str]],
) -> None:
    register.main(trained)
    source, target = trained.root / f"new.{ending}", trained.root / f"scored.{ending}"
    for name, size in zip(NAMES, SIZES, strict=True):
        monkeypatch.setattr(tables, name, size)
    dirty = pl.when(pl.int_range(ROWS) % 9 == 3).then(-1.0).otherwise("size").alias("size")
    getattr(sales(ROWS).drop("price").with_columns(dirty), f"write_{ending}")(source)
    expected = results(trained, source, target)
    target.unlink()
    for deed, name in places:
        killed(trained, named(source, target), deed, name.format(ending=ending))
    assert results(trained, source, target) == expected
