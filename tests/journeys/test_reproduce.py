"""A version is trained again after everything has moved on, and nothing is changed by it."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from helpers import Factory, git, package, run, shell

BEFORE, AFTER = "rows_per_month: 50000", "rows_per_month: 1000"
# What git, DVC, SQLite and MLflow write when they read.
PASSING = {".venv", "__pycache__", "tmp", "index", "mlflow.db", "registered_model_meta"}


def change(path: Path, old: str, new: str) -> None:
    """Replace the one place where a text stands."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """Version 1 is of a commit, and then data and code were edited."""
    project = make_project()
    change(project / "params.yaml", BEFORE, AFTER)
    git(project, "commit", "--quiet", "--no-verify", "--all", "--message", "Fewer rows")
    run(project, "make", "train")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "--message", "Version 1")
    change(project / "params.yaml", AFTER, "rows_per_month: 1100")
    change(project / "params.yaml", "seed: 42", "seed: 43")
    (package(project) / "features/definitions.py").write_text("broken = ")
    return project


def query(project: Path, sql: str) -> list[tuple]:
    """The answer of the registry."""
    with closing(sqlite3.connect(project / "mlflow.db")) as store, store:
        return store.execute(sql).fetchall()


def dump(project: Path) -> str:
    """The whole registry as text."""
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        return "\n".join(store.iterdump())


def state(project: Path) -> dict[str, object]:
    """All that must be left alone: files with their times, git and the registry."""
    files = (p for p in project.rglob("*") if not PASSING & set(p.relative_to(project).parts))
    return {
        "registry": dump(project),
        "files": {path: path.stat().st_mtime_ns for path in files if path.is_file()},
        "worktrees": git(project, "worktree", "list"),
        "branches": git(project, "branch", "--all", "--verbose"),
        "status": git(project, "status", "--porcelain"),
    }


def reproduce(project: Path, version: str, folder: Path) -> tuple[int, str]:
    """Exit code and output; asserts that no trace is left."""
    before = state(project)
    command = [project / ".venv/bin/python", "-m", package(project).name, "reproduce"]
    done = run(project, *command, f"--version={version}", succeeds=None, TMPDIR=str(folder))
    assert state(project) == before
    assert list(folder.glob("checkout-*")) == []
    return done.returncode, done.stdout


@contextmanager
def tampered(project: Path, *statements: str) -> Iterator[None]:
    """The registry with something changed, for a while."""
    before = dump(project)
    for sql in statements:
        query(project, sql)
    try:
        yield
    finally:
        (project / "mlflow.db").unlink()
        with closing(sqlite3.connect(project / "mlflow.db")) as store:
            store.executescript(before)


def tag(name: str, value: str) -> str:
    """The statement that gives version 1 another tag."""
    return f"update model_version_tags set value = '{value}' where version = 1 and key = '{name}'"


def test_a_version_is_reproduced_after_everything_has_moved_on(project: Path) -> None:
    before = state(project)
    said = run(project, "make", "reproduce").stdout
    assert [line for line in said.splitlines() if line.startswith("Running stage")] == [
        f"Running stage '{stage}':"
        for stage in ("validate", "prepare", "featurize", "train", "evaluate")
    ]
    assert "version 1 is reproduced: the same model (hash " in said
    assert "), equal metrics." in said
    assert state(project) == before


def test_a_version_of_a_dirty_tree_is_refused(project: Path, tmp_path: Path) -> None:
    with tampered(project, tag("git_dirty", "true")):
        code, said = reproduce(project, "1", tmp_path)
    assert code == 2
    assert "error: version 1 was trained from code that is not committed" in said


def test_a_version_whose_commit_is_gone_is_refused(project: Path, tmp_path: Path) -> None:
    with tampered(project, tag("git_commit", "0" * 40)):
        code, said = reproduce(project, "1", tmp_path)
    assert code == 2
    assert f"trained at commit {'0' * 40}, which this repository does not have" in said


def test_a_version_whose_data_are_gone_is_refused(project: Path, tmp_path: Path) -> None:
    where = "from model_version_tags where version = 1 and key = 'data_version'"
    [(data,)] = query(project, f"select value {where}")
    gone = project / ".dvc/cache/files/md5" / data[:2] / data[2:]
    gone.rename(tmp_path / "kept")
    code, said = reproduce(project, "1", tmp_path)
    (tmp_path / "kept").rename(gone)
    assert code == 2
    assert f"the data of version 1 ({data}) are neither in DVC's cache nor" in said


def test_a_version_without_its_lock_is_refused(project: Path, tmp_path: Path) -> None:
    locks = project.glob("mlartifacts/*/artifacts/dvc.lock")
    kept = {lock: lock.read_bytes() for lock in locks}
    for lock in kept:
        lock.unlink()
    code, said = reproduce(project, "1", tmp_path)
    for lock, content in kept.items():
        lock.write_bytes(content)
    assert code == 2
    assert "error: version 1 has no dvc.lock in sqlite:///" in said


def test_an_unknown_version_is_answered_with_those_that_there_are(
    project: Path, tmp_path: Path
) -> None:
    code, said = reproduce(project, "7", tmp_path)
    assert code == 2
    assert "no version, alias or run 7 in" in said
    assert "there are the versions 1 and the aliases" in said


def test_interrupted_it_leaves_no_trace(project: Path, tmp_path: Path) -> None:
    before = state(project)
    process = subprocess.Popen(
        [project / ".venv/bin/python", "-m", package(project).name, "reproduce"],
        cwd=project,
        env={**shell(), "PYTHONPATH": str(project / "src"), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    while "Running stage 'prepare'" not in process.stdout.readline():
        assert process.poll() is None
    assert len(list(tmp_path.glob("checkout-*"))) == 1
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    assert process.wait() != 0
    assert list(tmp_path.glob("checkout-*")) == []
    assert state(project) == before
