"""`make setup` and git on machines that stand in its way: one sentence with the remedy each.

The environment is a fake that holds no more than the commit hooks need.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import BIN, git, render, run

LOCKS = "requirements/base.txt requirements/dev.txt"
STAMP = f"{{ (cd .venv && pwd -P); cat {LOCKS}; }} | cksum | cut -d ' ' -f 1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose environment is called ready."""
    return settle(render(tmp_path / "here"))


def settle(project: Path) -> Path:
    """Make the fake environment in its place."""
    shutil.rmtree(project / ".venv", ignore_errors=True)
    tools = project / ".venv" / "bin"
    tools.mkdir(parents=True)
    for name in ("pre-commit", "python"):
        tools.joinpath(name).write_text(f'#!/bin/sh\nexec {BIN / name} "$@"\n')
        tools.joinpath(name).chmod(0o755)
    tools.joinpath("activate").write_text(f"VIRTUAL_ENV={project / '.venv'}\n")
    said = subprocess.run(["sh", "-c", STAMP], cwd=project, capture_output=True, text=True)
    project.joinpath(f".venv/.ready-{said.stdout.strip()}").touch()
    return project


def commit(project: Path) -> str:
    """The words of a commit, which may be refused."""
    arguments = ("--quiet", "--allow-empty", "--message", "x")
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != str(BIN))
    return run(project, "git", "commit", *arguments, succeeds=None, PATH=path).stdout


def test_hooks_of_another_place_are_said_with_their_scope(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], config)
    git(project, "config", "--file", str(config), "core.hooksPath", "/company/hooks")
    said = run(project, "make", "setup", GIT_CONFIG_GLOBAL=str(config)).stdout
    remedy = "`git config --global --unset-all core.hooksPath`, then `make setup`."
    assert said == f"No commit hooks, as git's core.hooksPath is set: run {remedy}\n"
    assert not (project / ".git/hooks/pre-commit").exists()
    assert run(project, "make", "setup").stdout == ""
    assert (project / ".git/hooks/pre-commit").exists()


def test_a_commit_in_a_moved_folder_says_what_mends_it(project: Path) -> None:
    run(project, "make", "setup")
    hook = project / ".git/hooks/pre-commit"
    moved = project.rename(project.with_name("moved"))
    hook = moved / ".git/hooks/pre-commit"
    hook.write_text(hook.read_text().replace(str(BIN / "python"), "/gone/python"))
    assert "`pre-commit` not found.  Run `make setup`, as .venv was moved" in commit(moved)
    hook.write_text(hook.read_text().replace("/gone/python", str(BIN / "python")))
    assert f"a moved one: run `make setup` in {moved}" in commit(moved)
    settle(moved)
    run(moved, "make", "setup")
    head = git(moved, "rev-parse", "HEAD")
    assert "make setup" not in commit(moved)
    assert git(moved, "rev-parse", "HEAD^") == head


@pytest.mark.parametrize("name", ["a#b", "50%", "why?", "a[1]", "a:b"])
def test_a_path_that_tools_read_otherwise_is_refused_first(tmp_path: Path, name: str) -> None:
    project = render(tmp_path / name)
    said = run(project, "make", "setup", succeeds=False).stdout
    assert "Left to do: rename a folder of this path: to many tools # ?" in said
    assert not (project / ".venv").exists()


def test_a_signing_key_that_is_missing_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], config)
    for key, value in (("gpgsign", "true"), ("signingkey", str(tmp_path / "gone"))):
        section = "commit" if key == "gpgsign" else "user"
        git(tmp_path, "config", "--file", str(config), f"{section}.{key}", value)
    git(tmp_path, "config", "--file", str(config), "gpg.format", "ssh")
    command = [BIN / "cookiecutter", Path(__file__).parents[2], "--no-input", "setup=no"]
    said = run(tmp_path, *command, PYTHONPATH="", GIT_CONFIG_GLOBAL=str(config)).stdout
    assert "- first commit: git cannot sign it; set user.signingkey to a key that is there" in said
    project = tmp_path / "my-project"
    git(project, "config", "commit.gpgsign", "false")
    git(project, "commit", "--quiet", "--message", "Start")
    assert git(project, "status", "--porcelain") == ""
    assert said.endswith("Next:\n  cd my-project\n  make train\nAll verbs: make\n")
