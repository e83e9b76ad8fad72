"""`make experiment` for real: other parameters, and a workspace that does not notice."""

import hashlib
import json
import re
import sqlite3
from pathlib import Path

import pytest
from helpers import Factory, git, run

MINE = {".git", ".dvc", ".venv", "mlflow.db", "mlartifacts", "__pycache__"}


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A project that was trained once; nothing of that is committed."""
    created = make_project()
    path = created / "params.yaml"
    path.write_text(path.read_text().replace("_month: 50000", "_month: 1000"))
    git(created, "commit", "--quiet", "--no-verify", "--all", "--message", "Few rows")
    run(created, "make", "train")
    path.write_text(path.read_text() + "# not committed\n")
    return created


def workspace(project: Path) -> dict[str, str]:
    """Every file of the project, but for the stores of git, DVC and MLflow."""
    paths = (path for path in project.rglob("*") if path.is_file())
    own = (path for path in paths if not MINE & set(path.relative_to(project).parts))
    return {str(path): hashlib.md5(path.read_bytes()).hexdigest() for path in own}


def query(project: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute(sql).fetchall()


def row(output: str, name: str) -> list[str]:
    """The cells of a line of the table of experiments."""
    table = [line.split("|")[1:-1] for line in output.splitlines() if line.startswith("|")]
    [cells] = [cells for cells in table if f"[{name}]" in cells[0] or cells[0].strip() == name]
    return [cell.strip() for cell in cells[1:]]


def test_an_experiment_leaves_the_workspace_alone(project: Path) -> None:
    before, status = workspace(project), git(project, "status", "--porcelain")
    said = run(project, "make", "experiment", "SET=train.model=linear", "NAME=simple").stdout
    assert workspace(project) == before
    assert git(project, "status", "--porcelain") == status
    ours = json.loads((project / "reports/metrics.json").read_text())["test"]
    now, simple = row(said, "workspace"), row(said, "simple")
    assert now[:3] == [f"{value:.5g}" for value in ours.values()]
    assert now[3:] == ["lightgbm"] and simple[3:] == ["linear"] and now[0] != simple[0]
    assert said.endswith("`.venv/bin/dvc exp branch simple` makes a git branch of it.\n")
    assert "Running stage 'evaluate'" in said
    tagged = "select run_uuid from tags where key = 'trigger' and value = 'experiment'"
    [(run_id,)] = query(project, tagged)
    where = f"run_uuid = '{run_id}' and key = 'train.model'"
    assert query(project, f"select value from params where {where}") == [("linear",)]
    assert query(project, "select version from model_versions") == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["SET=train.rate=1"], "params.yaml: train.rate: unknown key"),
        (["SET=train.model=linear", "NAME=simple"], "conflicts with existing experiment 'simple'"),
    ],
)
def test_what_cannot_be_tried_is_said_before_anything_runs(
    project: Path, arguments: list[str], said: str
) -> None:
    before = git(project, "for-each-ref"), workspace(project)
    answer = run(project, "make", "experiment", *arguments, succeeds=False).stdout
    assert said in answer and "Running stage" not in answer and "Traceback" not in answer
    assert (git(project, "for-each-ref"), workspace(project)) == before


def test_code_that_git_does_not_know_is_named(project: Path) -> None:
    new = project / "src/my_project/features/extra.py"
    new.touch()
    answer = run(project, "make", "experiment", "SET=seed=1", succeeds=False).stdout
    assert "git does not track src/my_project/features/extra.py" in answer
    new.unlink()


def test_an_experiment_becomes_a_branch_that_trains(project: Path) -> None:
    run(project, ".venv/bin/dvc", "exp", "branch", "simple", "linear-model")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "--message", "As it was")
    git(project, "switch", "--quiet", "linear-model")
    said = run(project, "make", "train").stdout
    assert re.findall(r"Running stage '(\w+)'", said) == ["register"], "the rest is there already"
    assert "version 2" in said
    [(run_id,)] = query(project, "select run_id from model_versions where version = 2")
    [(model,)] = query(
        project, f"select value from params where run_uuid = '{run_id}' and key = 'train.model'"
    )
    assert model == "linear"


def test_mlflow_run_trains_and_tries_parameters(project: Path) -> None:
    command = (".venv/bin/mlflow", "run", ".", "--env-manager", "local")
    said = run(project, *command).stdout
    assert "Data and pipelines are up to date" in said or "register" in said
    run(project, *command, "-P", "changes=train.model=linear train.linear.alpha=2.0")
    [(value,)] = query(
        project, "select value from params where key = 'train.linear.alpha' and value = '2.0'"
    )
    assert value == "2.0"


def test_ci_measures_the_coverage_of_the_users_package(project: Path) -> None:
    said = run(project, "make", "test", "ARGS=tests/test_features.py --cov").stdout
    [share] = re.findall(r"^TOTAL.*?(\d+)%$", said, re.MULTILINE)
    assert 0 < int(share) < 100
    assert "src/my_project/features/definitions.py" in said
    assert "mlops_loop" not in said[said.index("TOTAL") - 4000 : said.index("TOTAL")]
