"""Set-up on good and bad machines: the project is always kept, and `make setup` finishes it."""

import os
import shutil
from pathlib import Path

import pytest
from helpers import BIN, TEMPLATE, Factory, Newborn, files, git, package, render, run
from mlflow import MlflowClient

STRANGER = "[user]\n\tuseConfigOnly = true\n"
UV = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # where uv need not be installed first
OFFLINE = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}


def bake(folder: Path, **variables: str) -> tuple[Path, str]:
    """The project and the words of a user's cookiecutter command with `setup=yes`."""
    command = [BIN / "cookiecutter", TEMPLATE, "--no-input"]
    said = run(folder, *command, PYTHONPATH="", **variables).stdout
    project = folder / "my-project"
    assert "pyproject.toml" in {str(path) for path in files(project)}
    assert (project / "LICENSE").exists()
    return project, said


def path_without(folder: Path, *tools: str) -> str:
    """A PATH on which everything of this machine is found except these tools."""
    folder.mkdir()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(directory).iterdir() if Path(directory).is_dir() else ():
            (folder / tool.name).unlink(missing_ok=True)
            (folder / tool.name).symlink_to(tool)
    for tool in tools:
        (folder / tool).unlink()
    return str(folder)


def offline(folder: Path) -> dict[str, str]:
    """A machine without network and with empty caches."""
    caches = {"UV_CACHE_DIR": str(folder / "uv"), "PIP_CACHE_DIR": str(folder / "pip")}
    return {**OFFLINE, **caches, "PIP_FIND_LINKS": ""}


def test_birth(newborn: Newborn) -> None:
    project = newborn.project
    assert git(project, "log", "--format=%s|%an", "main").splitlines() == [
        "Start my-project from cookiecutter-mlops-loop|Ü. O'Ser"
    ]
    assert git(project, "status", "--porcelain") == ""
    hooks = {path.name for path in (project / ".git" / "hooks").iterdir()}
    assert {"pre-commit", "pre-push", "post-checkout"} <= hooks
    tracked = git(project, "ls-files").splitlines()
    assert {".dvc/config", ".dvcignore", "data/external/.gitkeep"} <= set(tracked)
    assert "Installing" in newborn.output
    assert "Left to do" not in newborn.output
    store = MlflowClient(f"sqlite:///{project / '.venv' / 'mlflow.db'}")
    assert [experiment.name for experiment in store.search_experiments()] == ["Default"]


def test_environment_holds_the_locks_and_this_project(newborn: Newborn) -> None:
    python = newborn.project / ".venv" / "bin" / "python"
    where = "import my_project; print(my_project.__file__)"
    said = run(newborn.project, python, "-c", where, PYTHONPATH="").stdout.strip()
    assert Path(said) == package(newborn.project) / "__init__.py"
    freeze = run(newborn.project, python.parent / "uv", "pip", "freeze", "--python", python).stdout
    for lock in ("base.txt", "dev.txt"):
        pins = (newborn.project / "requirements" / lock).read_text().splitlines()
        assert {pin.split()[0] for pin in pins if pin.startswith(("mlflow==", "black=="))} <= set(
            freeze.splitlines()
        )


def test_second_setup_changes_nothing(make_project: Factory) -> None:
    project = make_project()
    before = (git(project, "rev-parse", "HEAD"), files(project))
    said = run(project, "make", "setup").stdout
    assert (git(project, "rev-parse", "HEAD"), files(project)) == before
    assert git(project, "status", "--porcelain") == ""
    assert said == ""


def test_an_uncommitted_edit_is_nobodys_business(make_project: Factory) -> None:
    project = make_project()
    (project / ".dvcignore").write_text("# mine\n")
    (project / "notes.md").write_text("mine\n")
    run(project, "make", "setup")
    assert git(project, "status", "--porcelain").splitlines() == ["M .dvcignore", "?? notes.md"]


def borrow(project: Path, environment: Path) -> None:
    """Let the project use the environment that a better machine made."""
    shutil.rmtree(project / ".venv", ignore_errors=True)
    (project / ".venv").symlink_to(environment)


def test_no_network(tmp_path: Path, environment: Path) -> None:
    project, said = bake(tmp_path, **offline(tmp_path / "caches"))
    assert "could not be installed, see above; is there a network? Then run `make setup`" in said
    assert "- environment: see above; `make setup` finishes it." in said
    assert git(project, "log", "--format=%s") == "Start my-project from cookiecutter-mlops-loop"
    borrow(project, environment)
    assert run(project, "make", "setup").stdout == ""
    assert (project / ".git" / "hooks" / "pre-commit").exists()


def test_no_git(tmp_path: Path, environment: Path) -> None:
    path = path_without(tmp_path / "bin", "git")
    project, said = bake(tmp_path, PATH=path, **offline(tmp_path / "caches"))
    assert "- git is missing: install it, then `git init --initial-branch=main`." in said
    borrow(project, environment)
    assert "git" in run(project, "make", "data", succeeds=False, PATH=path).stdout
    assert "in: no git repository" in run(project, "make", "setup", PATH=path).stdout
    git(project, "init", "--quiet", "--initial-branch=main")
    assert run(project, "make", "setup").stdout == ""
    assert (project / ".git" / "hooks" / "pre-commit").exists()


def test_no_make(tmp_path: Path) -> None:
    project, said = bake(tmp_path, PATH=path_without(tmp_path / "bin", "make"))
    assert "install make and run `make setup`" in said
    assert git(project, "rev-list", "--count", "HEAD") == "1"


def test_git_does_not_know_the_user(tmp_path: Path, environment: Path) -> None:
    (tmp_path / "stranger").write_text(STRANGER)
    stranger = {"GIT_CONFIG_GLOBAL": str(tmp_path / "stranger"), "EMAIL": ""}
    project, said = bake(tmp_path, **UV, **stranger, **offline(tmp_path / "caches"))
    assert "- first commit: git has no identity; run `git config --global user.name" in said
    borrow(project, environment)
    assert run(project, "make", "setup", **stranger).stdout == ""
    git(project, "commit", "--quiet", "--no-verify", "--message", "Start")
    assert git(project, "status", "--porcelain") == ""


def test_home_cannot_be_written(tmp_path: Path, environment: Path) -> None:
    nowhere = {"HOME": "/sys/home", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    project, said = bake(tmp_path, **UV, **nowhere, **offline(tmp_path / "caches"))
    assert "the packages could not be installed" in said
    assert git(project, "rev-list", "--count", "HEAD") == "1"
    borrow(project, environment)
    said = run(project, "make", "setup", **nowhere).stdout
    assert "No commit hooks: " in said and "PermissionError" in said
    assert run(project, "make", "setup").stdout == ""
    assert (project / ".git" / "hooks" / "pre-commit").exists()


@pytest.mark.parametrize("python", ["old", "without venv"])
def test_no_python_that_will_do(python: str, tmp_path: Path) -> None:
    tools = ["uv", "python3", "python3.13", "python3.12", "python3.11"]
    path = path_without(tmp_path / "bin", *filter(shutil.which, tools))
    refused = "*version_info*" if python == "old" else '*"-m venv"*'
    real = (BIN / "python").resolve()
    wrapper = f'#!/bin/sh\ncase "$*" in {refused}) exit 1 ;; esac\nexec {real} "$@"\n'
    (tmp_path / "bin" / "python3").write_text(wrapper)
    (tmp_path / "bin" / "python3").chmod(0o755)
    _, said = bake(tmp_path, PATH=path)
    assert ("install Python 3.11 or newer" if python == "old" else "python3-venv or uv") in said


def test_inside_a_repository_none_is_nested(tmp_path: Path, environment: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Outer")
    outer = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "team").mkdir()
    project, said = bake(tmp_path / "team", PATH=path_without(tmp_path / "bin", "make"))
    assert f"- the project lies in the repository {tmp_path}: commit it there." in said
    borrow(project, environment)
    said = run(project, "make", "setup").stdout
    assert said.endswith(f"not the root of a repository, but in: {tmp_path}\n")
    assert not (project / ".git").exists()
    assert not (tmp_path / ".git" / "hooks" / "pre-commit").exists()
    assert git(tmp_path, "rev-parse", "HEAD") == outer
    assert "register:" in run(project, ".venv/bin/dvc", "status").stdout


def test_where_git_looks_away_the_project_has_its_own_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("/build/\n")
    project = render(tmp_path / "build")
    assert git(project, "rev-parse", "--show-toplevel") == str(project)
    assert git(project, "rev-list", "--count", "HEAD") == "1"


def is_ready(project: Path) -> bool:
    """Return whether make would run without building the environment first."""
    return "setup.sh" not in run(project, "make", "--dry-run", "test").stdout


def test_a_moved_project_is_noticed(make_project: Factory, environment: Path) -> None:
    project = make_project()
    assert is_ready(project)
    (project / ".venv").unlink()
    (project / ".venv").mkdir()
    for stamp in environment.glob(".ready-[0-9]*"):
        shutil.copy(stamp, project / ".venv")
    assert not is_ready(project)


def test_a_changed_lock_is_noticed(make_project: Factory) -> None:
    project = make_project()
    with (project / "requirements" / "dev.txt").open("a") as lock:
        lock.write("# changed\n")
    assert not is_ready(project)


def test_setup_in_a_hook_of_another_repository(make_project: Factory, tmp_path: Path) -> None:
    project = make_project()
    (project / ".git" / "hooks" / "pre-commit").unlink()
    git(tmp_path, "init", "--quiet")
    run(project, "make", "setup", GIT_DIR=str(tmp_path / ".git"), GIT_WORK_TREE=str(tmp_path))
    assert (project / ".git" / "hooks" / "pre-commit").exists()
    assert not (tmp_path / ".git" / "hooks" / "pre-commit").exists()
