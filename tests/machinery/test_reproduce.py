"""A version trained again: when that can be done, and what counts as a difference."""

from pathlib import Path

import pytest
from helpers import git
from mlops_loop import lineage
from mlops_loop.commands import experiment
from mlops_loop.project import UserError
from projects import Project

COMMIT = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m")


def test_code_that_cannot_be_recovered_is_refused() -> None:
    for tags in (
        {},
        {"git_commit": "none", "git_dirty": "false"},
        {"git_commit": "a" * 40, "git_dirty": "true"},
    ):
        with pytest.raises(UserError, match="version 3 was trained from code that is not commi"):
            lineage.require_commit(tags, "version 3")
    clean = {"git_commit": "a" * 40, "git_dirty": "false"}
    assert lineage.require_commit(clean, "version 3") == "a" * 40


def test_a_commit_is_checked_out_beside_a_project_that_lies_within_a_repository(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = Project(tmp_path)
    git(outer.root, "init", "--quiet")
    git(outer.root, "add", "project/params.yaml")
    git(outer.root, *COMMIT, "parameters")
    commit = lineage.git(outer.root, "rev-parse", "HEAD")
    # A commit that no branch holds any longer.
    git(outer.root, *COMMIT, "amended", "--amend")
    kept = project.params.read_text()
    project.edit(seed=99)
    monkeypatch.setattr(experiment, "dvc", lambda *_, **__: "")
    with experiment.checkout(commit, project) as copy:
        assert copy.root.name == "project"
        assert copy.params.read_text() == kept
        assert lineage.git(copy.root, "rev-parse", "HEAD") == commit
    assert not copy.root.parent.exists()
    assert lineage.git(outer.root, "worktree", "list").count("\n") == 0
