"""`make tune` for real: what it writes, what it may see, and what an interruption costs."""

import csv
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import Factory, git, run, shell

TRIALS, MANY = 6, 60  # the second are never reached
CURRENT = {
    "train.learning_rate": "0.001",
    "train.lightgbm.num_leaves": "127",
    "train.lightgbm.min_child_samples": "50",
}

SEARCH = ("-m", "my_project", "tune", f"--trials={TRIALS}")
POISON = """
from pathlib import Path
import polars as pl
for split in ("validation", "test"):
    for path in Path("data/processed", split).glob("*.parquet"):
        rows = pl.read_parquet(path)
        path.unlink()  # it may be a link into DVC's cache
        rows.with_columns(rows[:, -1] * 1_000 + 7).write_parquet(path)
"""


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A project with few rows and a learning rate that any other beats, up to features."""
    created = make_project()
    path = created / "params.yaml"
    text = (
        path.read_text()
        .replace("_month: 50000", "_month: 1500")
        .replace("max_trees: 250", "max_trees: 40 ")
    )
    path.write_text(text.replace("  learning_rate: 0.1  ", "  learning_rate: 0.001"))
    run(created, "make", "data")
    git(created, "add", "--all")
    git(created, "commit", "--quiet", "--no-verify", "--message", "Few rows")
    return created


@dataclass(frozen=True)
class Tuned:
    """Output of the first search, and its trials."""

    said: str
    trials: list[dict[str, str]]


@pytest.fixture(scope="module")
def tuned(project: Path) -> Tuned:
    """A search that nothing interrupted."""
    said = run(project, "make", "tune", f"TRIALS={TRIALS}").stdout
    return Tuned(said, trials(project))


def trials(project: Path) -> list[dict[str, str]]:
    """reports/tuning/trials.csv without what differs from run to run."""
    with (project / "reports/tuning/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    counted = [row for row in rows if row["state"] in ("COMPLETE", "PRUNED")]
    passing = ("number", "datetime_start", "datetime_complete", "duration")
    return [{k: v for k, v in row.items() if k not in passing} for row in counted]


def query(project: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute(sql).fetchall()


def forget(project: Path) -> None:
    """Forget every search and what it wrote."""
    shutil.rmtree(project / "reports/tuning", ignore_errors=True)
    (project / "tuning.db").unlink(missing_ok=True)
    git(project, "checkout", "--quiet", "params.yaml")


def test_the_best_parameters_are_a_small_diff(project: Path, tuned: Tuned) -> None:
    found, said = tuned.trials, tuned.said
    assert f"{TRIALS} trials are done" in said
    assert len(found) == TRIALS
    assert all(found[0][f"params_{key}"] == value for key, value in CURRENT.items())
    complete = (row for row in found if row["state"] == "COMPLETE")
    best = min(complete, key=lambda row: float(row["value"]))
    [gain] = re.findall(r"on validation rmse improves by (\S+) \((\S+) to (\S+)\)", said)
    better, low, high = map(float, gain)
    assert 0 < low < better < high
    diff = git(project, "diff", "--unified=0", "params.yaml").splitlines()[4:]
    keys = [name for name in CURRENT if best[f"params_{name}"] != CURRENT[name]]
    lines = [line for line in diff if line[0] in "+-"]
    assert (
        [line[0] for line in lines].count("+")
        == [line[0] for line in lines].count("-")
        == len(keys)
    )
    for key in keys:
        assert key in said
        added = [line for line in lines if line.startswith("+  ") and key.split(".")[-1] in line]
        assert float(re.findall(r": ([\d.]+)", added[0])[0]) == float(best[f"params_{key}"])
    assert git(project, "status", "--porcelain") == "M params.yaml"
    for picture in ("history", "importance"):
        assert (project / f"reports/tuning/{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_every_trial_is_a_run_below_one(project: Path, tuned: Tuned) -> None:
    [(parent,)] = query(project, "select run_uuid from runs where name = 'tune'")
    below = "select run_uuid from tags where key = 'mlflow.parentRunId' and value = ?"
    with sqlite3.connect(project / "mlflow.db") as store:
        runs = [run_id for (run_id,) in store.execute(below, (parent,))]
    assert len(runs) == TRIALS
    for run_id in runs:
        figures = dict(
            query(project, f"select key, value from metrics where run_uuid = '{run_id}'")
        )
        params = dict(query(project, f"select key, value from params where run_uuid = '{run_id}'"))
        tags = dict(query(project, f"select key, value from tags where run_uuid = '{run_id}'"))
        assert set(figures) == {"rmse"}
        assert set(params) == set(CURRENT)
        assert tags["state"] in ("complete", "pruned") and tags["sweep"].startswith("lightgbm-")
    assert query(project, "select distinct status from runs") == [("FINISHED",)]
    assert query(project, "select count(*) from model_versions") == [(0,)]
    assert (project / f"mlartifacts/{parent}/artifacts/tuning/trials.csv").exists()


def test_a_finished_search_says_so(project: Path, tuned: Tuned) -> None:
    said = run(project, "make", "tune", f"TRIALS={TRIALS}").stdout
    assert f"{TRIALS} trials are done" in said and "installing" not in said
    assert "The current parameters are the best; params.yaml stays as it is." in said
    assert trials(project) == tuned.trials


def test_the_search_sees_neither_validation_nor_test(project: Path, tuned: Tuned) -> None:
    forget(project)
    run(project, ".venv/bin/python", "-c", POISON)
    run(project, ".venv/bin/python", *SEARCH)
    assert trials(project) == tuned.trials
    run(project, ".venv/bin/dvc", "checkout", "--quiet", "--force", "data/processed")


def test_a_search_that_is_killed_resumes(project: Path, tuned: Tuned) -> None:
    forget(project)
    text = (project / "params.yaml").read_text()
    interrupt(project, 1, signal.SIGKILL)
    assert (project / "params.yaml").read_text() == text
    run(project, ".venv/bin/python", *SEARCH)
    assert len(trials(project)) >= TRIALS and trials(project)[0] == tuned.trials[0]
    assert (project / "params.yaml").read_text() != text
    assert query(project, "select distinct status from runs") == [("FINISHED",)]


def interrupt(project: Path, after: int, by: signal.Signals) -> str:
    """Start a search, end it in a trial after so many, and return what it said."""
    with subprocess.Popen(
        [project / ".venv/bin/python", *SEARCH[:-1], f"--trials={MANY}"],
        cwd=project,
        env={**shell(), "PYTHONPATH": str(project / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as search:
        wait_for_trials(project, after, search)
        search.send_signal(by)
        said, _ = search.communicate()
    assert search.returncode
    return said


def wait_for_trials(project: Path, number: int, search: subprocess.Popen) -> None:
    """Until so many trials have ended and another one runs."""
    while search.poll() is None:
        time.sleep(0.02)
        try:
            with sqlite3.connect(f"file:{project / 'tuning.db'}?mode=ro", uri=True) as study:
                states = [state for (state,) in study.execute("select state from trials")]
        except sqlite3.OperationalError:
            continue
        if "RUNNING" in states and len(states) > number:
            return


def test_a_search_that_cannot_be_changes_nothing(project: Path, tuned: Tuned) -> None:
    git(project, "checkout", "--quiet", "params.yaml")
    path = project / "params.yaml"
    path.write_text(
        path.read_text().replace("{low: 15, high: 255, log: true}", "{low: 15, high: 5}")
    )
    text, runs = path.read_text(), query(project, "select count(*) from runs")
    answer = run(project, "make", "tune", succeeds=False).stdout
    assert "tune.space.lightgbm.lightgbm.num_leaves: `low <= high` must hold" in answer
    assert path.read_text() == text and query(project, "select count(*) from runs") == runs
