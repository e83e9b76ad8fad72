"""`make train` when nothing has changed, beside plain `dvc repro`."""

from functools import partial
from pathlib import Path

from .common import Rows, environment, fresh_project, median_seconds, publish, run, workspace

TIMES = 5


def measure(project: Path, times: int) -> Rows:
    """Medians of both after a training and one no-op."""
    run(project, "make", "train")
    assert "up to date" in run(project, "make", "train")
    return [
        {
            "command": f"`{' '.join(command)}`",
            "seconds": median_seconds(partial(run, project, *command), times),
        }
        for command in (("make", "train"), ("dvc", "repro"))
    ]


def main() -> None:
    """Measure the default sample."""
    venv = environment()
    with workspace() as folder:
        rows = measure(fresh_project(folder, venv), TIMES)
    publish(
        "noop",
        rows,
        f"Nothing has changed; median of {TIMES}. Target: at most 1.15 times DVC's own time.",
    )


if __name__ == "__main__":
    main()
