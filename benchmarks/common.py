"""Projects to measure, clocks, and where results go."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from cookiecutter.main import cookiecutter
from ruamel.yaml import YAML

TEMPLATE = Path(__file__).resolve().parent.parent
BUILD = TEMPLATE / "build" / "bench"
RESULTS = Path(__file__).resolve().parent / "results"
PAGES = (Path(__file__).resolve().parent / "README.md",)
MIB = 1 << 20

Rows = list[dict[str, Any]]

# Somebody whom git knows, in a shell that neither forbids bytecode nor hands on the options of make,
# MLflow and DVC.
USER = {
    **{f"GIT_{who}_NAME": "Benchmark" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "benchmark@example.org" for who in ("AUTHOR", "COMMITTER")},
}
FOREIGN = ("MAKE", "MFLAGS", "MLFLOW_", "DVC_", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")


def user_environment(project: Path) -> dict[str, str]:
    """The environment variables of a command in a project, with `python` that of the project."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    path = f"{project / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **USER, "PATH": path, "PYTHONPATH": str(project / "src")}


def run(project: Path, *command: str | Path) -> str:
    """Run a command in a project and return what it says; its failure ends the benchmark."""
    done = subprocess.run(
        command,
        cwd=project,
        env=user_environment(project),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def seconds(call: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def median_seconds(call: Callable[[], object], times: int) -> float:
    """Median wall time of a call."""
    return median(seconds(call) for _ in range(times))


def wall_and_peak(project: Path, *command: str | Path) -> tuple[float, float]:
    """Wall time in seconds and peak resident memory in MiB of one process."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=project, env=user_environment(project)) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return time.perf_counter() - start, usage.ru_maxrss * unit / MIB


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary folder on the disk that also holds the environment."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILD) as folder:
        yield Path(folder)


def render(folder: Path, template: Path = TEMPLATE, level: str = "training") -> Path:
    """The default project of a level, without environment."""
    os.environ.update(USER)
    with silence():
        project = cookiecutter(
            str(template),
            no_input=True,
            default_config=True,
            overwrite_if_exists=True,
            extra_context={"setup": "no", "level": level},
            output_dir=str(folder),
        )
    return Path(project)


@contextmanager
def silence() -> Iterator[None]:
    """Keep what child processes print from the terminal."""
    saved = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def environment(level: str = "training") -> Path:
    """The .venv of a project that stays in build/; it follows the locks as any project's does."""
    project = render(BUILD / f"environment-{level}", level=level)
    run(project, "make", "setup")
    return project / ".venv"


def fresh_project(folder: Path, venv: Path, level: str = "training", **params: Any) -> Path:
    """A project that is set up, on an environment that is ready."""
    project = render(folder, level=level)
    (project / ".venv").symlink_to(venv)
    run(project, "make", "setup")
    if params:
        set_params(project, **params)
    return project


def set_params(project: Path, **params: Any) -> None:
    """Change params.yaml: `train__model="linear"` is train.model."""
    yaml, path = YAML(), project / "params.yaml"
    content = yaml.load(path)
    for key, value in params.items():
        section, name = key.split("__")
        content[section][name] = value
    yaml.dump(content, path)


def package(project: Path) -> str:
    """The name of a project's own package."""
    names = (path.parent.name for path in (project / "src").glob("*/__init__.py"))
    return next(name for name in names if name != "mlops_loop")


def machine() -> str:
    """The machine and the time of a measurement."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    )


def table(rows: Rows) -> str:
    """Rows as a Markdown table: columns from the first row, floats with two decimals."""
    texts = [list(rows[0]), ["---"] * len(rows[0])]
    texts += [[_text(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in texts)


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def publish(name: str, rows: Rows, note: str) -> None:
    """Print a result, keep it as results/<name>.json, and put it into the pages that ask for it."""
    shown = f"{table(rows)}\n\n{note} Measured: {machine()}."
    print(f"\n{shown}")
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": machine(), "note": note, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for page in PAGES:
        fill(page, name, shown)


def fill(page: Path, name: str, text: str) -> None:
    """Replace what stands between the markers of `name`, if the page has them."""
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    new = block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", old)
    page.write_text(new, encoding="utf-8")
