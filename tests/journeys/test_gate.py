"""The commit gate of a rendered project: what git did, and what became of the file.

Every git command runs as an editor would: no active environment, nothing but the system on PATH.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import BIN, Factory, git, package, run

BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
CLEAN = '"""What the gate lets through."""\n\nLIMIT = 3\n'
UGLY = '"""What black repairs."""\nLIMIT  =  3\n'
REPAIRED = '"""What black repairs."""\n\nLIMIT = 3\n'


@dataclass(frozen=True)
class Repository:
    """A checkout and the home of its user."""

    root: Path
    home: Path

    def run(self, *command: str, cwd: str = ".") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root / cwd,
            env=BARE | {"HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        result = self.run("git", *arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout.strip()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, *names: str, cwd: str = ".") -> tuple[bool, str]:
        """Add and commit; tells whether HEAD moved, and what was said."""
        before = self.head()
        self.git("add", "--", *names)
        result = self.run("git", "commit", "-m", "Change", cwd=cwd)
        assert (result.returncode == 0) == (self.head() != before)
        return self.head() != before, result.stdout


@pytest.fixture(scope="module")
def fresh(make_project: Factory, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    root = make_project()
    git(root, "config", "user.name", "Editor")
    git(root, "config", "user.email", "editor@example.org")
    return Repository(root, tmp_path_factory.mktemp("home"))


@pytest.fixture
def project(fresh: Repository) -> Iterator[Repository]:
    """The fresh project; whatever a test does to it is undone."""
    start = fresh.head()
    yield fresh
    fresh.run("git", "merge", "--abort")
    fresh.git("checkout", "--force", "-q", "main")
    fresh.git("reset", "--hard", "-q", start)
    fresh.git("clean", "-fdq")
    fresh.run("git", "branch", "-D", "other", "newer")


@pytest.fixture
def module(project: Repository) -> str:
    """The name of a module of the package that is not there yet."""
    return f"src/{package(project.root).name}/extra.py"


def test_a_fresh_project_passes_its_check(project: Repository) -> None:
    result = project.run("make", "check")
    assert result.returncode == 0, result.stdout
    assert "Passed" in result.stdout
    assert "Failed" not in result.stdout
    assert project.git("status", "--porcelain") == ""


def test_check_repairs_and_fails_and_shows_a_ci_the_difference(
    project: Repository, module: str
) -> None:
    path = project.write(module, UGLY)
    project.git("add", module)
    result = project.run("make", "check", "CI=true")
    assert result.returncode != 0
    assert "+LIMIT = 3" in result.stdout
    assert path.read_text() == REPAIRED
    assert project.run("make", "check").returncode == 0


@pytest.mark.parametrize("folder", [".", "src"])
def test_a_clean_file_is_committed(project: Repository, module: str, folder: str) -> None:
    project.write(module, CLEAN)
    committed, said = project.commit(module, cwd=folder)
    assert committed, said
    assert project.git("show", f"HEAD:{module}") == CLEAN.strip()


def test_a_badly_formatted_file_is_repaired_and_waits(project: Repository, module: str) -> None:
    path = project.write(module, UGLY)
    committed, said = project.commit(module, cwd="src")
    assert not committed
    assert "black" in said
    assert path.read_text() == REPAIRED
    committed, said = project.commit(module)
    assert committed, said


def notebook(source: list[str], output: str) -> str:
    """A notebook of one cell."""
    cell = {
        "cell_type": "code",
        "id": "first",
        "execution_count": 1,
        "metadata": {},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": output}],
        "source": source,
    }
    book = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1) + "\n"


def test_a_notebook_loses_its_output_before_it_is_committed(project: Repository) -> None:
    pictures = "a customer's face\n" * 100_000  # over the limit of 1 MB before it is stripped
    path = project.write("notebooks/extra.ipynb", notebook(["LIMIT = 3"], pictures))
    committed, said = project.commit("notebooks/extra.ipynb")
    assert not committed
    assert "customer" not in path.read_text()
    assert json.loads(path.read_text())["cells"][0]["source"] == ["LIMIT = 3"]
    committed, said = project.commit("notebooks/extra.ipynb")
    assert committed, said


def test_a_notebook_is_formatted_and_its_imports_are_sorted(project: Repository) -> None:
    ugly = ["import sys\n", "import os\n", "print( os.name,sys.path )"]
    path = project.write("notebooks/extra.ipynb", notebook(ugly, ""))
    committed, said = project.commit("notebooks/extra.ipynb")
    assert not committed
    assert re.search(r"isort of notebooks\.+Failed", said), said
    assert re.search(r"black\.+Failed", said), said
    sorted_ = ["import os\n", "import sys\n", "\n", "print(os.name, sys.path)"]
    assert json.loads(path.read_text())["cells"][0]["source"] == sorted_
    committed, said = project.commit("notebooks/extra.ipynb")
    assert committed, said


# Put together here, or this repository's own gate and GitHub's would stop this file.
AWS_KEY = "AKIA" + "IOSFODNN7" + "ABCDEFG"
CONFLICT = "\n".join(["<" * 7 + " ours", "a: 1", "=" * 7, "a: 2", ">" * 7 + " theirs", ""])


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("docs/access.md", f"The key is {AWS_KEY}.\n", "AWS Access Key"),
        ("docs/export.csv", "a,b\n" * 1_500_000, "export.csv (5860 KB) exceeds 1000 KB"),
        ("docs/notes.md", CONFLICT, "Merge conflict string"),
        ("docs/list.yaml", "a: [1, 2\n", "while parsing a flow sequence"),
        ("docs/list.toml", "a = [1, 2\n", "docs/list.toml: "),
        ("docs/list.json", "[1, 2\n", "docs/list.json: Failed to json decode"),
        ("docs/CHARTER.md", "# Charter\n", "Case-insensitivity conflict found: docs/CHARTER.md"),
        ("docs/charter.md.rej", "@@ -1 +1 @@\n", "Apply by hand what an update could not"),
        (
            "tests/extra.py",
            '"""Debugged."""\n\nbreakpoint()\n',
            "tests/extra.py:3:0: breakpoint called",
        ),
        ("src/{package}/extra.py", '"""Wrong."""\n\nLIMIT: int = "3"\n', "Incompatible types"),
        (
            "src/{package}/extra.py",
            '"""Untyped."""\n\n\ndef f(x):\n    return x\n',
            "no-untyped-def",
        ),
        ("src/{package}/extra.py", '"""Lost."""\n\nLIMIT = limit\n', "F821"),
        ("src/mlops_loop/extra.py", f'"""Machinery."""\n\nKEY = "{AWS_KEY}"\n', "AWS Access Key"),
        ("src/mlops_loop/notes.txt", CONFLICT, "Merge conflict string"),
    ],
    ids=[
        *("secret", "large", "conflict", "yaml", "toml", "json", "case", "rejected", "debugged"),
        *("type", "untyped", "undefined"),
        *("secret in machinery", "conflict in machinery"),
    ],
)
def test_what_no_tool_can_repair_is_stopped_as_it_is(
    project: Repository, module: str, name: str, text: str, reason: str
) -> None:
    name = name.format(package=Path(module).parent.name)
    path = project.write(name, text)
    committed, said = project.commit(name)
    assert not committed
    assert reason in said
    assert path.read_text() == text


def test_a_broken_symlink_is_stopped(project: Repository) -> None:
    (project.root / "docs/latest.md").symlink_to("gone.md")
    committed, said = project.commit("docs/latest.md")
    assert not committed
    assert "docs/latest.md: Broken symlink" in said


def test_prek_runs_the_same_gate(project: Repository, module: str) -> None:
    prek = [BIN / "uv", "tool", "run", "--quiet", "prek@0.5.10", "run", "--all-files"]
    outcome = re.compile(r"^(\S.*?)\.{3,}(?:\(.*\))?(Passed|Skipped)$", re.MULTILINE)
    clean = outcome.findall(run(project.root, *prek, SKIP="dvc-status").stdout)
    assert clean == outcome.findall(project.run("make", "check").stdout)
    assert ("black", "Passed") in clean
    path = project.write(module, UGLY)
    project.git("add", module)
    assert re.search(r"black\.+Failed", run(project.root, *prek, succeeds=False).stdout)
    assert path.read_text() == REPAIRED


def test_machinery_is_nobodys_to_format_or_to_type(project: Repository) -> None:
    path = project.write("src/mlops_loop/extra.py", "import os\nX:int  =  'three'\n")
    committed, said = project.commit("src/mlops_loop/extra.py")
    assert committed, said
    assert path.read_text() == "import os\nX:int  =  'three'\n"


def test_a_changed_signature_of_machinery_fails_in_the_package_that_calls_it(
    project: Repository, module: str
) -> None:
    path = project.root / "src/mlops_loop/files.py"
    text = path.read_text()
    assert text.count("def read_json(path: Path)") == 1
    path.write_text(
        text.replace("def read_json(path: Path)", "def read_json(path: Path, key: str)")
    )
    committed, said = project.commit("src/mlops_loop/files.py")
    assert not committed
    assert 'Missing positional argument "key" in call to "read_json"' in said
    named = set(re.findall(r"^(src/\w+)/\S+: error", said, re.MULTILINE))
    assert named == {str(Path(module).parent)}


def test_a_worktree_without_environment_is_told_what_to_do(
    project: Repository, module: str, tmp_path: Path
) -> None:
    project.git("worktree", "add", "-q", str(tmp_path / "other"), "-b", "other")
    other = Repository(tmp_path / "other", project.home)
    other.write(module, CLEAN)
    committed, said = other.commit(module)
    assert not committed
    assert f"This checkout has no .venv, or a moved one: run `make setup` in {other.root}" in said
    project.git("worktree", "remove", "--force", str(other.root))


def test_git_push_needs_no_data_remote(project: Repository, tmp_path: Path) -> None:
    project.run("git", "init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("push", str(tmp_path / "origin.git"), "main")
    pushed = project.run("git", "--git-dir", str(tmp_path / "origin.git"), "rev-parse", "main")
    assert pushed.stdout.strip() == project.head()


def dvc(project: Repository, *arguments: str) -> None:
    result = project.run(".venv/bin/dvc", *arguments)
    assert result.returncode == 0, result.stdout


def test_data_follow_push_and_checkout(project: Repository, tmp_path: Path) -> None:
    table = project.write("data/external/sales.csv", "price\n1\n")
    dvc(project, "add", "-q", "data/external/sales.csv")
    dvc(project, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    committed, said = project.commit("data/external", ".dvc/config")
    assert committed, said

    project.run("git", "init", "-q", "--bare", str(tmp_path / "origin.git"))
    project.git("push", str(tmp_path / "origin.git"), "main")
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert [path.read_text() for path in stored] == ["price\n1\n"]

    project.git("checkout", "-q", "-b", "newer")
    table.unlink()  # may be a link into DVC's cache
    table.write_text("price\n2\n")
    dvc(project, "add", "-q", "data/external/sales.csv")
    committed, said = project.commit("data/external")
    assert committed, said
    project.git("checkout", "-q", "main")
    assert table.read_text() == "price\n1\n"


def test_checkout_neither_fails_nor_loses_data_that_dvc_does_not_hold(project: Repository) -> None:
    table = project.write("data/external/sales.csv", "price\n3\n")
    dvc(project, "add", "-q", "data/external/sales.csv")
    project.commit("data/external")
    project.git("branch", "other")
    table.unlink()
    table.write_text("price\n4\n")  # in no cache
    project.git("checkout", "-q", "other")
    assert table.read_text() == "price\n4\n"


def test_a_commit_hears_that_the_pipeline_is_behind(project: Repository) -> None:
    params = project.root / "params.yaml"
    params.write_text(re.sub(r"rows_per_month: \d+", "rows_per_month: 100", params.read_text()))
    path = f"{project.root}/.venv/bin:{os.environ['PATH']}"
    run(project.root, "dvc", "repro", "--quiet", "ingest", PATH=path)
    committed, said = project.commit("dvc.lock", "params.yaml")
    assert committed, said
    params.write_text(params.read_text().replace("rows_per_month: 100", "rows_per_month: 200"))
    committed, said = project.commit("params.yaml")
    assert committed, said
    assert "ingest:\n\tchanged deps:\n\t\tparams.yaml:\n\t\t\tmodified:" in said
