"""Copier renders what cookiecutter renders."""

import json
import runpy
from pathlib import Path

import pytest
from helpers import BIN, TEMPLATE, files, git, render, run

CASES = {
    "default": {},
    "gitlab": {"level": "deployment", "ci": "gitlab", "license": "Proprietary"},
    "hostile": {
        "level": "operations",
        "project_name": 'O\'Hara "X" \\ ü',
        "project_slug": "x-y",
        "description": "# not: a comment, \\N{DASH} yes",
    },
}
REFUSED = {
    "license": "Invalid choice",
    "package_name": "is a module of Python itself",
}


def test_the_configuration_is_made_from_cookiecutter_json() -> None:
    text = runpy.run_path(str(TEMPLATE / "docs/copier.py"))["text"]()
    assert (TEMPLATE / "copier.yml").read_text() == text, "run .venv/bin/python docs/copier.py"


@pytest.mark.parametrize("case", CASES)
def test_the_same_tree(case: str, copier: Path, template_repository: Path, tmp_path: Path) -> None:
    answers = {"setup": "no", **CASES[case]}
    given = [f"--data={name}={answer}" for name, answer in answers.items()]
    made = tmp_path / "made"
    said = run(tmp_path, copier, "copy", "--trust", "--defaults", *given, template_repository, made)
    assert "Next:" in said.stdout and git(made, "status", "--porcelain") == ""
    expected = render(tmp_path / "expected", template_repository, **CASES[case])
    remembered = Path(".copier-answers.yml")
    assert set(files(made)) - {remembered} == set(files(expected))
    for path in files(expected):
        assert (made / path).read_bytes() == (expected / path).read_bytes(), path
        assert (made / path).stat().st_mode == (expected / path).stat().st_mode, path
    kept = json.loads((made / remembered).read_text().partition("\n")[2])
    assert answers.items() <= kept.items()


@pytest.mark.parametrize("question", REFUSED)
def test_a_wrong_answer_leaves_nothing(
    question: str, copier: Path, template_repository: Path, tmp_path: Path
) -> None:
    command = ("copy", "--trust", "--defaults", "--data=setup=no", f"--data={question}=json")
    made = tmp_path / "made"
    said = run(tmp_path, copier, *command, template_repository, made, succeeds=False).stdout
    assert REFUSED[question] in said
    assert not made.exists()


def test_cookiecutter_writes_where_a_project_comes_from(
    template_repository: Path, tmp_path: Path
) -> None:
    url = f"file://{template_repository}"
    run(tmp_path, BIN / "cookiecutter", f"git+{url}", "--no-input", "setup=no", "ci=gitlab")
    kept = json.loads((tmp_path / "my-project/.cruft.json").read_text())
    assert kept["template"] == url
    assert kept["commit"] == git(template_repository, "rev-parse", "HEAD")
    assert kept["context"]["cookiecutter"]["ci"] == "gitlab"
    assert str(tmp_path / "my-project") not in json.dumps(kept), "no place of this machine"
    assert git(tmp_path / "my-project", "status", "--porcelain") == ""


def test_a_template_without_a_commit_is_told(template_repository: Path, tmp_path: Path) -> None:
    (template_repository / "new").touch()
    command = (BIN / "cookiecutter", template_repository, "--no-input", "setup=no")
    assert "has changes that are not committed" in run(tmp_path, *command).stdout
    git(template_repository, "clean", "--quiet", "--force")
    (template_repository / ".git").rename(tmp_path / "away")
    said = run(tmp_path, *command, "project_slug=other").stdout
    assert "is no git repository" in said
    assert not list(tmp_path.glob("*/.cruft.json"))
