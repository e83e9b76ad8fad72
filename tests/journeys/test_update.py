"""A project is updated to another version of the template, over edits in both packages."""

import json
from pathlib import Path

import pytest
from helpers import BIN, SOURCE, git, run

OURS = "src/{{cookiecutter.package_name}}/"
THEIRS = "src/my_project/"


def add_top(path: Path, line: str) -> None:
    """Put a line first."""
    path.write_text(f"{line}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")


def add_end(path: Path, line: str) -> None:
    """Put a line last, as black sets it."""
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")


@pytest.fixture
def edited(template_repository: Path, tmp_path: Path, environment: Path) -> Path:
    """A project made by cruft whose user edited files of both packages."""
    create = [BIN / "cruft", "create", template_repository, "--no-input"]
    run(tmp_path, *create, "--extra-context", json.dumps({"setup": "no"}))
    project = tmp_path / "my-project"
    (project / ".venv").symlink_to(environment)
    run(project, "make", "setup")
    add_top(project / "src/mlops_loop/files.py", "# mine")
    add_top(project / "src/mlops_loop/console.py", "# mine")
    add_top(project / THEIRS / "models/gate.py", "# mine")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Mine")
    return project


def publish(repository: Path) -> None:
    """Commit another version of the template."""
    source = repository / SOURCE.name
    add_end(source / "src/mlops_loop/lineage.py", "# news")
    add_end(source / "src/mlops_loop/files.py", "# news")
    add_top(source / "src/mlops_loop/console.py", "# news")
    add_end(source / OURS / "models/gate.py", "# news")
    (source / "src/mlops_loop/data/new.py").write_text('"""A new module."""\n')
    (source / "docs/moving.md").unlink()
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "News")


def test_an_update_merges_both_packages_and_its_conflict_is_not_committed(
    edited: Path, template_repository: Path
) -> None:
    publish(template_repository)
    said = run(edited, BIN / "cruft", "update", "--skip-apply-ask").stdout
    assert "Left to do" not in said, "cruft renders to compare: nothing is set up there"
    status = dict(reversed(line.split()) for line in git(edited, "status", "--short").splitlines())
    assert status == {
        ".cruft.json": "M",
        "docs/moving.md": "D",
        "src/mlops_loop/console.py": "UU",
        "src/mlops_loop/data/new.py": "A",
        "src/mlops_loop/files.py": "M",
        "src/mlops_loop/lineage.py": "M",
        "src/my_project/models/gate.py": "M",
    }
    lineage = (SOURCE / "src/mlops_loop/lineage.py").read_text()
    assert (edited / "src/mlops_loop/lineage.py").read_text() == f"{lineage}\n\n# news\n"
    for name in ("mlops_loop/files.py", "my_project/models/gate.py"):
        lines = (edited / "src" / name).read_text().splitlines()
        assert (lines[0], lines[-1]) == ("# mine", "# news")

    git(edited, "add", "--all")
    commit = ("git", "commit", "--message", "Update the template")
    said = run(edited, *commit, succeeds=False).stdout
    assert "console.py:1: Merge conflict string" in said

    console = (SOURCE / "src/mlops_loop/console.py").read_text()
    (edited / "src/mlops_loop/console.py").write_text(f"# mine and news\n{console}")
    git(edited, "add", "--all")
    run(edited, *commit)
    assert git(edited, "status", "--porcelain") == ""
    assert run(edited, BIN / "cruft", "check").returncode == 0
