"""The verbs that need no trained model; tests/test_users_day.py lives with the others."""

import json
from pathlib import Path

import pytest
from helpers import BIN, Factory, git, render, run


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    return make_project()


def test_help_lists_every_verb(project: Path) -> None:
    said = run(project, "make").stdout
    database = run(project, "make", "--print-data-base", "--dry-run", "help").stdout
    phony = next(line for line in database.splitlines() if line.startswith(".PHONY:"))
    verbs = set(phony.split()[1:])
    assert {"setup", "data", "train", "predict", "check", "fix", "test", "metrics"} <= verbs
    start, *lines = filter(None, said.splitlines())
    assert start.startswith("Start here: make train.")
    assert [line for line in lines if line[0] != " "] == ["Pipeline", "Model", "Tools"]
    listed = [line.split() for line in lines if line[0] == " "]
    assert {verb for verb, *_ in listed} == verbs - {"help"}
    assert len(verbs) <= 24
    assert all(words[1] not in {"what", "the", "a"} for words in listed)


def test_an_argument_reaches_the_program_as_it_is(project: Path) -> None:
    show = "show: ; @printf %s $(OPTIONS)"
    for argument in ("it's", "a b", "`date`", '"', "a;b", "#"):
        said = run(project, "make", "--silent", "--eval", show, "show", f"A={argument}").stdout
        assert said == f"--A={argument}"
    assert run(project, "make", "--silent", "--eval", show, "show", A="environment").stdout == ""


def test_a_misspelt_argument_is_named(project: Path) -> None:
    said = run(project, "make", "explain", "VERSOIN=3", succeeds=False).stdout
    assert "make explain: error: unrecognized arguments: --VERSOIN=3" in said


def test_scripts_are_plain_shell(project: Path) -> None:
    scripts = sorted((project / "make").glob("*.sh"))
    run(project, BIN / "shellcheck", "--shell=sh", *scripts)


@pytest.mark.parametrize("verb", ["data", "explain", "test", "pull"])
def test_a_verb_without_an_environment_makes_it_first(verb: str, tmp_path: Path) -> None:
    assert "make/setup.sh" in run(render(tmp_path), "make", "--dry-run", verb).stdout


def test_predict_asks_for_its_files(project: Path) -> None:
    said = run(project, "make", "predict", "INPUT=new.csv", succeeds=False).stdout
    assert "make predict INPUT=new.csv OUTPUT=scored.parquet" in said


def test_metrics_are_compared_with_a_commit(project: Path) -> None:
    assert "No metric or parameter differs." in run(project, "make", "metrics").stdout
    report = project / "reports" / "metrics.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"test": {"rmse": 4.0}}))
    params = project / "params.yaml"
    original = params.read_text()
    params.write_text(original.replace("seed: 42", "seed: 43"))
    assert "test.rmse" in run(project, "make", "metrics").stdout
    git(project, "add", "--force", "reports/metrics.json")
    git(project, "commit", "--quiet", "--no-verify", "--message", "Metrics")
    report.write_text(json.dumps({"test": {"rmse": 3.5}}))
    table = run(project, "make", "--silent", "metrics", "BASE=HEAD", "MD=1").stdout
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
    assert ["", "reports/metrics.json", "test.rmse", "4.0", "3.5", "-0.5", ""] in rows
    assert ["", "params.yaml", "seed", "42", "43", ""] in rows
    report.unlink()
    params.write_text(original)


def test_lock_keeps_the_committed_versions(project: Path) -> None:
    locks = sorted((project / "requirements").glob("*.txt"))
    assert [lock.stem for lock in locks] == [
        "base",
        "dev",
        "estimators",
        "notebook",
        "remote",
        "tune",
    ]
    before = [pins(lock) for lock in locks]
    run(project, "make", "lock")
    assert [pins(lock) for lock in locks] == before
    git(project, "checkout", "--quiet", "requirements")


def pins(lock: Path) -> list[str]:
    """The versions of a lock; a release may gain files, and so hashes, at any time."""
    return [line.split()[0] for line in lock.read_text().splitlines() if "==" in line]


def test_ui_points_to_the_teams_server(project: Path) -> None:
    said = run(project, "make", "ui", MLFLOW_TRACKING_URI="https://mlflow.example.org").stdout
    assert "https://mlflow.example.org" in said


def test_notebook_adds_its_own_lock(project: Path) -> None:
    planned = run(project, "make", "--dry-run", "notebook").stdout
    assert "--require-hashes" in planned
    assert "--requirement requirements/notebook.txt" in planned
    assert "jupyter lab --notebook-dir notebooks" in planned
