"""Rendering with the template's hooks, against the same template with empty ones."""

import shutil
from functools import partial
from pathlib import Path
from statistics import median

from .common import TEMPLATE, Rows, publish, render, run, seconds, workspace

HOOKS = ("pre_gen_project.py", "post_gen_project.py")
EMPTY, BY_HAND = "empty hooks", "empty hooks, then `git init`, `add` and `commit` by hand"
VARIANTS = {
    EMPTY: HOOKS,
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


def render_and_commit(folder: Path, template: Path) -> None:
    """A render, and what a user would then type."""
    project = render(folder, template)
    run(project, "git", "init", "--quiet")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", "Start")


def measure(folder: Path, times: int) -> Rows:
    """Medians of interleaved renders: each variant, and empty hooks with git by hand."""
    ways = {name: (render, variant(folder / name, emptied)) for name, emptied in VARIANTS.items()}
    ways[BY_HAND] = (render_and_commit, ways[EMPTY][1])
    walls: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(times):
        for name, (way, template) in ways.items():
            walls[name].append(seconds(partial(way, folder / name / str(turn), template)))
    medians = {name: median(of) for name, of in walls.items()}
    return [
        {"render with": name, "seconds": of, "times empty hooks": of / medians[EMPTY]}
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
