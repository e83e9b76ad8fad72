"""A version trained again: when that can be done, and what counts as a difference."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from helpers import git
from mlops_loop import lineage
from mlops_loop.commands import experiment
from mlops_loop.commands import reproduce as command
from mlops_loop.files import read_json, write_json
from mlops_loop.project import UserError
from project.models import register
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


def test_a_version_that_differs_is_shown_with_what_differs(
    trained: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.dvc_lock.write_text("stages: {}\n")
    record = read_json(trained.run)
    record["lineage"] |= {"git_commit": "a" * 40, "git_dirty": "false"}
    write_json(trained.run, record)
    register.main(trained)
    monkeypatch.setattr(command, "checkout", lambda *_: nullcontext(trained))
    monkeypatch.setattr(command, "train_again", lambda *_: None)
    monkeypatch.setattr(command, "git", lambda *_: "commit")
    command.reproduce(trained, "1")
    assert "version 1 is reproduced: the same model (hash " in capsys.readouterr().out
    before = read_json(trained.metrics)["test"]["rmse"]
    trained.put_model("worse")
    with pytest.raises(SystemExit) as ended:
        command.reproduce(trained, "1")
    said, after = capsys.readouterr().out, read_json(trained.metrics)["test"]["rmse"]
    assert ended.value.code == 1 and "version 1 is not reproduced; what differs:" in said
    assert f"  model hash  {record['model_hash'][:12]}  " in said
    assert f"  rmse        {before}"[:20] in said and str(after)[:8] in said
