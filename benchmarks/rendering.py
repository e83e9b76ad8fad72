"""Rendering with the template's hooks, against the same template with empty ones."""

import shutil
from functools import partial
from pathlib import Path
from statistics import median

from .common import TEMPLATE, Rows, publish, render, seconds, workspace

HOOKS = ("pre_gen_project.py", "post_gen_project.py")
VARIANTS = {
    "empty hooks": HOOKS,
    "only the check of answers": HOOKS[1:],
    "only what comes after (KEEP, git, first commit)": HOOKS[:1],
    "both hooks, without set-up of the environment": (),
}
TIMES = 9


def variant(folder: Path, emptied: tuple[str, ...]) -> Path:
    """The template with some of its hooks emptied."""
    template = folder / "template"
    for name in ("hooks", "{{cookiecutter.project_slug}}"):
        shutil.copytree(TEMPLATE / name, template / name)
    shutil.copy(TEMPLATE / "cookiecutter.json", template)
    for name in emptied:
        (template / "hooks" / name).write_text("")
    return template


def measure(folder: Path, times: int) -> Rows:
    """Median of interleaved renders of each variant."""
    templates = {name: variant(folder / name, emptied) for name, emptied in VARIANTS.items()}
    walls: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(times):
        for name, template in templates.items():
            target = folder / name / str(turn)
            walls[name].append(seconds(partial(render, target, template)))
    medians = {name: median(of) for name, of in walls.items()}
    empty = medians["empty hooks"]
    return [
        {"render with": name, "seconds": of, "times empty hooks": of / empty}
        for name, of in medians.items()
    ]


def main() -> None:
    """Measure."""
    with workspace() as folder:
        rows = measure(folder, TIMES)
    publish(
        "rendering",
        rows,
        f"cookiecutter's API, `setup=no`, median of {TIMES} interleaved renders. "
        "Target: at most 1.3 times the render with empty hooks.",
    )


if __name__ == "__main__":
    main()
