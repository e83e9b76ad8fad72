"""Level operations: the DAGs run in an Airflow of their own, for real."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import Factory, git, run
from webhooks import running, webhook

STEPS = ["extract", "validate_data", "prepare", "train", "evaluate", "validate_model", "upload"]
TRAINED = [*STEPS, "is_promoted", "announce"]
DAY = "2023-05-05"
# The clone's remote is away, then it is there, with a worse model.
TWICE = """
import runpy
from datetime import UTC, datetime
from pathlib import Path
training = runpy.run_path("dags/loop.py")["DAGS"][0]
Path(".airflow/origin").rename(".airflow/away")
assert training.test(logical_date=datetime(2023, 5, 5, 1, tzinfo=UTC)).state == "failed"
Path(".airflow/away").rename(".airflow/origin")
assert training.test(logical_date=datetime(2023, 5, 5, 2, tzinfo=UTC)).state == "success"
"""


def select(file: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with closing(sqlite3.connect(file)) as store:
        return store.execute(query).fetchall()


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A project whose DAGs ran once, for a day whose window begins and ends within the sample."""
    created = make_project(level="operations")
    edit(created, "_month: 50000", "_month: 1500")
    run(created, "make", "airflow-test", f"DATE={DAY}")
    return created


def edit(project: Path, old: str, new: str) -> None:
    """Change params.yaml, and commit."""
    params = project / "params.yaml"
    assert old in params.read_text()
    params.write_text(params.read_text().replace(old, new))
    git(project, "commit", "--quiet", "--no-verify", "--all", "--message", new)


def runs(project: Path) -> list[dict[str, tuple[str, int]]]:
    """State and number of tries of each task by run, in the order in which they began."""
    query = "select run_id, task_id, state, try_number from task_instance where dag_id = 'training'"
    found: dict[str, dict[str, tuple[str, int]]] = {}
    order = " order by coalesce(start_date, '9'), end_date"
    for number, name, *came in select(project / ".airflow/home/airflow.db", query + order):
        found.setdefault(number, {})[name] = tuple(came)
    return list(found.values())


def test_dags_have_the_settings_of_a_loop(project: Path) -> None:
    stored = select(project / ".airflow/home/airflow.db", "select data from serialized_dag")
    dags = {dag["dag_id"]: dag for dag in (json.loads(text)["dag"] for (text,) in stored)}
    assert {name: dag["timetable"]["__var"]["expression"] for name, dag in dags.items()} == {
        "loop": "0 4 * * *",
        "training": "0 5 * * *",
        "batch_scoring": "0 6 * * *",
    }
    for dag in dags.values():
        assert (dag["catchup"], dag["max_active_runs"], dag["tags"]) == (False, 1, ["my_project"])
        for task in (task["__var"] for task in dag["tasks"]):
            assert (task["retries"], task["has_on_failure_callback"]) == (2, True)


def test_seven_steps_end_with_a_champion_of_the_window(project: Path) -> None:
    [done] = runs(project)
    assert done == dict.fromkeys(TRAINED, ("success", 1))
    assert list(done) == TRAINED
    clone = project / ".airflow/clone"
    aliases = select(clone / "mlflow.db", "select alias, version from registered_model_aliases")
    assert aliases == [("champion", 1)]
    tags = dict(select(clone / "mlflow.db", "select key, value from model_version_tags"))
    assert (tags["trigger"], tags["git_dirty"]) == ("airflow", "false")
    branch = f"airflow/{DAY.replace('-', '')}T000000"
    assert git(project / ".airflow/origin", "rev-parse", f"{branch}^") == tags["git_commit"]
    params = git(clone, "show", f"{tags['git_commit']}:params.yaml")
    assert "  since: '2023-03-21' " in params and "  until: '2023-04-20' " in params
    rows = pl.read_parquet(clone / "data/interim/*/*.parquet")["lpep_pickup_datetime"].dt.date()
    assert (str(rows.min()), str(rows.max())) == ("2023-03-21", "2023-04-19")
    raw = git(clone, "show", f"{branch}:dvc.lock").split("path: data/raw")[-1]
    digest = re.search(r"md5: (\w\w)(\w+\.dir)", raw)
    assert (project / ".airflow/store/files/md5" / digest[1] / digest[2]).exists()


def test_the_batch_is_scored_and_the_loop_took_its_turn(project: Path) -> None:
    clone = project / ".airflow/clone"
    scored = select(
        clone / ".serving/batches/tables.db",
        "select batch, model_version, count(prediction) from scores group by 1, 2",
    )
    assert [(batch.split()[0], *rest) for batch, *rest in scored] == [
        ("sample_2023-04.parquet", 1, 1500)
    ]
    history = select(clone / "history.db", "select event, by, version from history order by id")
    assert ("check", "loop", 1) in history and ("trigger", "loop", None) in history


def test_the_project_itself_stays_as_it_was(project: Path) -> None:
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "branch", "--list", "--format=%(refname:short)") == "main"
    assert not (project / "mlflow.db").exists()


def test_a_failure_is_retried_and_told_and_a_worse_model_is_held(project: Path) -> None:
    edit(project, "max_trees: 250", "max_trees: 2")
    git(project, "push", "--quiet", ".airflow/origin", "main")
    home, got = project / ".airflow", list[dict[str, Any]]()
    with running(webhook([200] * 9, got)) as port:
        run(
            project,
            ".airflow/venv/bin/python",
            "-c",
            TWICE,
            PYTHONPATH="src",
            AIRFLOW_HOME=str(home / "home"),
            AIRFLOW__CORE__DAGS_FOLDER=str(project / "dags"),
            AIRFLOW__CORE__LOAD_EXAMPLES="false",
            AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY="1",
            AIRFLOW_VAR_PROJECT=str(home / "clone"),
            NOTIFY_WEBHOOK=f"http://127.0.0.1:{port}",
        )
    _, failed, held = runs(project)
    assert failed.pop("extract") == ("failed", 3)
    assert set(failed.values()) == {("upstream_failed", 0)}
    [message] = got
    assert message["text"].startswith("*my-project: task failed*\ntraining.extract: ")
    assert {name: state for name, (state, _) in held.items()} == {
        **dict.fromkeys([*STEPS, "is_promoted"], "success"),
        "announce": "skipped",
    }
    gate = json.loads((home / "clone/reports/gate.json").read_text())
    assert (gate["decision"], gate["version"], gate["alias"]) == ("hold", 2, None)
    query = "select alias, version from registered_model_aliases"
    assert select(home / "clone/mlflow.db", query) == [("champion", 1)]
