"""Level operations: a version is trained from the log in a clone, approved, and reproduced."""

import json
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from helpers import Factory, git, run, shell

# A month of trips that take longer than any before, as the service and its users leave them behind.
LOG = """
import polars as pl
from mlops_loop.database import database
from mlops_loop.serving import log_tables as log
from my_project import PROJECT
from my_project.data.sources.sample import simulate
from my_project.features.definitions import TARGET
rows = simulate("2023-05", 1_500, 1).with_columns((1.4 * TARGET).alias("truth"))
same = {"version": 1, "alias": "champion", "strategy": "single", "shown": True, "latency_ms": 1.0}
same |= {"request_id": "r", "environment": "local", "code_version": "none", "output": {}}
asked = rows.drop("truth").cast({pl.Datetime: pl.String}).to_dicts()
told = rows.select("lpep_pickup_datetime", "truth").rows()
said = [{**same, "id": str(n), "time": told[n][0], "inputs": asked[n]} for n in range(len(told))]
came = [{"id": e["id"], "prediction_id": e["id"], "time": e["time"]} for e in said]
PROJECT.log.parent.mkdir()
engine = database(log.url(PROJECT))
log.prepare(engine)
with engine.begin() as connection:
    log.insert(connection, log.predictions, said)
    log.insert(connection, log.feedback, [
        {**entry, "actual": truth} for entry, (_, truth) in zip(came, told)
    ])
"""
CHANGED = {
    "_month: 50000": "_month: 1000",
    "max_trees: 250": "max_trees: 40",
    "approval: auto": "approval: human",
    "old_and_fresh: {days: 42}": "slow: {train.learning_rate: 0.001}",
    "fresh: {days: 14}": "fresh: {days: 42, prepare.old_share: 0.2}",
}
STATEFUL = {
    "slow: {train.learning_rate: 0.001}": "on: {stateful: 3, train.max_trees: 20, tune: true}",
    "    fresh: {days: 42, prepare.old_share: 0.2}": "#",
    "trials: 30": "trials: 2",
}


@pytest.fixture(scope="module")
def project(make_project: Factory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project with remotes, whose user goes on working: not everything is committed."""
    folder = tmp_path_factory.mktemp("retrained")
    created = make_project(folder, level="operations")
    params = created / "params.yaml"
    for old, new in CHANGED.items():
        assert old in params.read_text()
        params.write_text(params.read_text().replace(old, new))
    git(folder, "init", "--quiet", "--bare", "team.git")
    git(created, "remote", "add", "origin", str(folder / "team.git"))
    run(created, ".venv/bin/dvc", "remote", "add", "--default", "store", str(folder / "store"))
    git(created, "config", "user.name", "Lo Op")
    git(created, "commit", "--quiet", "--no-verify", "--all", "--message", "Few rows")
    run(created, "make", "train")
    git(created, "add", "--all")
    git(created, "commit", "--quiet", "--no-verify", "--message", "Version 1")
    params.write_text(params.read_text() + "# not committed\n")
    run(created, ".venv/bin/python", "-c", LOG)
    return created


def registry(project: Path) -> dict[str, object]:
    """Aliases and the tags of the versions."""
    with sqlite3.connect(project / "mlflow.db") as store:
        aliases = dict(store.execute("select alias, version from registered_model_aliases"))
        tags: dict[int, dict[str, str]] = {}
        query = "select version, key, value from model_version_tags order by version"
        for version, key, value in store.execute(query):
            tags.setdefault(version, {})[key] = value
    return {"aliases": aliases, "tags": tags}


def work(project: Path) -> tuple[str, str, dict[str, int]]:
    """The user's work: the commit, what is not committed, and every file that git knows."""
    names = git(project, "ls-files").splitlines()
    times = {name: (project / name).stat().st_mtime_ns for name in names}
    return git(project, "rev-parse", "HEAD"), git(project, "status", "--porcelain"), times


def test_killed_on_its_way_it_leaves_everything_as_it_was(project: Path) -> None:
    before = registry(project), git(project, "for-each-ref"), work(project)
    process = subprocess.Popen(
        [
            project / ".venv/bin/python",
            "-m",
            "my_project.monitoring",
            "retrain",
            "--TRIGGER=manual",
        ],
        cwd=project,
        env={**shell(), "PYTHONPATH": str(project / "src"), "TMPDIR": str(project.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    while "Running stage 'prepare'" not in process.stdout.readline():
        assert process.poll() is None
    said = run(project, "make", "retrain", "TRIGGER=manual", succeeds=False).stdout
    assert "another turn or retraining is at work" in said
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (registry(project), git(project, "for-each-ref"), work(project)) == before


def test_it_starts_over_and_the_version_waits_for_a_person(project: Path) -> None:
    before = work(project)
    said = run(project, "make", "retrain", "TRIGGER=manual").stdout
    assert work(project) == before
    slow, fresh = (float(re.search(rf"{n} ([\d.]+)", said)[1]) for n in ("slow", "fresh"))
    assert fresh < slow
    assert "fresh, version 2, is waiting: rmse is better by " in said
    [branch] = git(project, "branch", "--list", "--format=%(refname:short)", "loop/*").splitlines()
    assert re.fullmatch(r"loop/\d{4}-\d\d-\d\d-1", branch)
    found = registry(project)
    tags = found["tags"][2]
    assert found["aliases"] == {"champion": 1, "challenger": 2}
    assert (tags["trigger"], tags["git_dirty"], tags["author"]) == ("manual", "false", "Lo Op")
    assert (
        git(project, "rev-parse", "refs/loop/v2", f"{branch}^").splitlines()
        == [tags["git_commit"]] * 2
    )
    assert git(project, "log", "-1", "--format=%an: %s", "refs/loop/v2") == (
        "Lo Op: Retrain fresh, manual: TRIGGER=manual"
    )
    params = git(project, "show", f"{branch}:params.yaml")
    for line in ("source: log", "beside: sample", "old_share: 0.2", "test_from: '2023-05-28'"):
        assert f"  {line}" in params
    assert "# not committed" not in params
    metrics = json.loads(git(project, "show", f"{branch}:reports/metrics.json"))
    assert metrics["test"]["rmse"] == pytest.approx(fresh, rel=1e-3)
    rows = json.loads(git(project, "show", f"{branch}:reports/validation.json"))["rows"]
    assert 1_400 < rows["log_2023-05.parquet"] <= 1_500 and len(rows) == 5
    assert git(project.parent / "team.git", "rev-parse", branch) == git(
        project, "rev-parse", branch
    )
    raw = git(project, "show", f"{branch}:dvc.lock").split("path: data/raw")[-1]
    digest = re.search(r"md5: (\w\w)(\w+\.dir)", raw)
    assert (project.parent / "store/files/md5" / digest[1] / digest[2]).exists()


def test_an_approved_version_is_the_champion_and_reproducible(project: Path) -> None:
    run(project, "make", "approve", "REASON=looks right")
    assert registry(project)["aliases"] == {"champion": 2, "previous": 1}
    [branch] = git(project, "branch", "--list", "--format=%(refname:short)", "loop/*").splitlines()
    git(project, "branch", "-D", branch)
    said = run(project, "make", "reproduce", "VERSION=2").stdout
    assert "version 2 is reproduced: the same model" in said
    with sqlite3.connect(project / "history.db") as store:
        query = "select event, version, reason from history where event != 'gate' order by id"
        events = store.execute(query).fetchall()
    verbs = ["promote", "trigger", "retrain", "approve", "promote"]
    assert [event for event, _, _ in events] == verbs, "what was killed is recorded once"
    assert events[-2:] == [("approve", 2, "looks right"), ("promote", 2, "looks right")]


def test_a_stateful_candidate_continues_the_champion_and_is_reproducible(project: Path) -> None:
    params, later = project / "params.yaml", LOG.replace("2023-05", "2023-06")
    later = later.replace("PROJECT.log.parent.mkdir()\n", "").replace("str(n)", "f'june-{n}'")
    run(project, ".venv/bin/python", "-c", later)
    run(project, "make", "setup", "EXTRA=tune")
    for old, new in STATEFUL.items():
        assert old in params.read_text()
        params.write_text(params.read_text().replace(old, new))
    git(project, "commit", "--quiet", "--no-verify", "--all", "--message", "Stateful")
    said = run(project, "make", "retrain", "TRIGGER=manual").stdout
    assert "on, version 3, is waiting: rmse is better by " in said, said
    branch = git(project, "branch", "--list", "--format=%(refname:short)", "loop/*").split()[-1]
    trained = git(project, "show", f"{branch}:params.yaml")
    assert "  base: 2 " in trained and "since: '2023-05-" in trained
    with sqlite3.connect(project / "history.db") as store:
        query = "select content from history where event = 'retrain' order by id desc limit 1"
        [content] = store.execute(query).fetchone()
    assert json.loads(content)["base"] == 2
    said = run(project, "make", "reproduce", "VERSION=3").stdout
    assert "version 3 is reproduced: the same model" in said
