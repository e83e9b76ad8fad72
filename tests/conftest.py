"""One user, one environment, and as many projects as the tests ask for."""

import itertools
import os
import sys
from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest
from helpers import BIN, CHOICES, TEMPLATE, Factory, Newborn, git, render, run

# Machinery is imported from the template folder, where every file would be rendered.
sys.dont_write_bytecode = True
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Workers share the files. The longest come first, so that none is left over at the end; beside the
# first, which builds the environment, stand those that need none.
FIRST = [
    "replay",
    "answers",
    "ways_in",
    "serving",
    "airflow",
    "docs",
    "users_day",
    "benchmarks",
    "tasks",
    "own_tests",
    "retrain",
    "climb",
    "share",
    "reproduce",
    "monitoring",
    "tune",
    "setup",
    "experiment",
    "gate",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-trees", action="store_true", help="rewrite tests/trees/*.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}": position for position, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session", autouse=True)
def user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Somebody whom git knows and who has not used cookiecutter before."""
    home = tmp_path_factory.mktemp("user")
    (home / "gitconfig").write_text("[user]\n\tname = Ü. O'Ser\n\temail = user@example.org\n")
    (home / "cookiecutter.yaml").write_text(
        f"cookiecutters_dir: {home / 'templates'}\nreplay_dir: {home / 'replay'}\n"
    )
    for name in [name for name in os.environ if name.startswith(("GIT_", "MLFLOW_", "DVC_"))]:
        if name != "GIT_SSL_CAINFO":
            del os.environ[name]
    os.environ["GIT_CONFIG_GLOBAL"] = str(home / "gitconfig")
    os.environ["COOKIECUTTER_CONFIG"] = str(home / "cookiecutter.yaml")


@pytest.fixture(autouse=True)
def environment_variables() -> Iterator[None]:
    """Undo what libraries, .env files and benchmarks put among the environment variables."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def newborn(tmp_path_factory: pytest.TempPathFactory) -> Newborn:
    """The one real set-up of a test run; every other project borrows its environment.

    The first of the parallel workers makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "newborn"
    folder.mkdir(exist_ok=True)
    said = folder / "said.txt"
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not said.exists():
            born = run(folder, BIN / "cookiecutter", TEMPLATE, "--no-input", PYTHONPATH="")
            said.write_text(born.stdout)
    return Newborn(folder / "my-project", said.read_text())


@pytest.fixture(scope="session")
def environment(newborn: Newborn) -> Path:
    """The environment that projects share."""
    return newborn.project / ".venv"


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Factory:
    """Projects that are set up, each with its own repository, on the shared environment.

    Run commands in them with `helpers.run`, which puts their own `src` before the newborn's.
    """

    def make(folder: Path | None = None, **answers: str) -> Path:
        project = render(folder or tmp_path_factory.mktemp("project"), **answers)
        (project / ".venv").symlink_to(environment)
        if "level" in answers:  # whose libraries a test installs, or does without
            run(project, "make", "--eval", "stamp: ; @touch $(LOCKED)", "stamp")
        run(project, "make", "setup")
        return project

    return make


@pytest.fixture(scope="session")
def combinations(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Every combination of choices, without set-up."""
    questions = [question for question in CHOICES if question != "setup"]
    return {
        answers: render(
            tmp_path_factory.mktemp("render"), **dict(zip(questions, answers, strict=True))
        )
        for answers in itertools.product(*(CHOICES[question] for question in questions))
    }


@pytest.fixture
def template_repository(tmp_path: Path) -> Path:
    """A git repository of the template as it now is, to be cloned and changed."""
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    repository = tmp_path / "cookiecutter-mlops-loop"
    for name in filter(None, listed.split("\0")):
        if (TEMPLATE / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            (repository / name).write_bytes((TEMPLATE / name).read_bytes())
    git(repository, "init", "--quiet", "--initial-branch=main")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "Template")
    return repository


@pytest.fixture(scope="session")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, in an environment of its own."""
    place = tmp_path_factory.mktemp("copier")
    run(place, BIN / "uv", "venv", "--quiet", "--python", BIN / "python", "venv")
    lock = TEMPLATE / "requirements/copier.txt"
    sync = ("pip", "sync", "--quiet", "--python", "venv", "--require-hashes", lock)
    run(place, BIN / "uv", *sync)
    return place / "venv/bin/copier"
