"""A version trained again: when that can be done, and what counts as a difference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import git
from mlops_loop import lineage
from mlops_loop.commands import reproduce
from mlops_loop.commands.checkout import clone
from mlops_loop.commands.reproduce import Fingerprint
from mlops_loop.project import UserError
from mlops_loop.tracking.registry import Version
from projects import Project

THEN = Fingerprint("1a2b3c", np.array([1.0, 2.0, 3.0]), {"mae": 0.5}, {"python": "3.11.1"})

COMMIT = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m")


def test_equal_results_are_identical_wherever_they_were_computed() -> None:
    now = replace(THEN, scores=THEN.scores.copy(), environment={"python": "3.13.0"})
    assert reproduce.differences(THEN, now) == []


def test_every_difference_is_listed_with_what_may_have_caused_it() -> None:
    now = Fingerprint("4d5e6f", np.array([1, 2, 3.25]), {"mae": 0.6}, {"python": "3.13.0"})
    assert reproduce.differences(THEN, now) == [
        ("model hash", "1a2b3c", "4d5e6f"),
        ("predictions", "3", "1 differ, by 0.25 at most"),
        ("mae", "0.5", "0.6"),
        ("python", "3.11.1", "3.13.0"),
    ]


def test_one_probability_of_several_classes_is_a_difference() -> None:
    then = replace(THEN, scores=np.array([[0.2, 0.8], [0.5, 0.5]]))
    now = replace(then, scores=np.array([[0.2, 0.8], [0.4, 0.6]]))
    [(name, _, said)] = reproduce.differences(then, now)
    assert (name, said) == ("predictions", "1 differ, by 0.1 at most")


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
    project: Project, tmp_path: Path
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
    copy = clone(commit, project, tmp_path / "copy")
    assert copy.root == tmp_path / "copy" / "project"
    assert copy.params.read_text() == kept
    assert lineage.git(copy.root, "rev-parse", "HEAD") == commit
    assert lineage.git(outer.root, "worktree", "list").count("\n") == 0
