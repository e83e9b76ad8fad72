"""Level operations: a champion is watched, and the loop takes its turns."""

import json
from pathlib import Path

import polars as pl
import pytest
from helpers import Factory, run

# What the service and its users leave behind, a row an entry.
LOG = """
import sys, polars as pl
from mlops_loop.database import database
from mlops_loop.serving import log_tables as log
from my_project import PROJECT
from my_project.features.definitions import TARGET
rows = pl.read_parquet(sys.argv[1]).with_row_index("id").with_columns(pl.col("id").cast(pl.String))
asked = rows.drop("id", "lpep_dropoff_datetime").cast({pl.Datetime: pl.String}).to_dicts()
same = {"version": 1, "alias": "champion", "strategy": "single", "shown": True, "latency_ms": 1.0}
same |= {"request_id": "r", "environment": "local", "code_version": "none", "output": {}}
told = rows.select("id", "lpep_pickup_datetime", TARGET).rows()
PROJECT.log.parent.mkdir(exist_ok=True)
engine = database(log.url(PROJECT))
log.prepare(engine)
with engine.begin() as connection:
    entries = [
        {"id": id, "time": at, "inputs": inputs, **same}
        for (id, at, _), inputs in zip(told, asked)
    ]
    log.insert(connection, log.predictions, entries)
    truths = [{"id": id, "prediction_id": id, "time": at, "actual": y} for id, at, y in told]
    log.insert(connection, log.feedback, truths)
"""


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A trained project of this level."""
    created = make_project(level="operations")
    params = created / "params.yaml"
    params.write_text(params.read_text().replace("_month: 50000", "_month: 3000"))
    run(created, "make", "train")
    return created


def check(project: Path, batch: str) -> int:
    """The exit code for a scheduler."""
    command = ("my_project.monitoring", "check", f"--batch={batch}")
    return run(project, ".venv/bin/python", "-m", *command, succeeds=None).returncode


def test_the_champion_is_watched_until_the_world_changes(project: Path) -> None:
    rows = pl.read_parquet(project / "data" / "raw" / "*2023-04*.parquet")
    start, end = pl.col("lpep_pickup_datetime"), pl.col("lpep_dropoff_datetime")
    moved = rows.with_columns((pl.selectors.datetime() + pl.duration(days=28)).name.keep())
    moved.write_parquet(project / "data" / "external" / "labelled.parquet")
    slower = moved.with_columns(end + (end - start) * 0.5)
    slower.write_parquet(project / "data" / "external" / "slower.parquet")

    said = run(project, "make", "monitor", "BATCH=data/external/labelled.parquet").stdout
    assert "act" not in said.splitlines()[0]
    assert check(project, "data/external/slower.parquet") == 20
    latest = json.loads((project / "reports/monitoring/latest.json").read_text())
    assert latest["loss"]["observed_over_expected"] > 1.3
    assert (project / "reports/monitoring/index.html").stat().st_size > 10_000
    assert check(project, "data/external/none.parquet") == 1

    run(project, ".venv/bin/python", "-c", LOG, "data/external/labelled.parquet")
    log = {}
    for command in (["make", "monitor"], ["make", "monitor", "SINCE=2023-05-10"]):
        said = run(project, *command).stdout
        assert "act" not in said.splitlines()[0]
        log[len(command)] = json.loads((project / "reports/monitoring/latest.json").read_text())
    assert log[2]["source"] == "the prediction log"
    assert log[2]["labelled"] > 2_000
    assert log[3]["days"]["first"] == "2023-05-10"

    run(project, "make", "label", "N=5", "OUTPUT=to_label.csv", succeeds=False)  # all have truths
    (project / "truths.csv").write_text("prediction_id,actual\n0,9.5\nstranger,1\n")
    said = run(project, "make", "feedback", "FILE=truths.csv").stdout
    assert "1 truths written" in said
    assert "1 rows are of no prediction in the log" in said


def test_a_turn_of_the_loop_is_told_by_the_history_and_stopped_by_a_freeze(project: Path) -> None:
    turn = (".venv/bin/python", "-m", "my_project.monitoring", "turn")
    said = run(project, "make", "loop").stdout
    assert "version 1\n" in said and "\nretraining: none: no trigger fires" in said
    assert run(project, *turn, succeeds=None).returncode in (0, 10)
    run(project, "make", "freeze", "REASON=an audit")
    assert "an audit; nothing else is done." in run(project, "make", "loop").stdout
    run(project, "make", "freeze", "OFF=1")
    lines = run(project, "make", "history").stdout.splitlines()
    told = [line.split()[2] for line in lines if line.startswith("20")]  # others continue a reason
    known = ("promote", "gate", "check", "trigger", "freeze", "unfreeze")
    assert list(dict.fromkeys(event for event in told if event in known)) == [*known]
    assert "first model" in run(project, "make", "history", "EVENT=gate").stdout
    run(project, "make", "history", "PREDICTION=7")
    page = (project / "reports" / "history" / "7.html").read_text()
    commit = run(project, "git", "rev-parse", "HEAD").stdout.strip()
    assert f"<td>git_commit</td>\n<td>{commit}</td>" in page
