"""Every way in which people run a template, and the way back to it for updates."""

import json
from pathlib import Path

import pytest
from helpers import BIN, TEMPLATE, files, git, render, run


def test_replay(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    answers = ["setup=no", "project_name=Once More", "ci=gitlab"]
    run(first, BIN / "cookiecutter", TEMPLATE, "--no-input", *answers)
    run(second, BIN / "cookiecutter", TEMPLATE, "--replay")
    assert files(first / "once-more") == files(second / "once-more")
    assert (second / "once-more" / ".gitlab-ci.yml").exists()


def test_git_url(template_repository: Path, tmp_path: Path) -> None:
    url = f"file://{template_repository}"
    run(tmp_path, BIN / "cookiecutter", url, "--no-input", "setup=no")
    assert files(tmp_path / "my-project") == files(render(tmp_path / "direct"))


def test_zip(template_repository: Path, tmp_path: Path) -> None:
    archive = ["archive", "--format=zip", f"--prefix={template_repository.name}/"]
    git(template_repository, *archive, f"--output={tmp_path / 'template.zip'}", "HEAD")
    run(tmp_path, BIN / "cookiecutter", tmp_path / "template.zip", "--no-input", "setup=no")
    assert files(tmp_path / "my-project") == files(render(tmp_path / "direct"))


@pytest.fixture
def grown(template_repository: Path, tmp_path: Path) -> Path:
    """A project made by cruft, with its user's edit, whose answers ask for set-up from now on."""
    answers = json.dumps({"setup": "no"})
    create = [BIN / "cruft", "create", template_repository, "--no-input"]
    said = run(tmp_path, *create, "--extra-context", answers).stdout
    assert "Left to do" in said
    project = tmp_path / "my-project"
    assert git(project, "rev-list", "--count", "HEAD") == "1"
    cruft = (project / ".cruft.json").read_text()
    (project / ".cruft.json").write_text(cruft.replace('"setup": "no"', '"setup": "yes"'))
    (project / "README.md").write_text("My words.\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Mine")
    return project


def test_cruft_update_applies_the_change_and_keeps_the_edit(
    grown: Path, template_repository: Path
) -> None:
    makefile = template_repository / "{{cookiecutter.project_slug}}" / "Makefile"
    makefile.write_text(makefile.read_text() + "# news\n")
    git(template_repository, "commit", "--quiet", "--all", "--message", "News")
    said = run(grown, BIN / "cruft", "update", "--skip-apply-ask").stdout
    assert "Left to do" not in said
    changed = {line.split()[-1] for line in git(grown, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", "Makefile"}
    assert (grown / "Makefile").read_text().endswith("# news\n")
    assert (grown / "README.md").read_text() == "My words.\n"


def test_cruft_changes_an_answer(grown: Path) -> None:
    change = ["--variables-to-update", json.dumps({"ci": "gitlab"})]
    run(grown, BIN / "cruft", "update", "--skip-apply-ask", *change)
    assert (grown / ".gitlab-ci.yml").exists()
    assert not (grown / ".github" / "workflows" / "ci.yml").exists()


def test_cruft_diff_shows_only_the_edit(grown: Path) -> None:
    said = run(grown, BIN / "cruft", "diff").stdout
    assert "My words." in said
    assert "Left to do" not in said
    changed = [line for line in said.splitlines() if line.startswith("+++ ")]
    assert [Path(line.split()[-1]).name for line in changed] == ["README.md"]
    assert run(grown, BIN / "cruft", "check").returncode == 0


def test_a_project_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    project = render(tmp_path)
    (project / "mine.txt").write_text("mine")
    run(tmp_path, BIN / "cookiecutter", TEMPLATE, "--no-input", "setup=no", succeeds=False)
    assert (project / "mine.txt").read_text() == "mine"
