"""Bad answers are refused in one sentence, with nothing written."""

import json
import os
from pathlib import Path

import pytest
from helpers import BIN, TEMPLATE, run

REFUSED = {
    "no PyPI name": {"project_slug": "My_Project"},
    "no PyPI name, hyphen": {"project_slug": "my--project"},
    "no PyPI name, umlaut": {"project_slug": "größe"},
    "installs": {"project_slug": "scikit-learn", "package_name": "mine"},
    "cannot be imported": {"package_name": "my-project"},
    "cannot be imported, digit": {"project_name": "2024 forecast"},
    "cannot be imported, keyword": {"package_name": "class"},
    "cannot be imported, underscore": {"package_name": "_mine"},
    "cannot be imported, capital": {"package_name": "Mine"},
    "module of Python": {"package_name": "json"},
    "hides a package": {"package_name": "sklearn"},
    "hides a package, pip": {"package_name": "pandas", "project_slug": "mine"},
    "hides a package, tests": {"package_name": "tests", "project_slug": "mine"},
    "longer than 50": {"package_name": "x" * 51},
    "project_name is empty": {"project_name": " ", "project_slug": "mine"},
    "description holds": {"description": "two\nlines"},
    "author holds": {"author": "bell \a"},
    "project_name holds": {"project_name": "tab\tbed", "project_slug": "mine"},
    "GPL": {"license": "GPL"},
    "jenkins": {"ci": "jenkins"},
    "maybe": {"setup": "maybe"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    answers = [f"{question}={answer}" for question, answer in REFUSED[case].items()]
    command = [BIN / "cookiecutter", TEMPLATE, "--no-input", *answers]
    said = run(tmp_path, *command, succeeds=False).stdout
    assert case.split(",")[0] in said
    assert list(tmp_path.iterdir()) == []


def test_every_complaint_is_made_at_once(tmp_path: Path) -> None:
    answers = ["project_slug=A", "package_name=json", "author=a\nb"]
    command = [BIN / "cookiecutter", TEMPLATE, "--no-input", *answers]
    said = run(tmp_path, *command, succeeds=False).stdout
    complaints = [line for line in said.splitlines() if line.startswith(("project_", "package_"))]
    assert len(complaints) == 2
    assert "author holds" in said


@pytest.mark.parametrize(("question", "answer"), [("license", "GPL"), ("setup", "perhaps")])
def test_a_choice_made_up_in_a_replay_file_is_refused(
    question: str, answer: str, tmp_path: Path
) -> None:
    run(tmp_path, BIN / "cookiecutter", TEMPLATE, "--no-input", "setup=no")
    recorded = Path(os.environ["COOKIECUTTER_CONFIG"]).parent / "replay" / f"{TEMPLATE.name}.json"
    answers = json.loads(recorded.read_text())
    answers["cookiecutter"] |= {question: answer, "project_slug": "other"}
    (tmp_path / "edited.json").write_text(json.dumps(answers))
    command = [BIN / "cookiecutter", TEMPLATE, "--replay-file", tmp_path / "edited.json"]
    assert f"{question} '{answer}' is unknown" in run(tmp_path, *command, succeeds=False).stdout
    assert not (tmp_path / "other").exists()
