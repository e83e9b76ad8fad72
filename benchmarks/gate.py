"""`git commit` of one changed source file in a trained project, as a whole and by hook."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import median

from .common import Rows, environment, fresh_project, package, publish, run, seconds, workspace

TIMES = 5
HOOK = re.compile(r"- hook id: (\S+)\n- duration: ([\d.]+)s")


def edit(project: Path) -> None:
    """Add a function to one module of the package, and stage it."""
    module = project / "src" / package(project) / "models" / "gate.py"
    content = module.read_text()
    name = f"line_{len(content.splitlines())}"
    module.write_text(f'{content}\n\ndef {name}() -> int:\n    """Another one."""\n    return 1\n')
    run(project, "git", "add", "--all")


def commit(project: Path) -> float:
    """Seconds of a commit through the gate."""
    return seconds(lambda: run(project, "git", "commit", "--quiet", "--message", "A change"))


def by_hook(project: Path) -> dict[str, float]:
    """Seconds of each hook on what is staged, as pre-commit itself measures them."""
    said = run(project, "pre-commit", "run", "--verbose")
    return {name: float(duration) for name, duration in HOOK.findall(said)}


def measure(project: Path, times: int) -> Rows:
    """Medians after one commit that fills the caches of the tools."""
    run(project, "make", "train")
    edit(project)
    commit(project)
    commits, hooks = [], defaultdict(list)
    for _ in range(times):
        edit(project)
        commits.append(commit(project))
        edit(project)
        for name, took in by_hook(project).items():
            hooks[name].append(took)
    rows: Rows = [{"what": "`git commit`", "seconds": median(commits)}]
    slowest = sorted(hooks, key=lambda name: -median(hooks[name]))
    return rows + [{"what": f"- {name}", "seconds": median(hooks[name])} for name in slowest]


def main() -> None:
    """Measure after a small training: the gate does not read data."""
    venv = environment()
    with workspace() as folder:
        rows = measure(fresh_project(folder, venv, ingest__rows_per_month=2_000), TIMES)
    publish(
        "gate",
        rows,
        f"One changed file of `src` in a trained project, median of {TIMES}, tools' caches warm; "
        "the rest of a commit is git and the start of pre-commit. Target: under 3 s.",
    )


if __name__ == "__main__":
    main()
