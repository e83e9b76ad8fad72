"""A version trained again: when that can be done, and what counts as a difference."""

from pathlib import Path

import pytest
from helpers import git
from mlops_loop import lineage
from mlops_loop.commands import experiment, reproduce
from mlops_loop.project import UserError
from mlops_loop.tracking.registry import Version
from projects import Project

COMMIT = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m")


def test_code_that_cannot_be_recovered_is_refused(project: Project) -> None:
    git(project.root, "init", "--quiet")
    git(project.root, "add", "params.yaml")
    git(project.root, *COMMIT, "parameters")
    commit = lineage.git(project.root, "rev-parse", "HEAD")
    for tags, said in (
        ({"git_commit": "none", "git_dirty": "false"}, "version 3 was trained outside of git"),
        ({"git_commit": commit, "git_dirty": "true"}, "uncommitted changes, so its code cannot"),
        ({"git_commit": "0" * 40, "git_dirty": "false"}, "this repository does not have; `git f"),
    ):
        with pytest.raises(UserError, match=said):
            reproduce.require_commit(Version(3, "run", tags), project)
    clean = Version(3, "run", {"git_commit": commit, "git_dirty": "false"})
    assert reproduce.require_commit(clean, project) == commit


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
