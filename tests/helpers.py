"""Render projects and run commands in them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent
SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}"
BIN = Path(sys.executable).parent
Factory = Callable[..., Path]
QUESTIONS = {
    question: default
    for question, default in json.loads((TEMPLATE / "cookiecutter.json").read_text()).items()
    if not question.startswith("_")
}
CHOICES = {
    question: default for question, default in QUESTIONS.items() if isinstance(default, list)
}


@dataclass(frozen=True)
class Newborn:
    """The project that was born as a user's is, and what was said at its birth."""

    project: Path
    output: str


def render(folder: Path, template: Path = TEMPLATE, **answers: str) -> Path:
    """A project as cookiecutter leaves it; without environment unless setup="yes"."""
    answers = {"setup": "no", **answers}
    rendered = cookiecutter(
        str(template), no_input=True, extra_context=answers, output_dir=str(folder)
    )
    return Path(rendered)


def shell() -> dict[str, str]:
    """The environment variables of a user's shell: nothing of make, nor of libraries in the tests."""
    ours = (
        "MAKE",
        "MFLAGS",
        "PYTHONDONTWRITEBYTECODE",
        "MLFLOW_",
        "DVC_",
        "GOMP_",
        "OMP_",
        "MPLBACKEND",
    )
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


def run(
    folder: Path, *command: str | Path, succeeds: bool | None = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with its output in one text; `succeeds=None` takes either end."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        check=False,
        env={**shell(), "PYTHONPATH": str(folder / "src"), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if succeeds is not None:
        assert (done.returncode == 0) == succeeds, done.stdout
    return done


def git(folder: Path, *arguments: str) -> str:
    """Run git; returns its output."""
    return run(folder, "git", *arguments).stdout.strip()


def files(project: Path) -> list[Path]:
    """The files of a project, without repository, environment and DVC's own, relative to it.

    Without .cruft.json too: it is written where the template has a commit, and names that.
    """
    found = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    left_out = (".git/", ".venv/", ".dvc/tmp/", ".dvc/cache/", ".cruft.json")
    return sorted(path for path in found if not path.as_posix().startswith(left_out))


def package(project: Path) -> Path:
    """The folder of a project's own package."""
    found = (path.parent for path in (project / "src").glob("*/__init__.py"))
    return next(folder for folder in found if folder.name != "mlops_loop")


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of every fenced block of Markdown."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def check_tree(readme: Path, project: Path) -> None:
    """Assert that a project has everything in the tree of a README."""
    tree = next(code for language, code in blocks(readme.read_text()) if not language)
    parent = project
    for line in tree.splitlines():
        names = re.sub(r"^[│├└─\s]+", "", line).split("  ")[0].removeprefix("my-project/")
        is_inner = line.startswith("│ ")
        for name in names.split(", "):
            assert ((parent if is_inner else project) / name).exists(), f"{readme}: {name}"
        parent = parent if is_inner else project / names
