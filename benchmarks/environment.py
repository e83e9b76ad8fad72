"""The environment from its hashed locks: uv, as `make setup` uses it, against venv and pip."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .common import Rows, publish, render, run, seconds, workspace

LOCKS = ("--requirement", "requirements/base.txt", "--requirement", "requirements/dev.txt")


def with_uv(project: Path) -> None:
    """The command behind `make setup`; uv compiles bytecode, as pip does."""
    run(project, "make", "setup")


def with_pip(project: Path) -> None:
    """Install the locks with venv and pip, as a user without uv would."""
    run(project, "python3", "-m", "venv", ".venv")
    run(project, ".venv/bin/python", "-m", "pip", "install", "--require-hashes", *LOCKS)
    run(project, ".venv/bin/python", "-m", "pip", "install", "--no-deps", "--editable", ".")


def measure(folder: Path) -> Rows:
    """The second of two runs of each, so that what it downloads is in its cache."""
    project = render(folder)
    walls = {}
    ways: dict[str, Callable[[Path], None]] = {"uv": with_uv, "venv and pip": with_pip}
    for name, way in ways.items():
        for _ in range(2):
            shutil.rmtree(project / ".venv", ignore_errors=True)
            walls[name] = seconds(partial(way, project))
    return [
        {"installed with": name, "seconds": wall, "times as long as uv": wall / walls["uv"]}
        for name, wall in walls.items()
    ]


def main() -> None:
    """Measure."""
    with workspace() as folder:
        rows = measure(folder)
    publish(
        "environment",
        rows,
        "From nothing to a compiled `.venv` of the hashed locks, one run each after one that "
        "filled its cache.",
    )


if __name__ == "__main__":
    main()
