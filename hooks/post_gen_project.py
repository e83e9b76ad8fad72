"""Keep what the answers chose, then set the project up. Never fails: the project is worth more."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

COOKIECUTTER = dict({{cookiecutter.items() | rejectattr(1, "mapping") | list}})
ROOT = Path.cwd()

# Each answer owns whole files or folders; those of the other answers go. A level also keeps what
# the levels before it own.
KEEP = {
    "level": {
        "training": [],
        "deployment": [
            ".dockerignore",
            ".github/workflows/cd.yml",
            ".gitlab-cd.yml",
            "deploy",
            "make/serving.mk",
            "requirements/app.txt",
            "requirements/export.txt",
            "requirements/serving.txt",
            "src/mlops_loop/serving",
            "src/{package_name}/serving",
            "tests/test_service.py",
        ],
    },
    "license": {
        "MIT": ["LICENSE-MIT"],
        "Apache-2.0": ["LICENSE-Apache-2.0"],
        "BSD-3-Clause": ["LICENSE-BSD-3-Clause"],
        "Proprietary": ["LICENSE-Proprietary"],
    },
    "ci": {
        "github": [".github"],
        "gitlab": [".gitlab-cd.yml", ".gitlab-ci.yml"],
    },
}


def remove(path: Path) -> None:
    """Remove a file or a folder that must be there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def keep_chosen() -> None:
    """Remove every path of KEEP that the answers did not choose."""
    gone: dict[str, None] = {}  # in their order: a file that two answers own goes once
    for question, owned in KEEP.items():
        answers = list(owned)
        chosen = answers.index(COOKIECUTTER[question])
        kept = answers[: chosen + 1] if question == "level" else [answers[chosen]]
        gone |= dict.fromkeys(p for answer in answers if answer not in kept for p in owned[answer])
    for path in gone:
        remove(ROOT / path.format(**COOKIECUTTER))
    for pattern in ("__pycache__", ".*_cache"):  # of tools that ran in the template folder
        for path in list(ROOT.rglob(pattern)):
            shutil.rmtree(path, ignore_errors=True)
    (ROOT / f"LICENSE-{COOKIECUTTER['license']}").rename(ROOT / "LICENSE")


def is_comparison() -> bool:
    """Whether `cruft update`, `check` or `diff` renders this only to compare it.

    cruft renders those into a fresh temporary folder, and unlike cookiecutter names no output
    folder; `cruft create` looks the same in a temporary folder, but its parent says "create".
    """
    if "_output_dir" in COOKIECUTTER:
        return False
    import tempfile  # late: most renders do without

    temporary = Path(tempfile.gettempdir()).resolve()
    if ROOT.parent.parent != temporary or not ROOT.parent.name.startswith("tmp"):
        return False
    return " create " not in parent_command()


def parent_command() -> str:
    """The command line of the program that renders; empty where it cannot be told."""
    try:
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(os.getppid())],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return ""
    return listed.stdout


def set_up() -> None:
    """Leave a project as complete as this machine allows, and say what is left."""
    if COOKIECUTTER["setup"] == "yes" and shutil.which("make"):
        subprocess.run(["make", "--no-print-directory", "setup"], check=False)
        return
    with suppress(Exception):
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(ROOT / "make"))
        import setup

        setup.main("repository")
    advice = "run" if shutil.which("make") else "install make and run"
    print(f"Left to do: environment, DVC and commit hooks; {advice} `make setup` in {ROOT}.")


if __name__ == "__main__":
    keep_chosen()
    if not is_comparison():
        set_up()
