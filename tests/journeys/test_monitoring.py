"""Level operations: a champion is watched on labelled files, and the verdict is an exit code."""

import json
from pathlib import Path

import polars as pl
import pytest
from helpers import render, run

STAMP = "stamp: ; @touch $(LOCKED)"  # the libraries of the service, which the monitor does without


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Path:
    """A trained project of this level."""
    created = render(tmp_path_factory.mktemp("watched"), level="operations")
    (created / ".venv").symlink_to(environment)
    run(created, "make", "--eval", STAMP, "stamp")
    run(created, "make", "setup")
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
    assert check(project, "data/external/labelled.parquet") in (0, 10)
    assert check(project, "data/external/slower.parquet") == 20
    latest = json.loads((project / "reports/monitoring/latest.json").read_text())
    assert latest["loss"]["observed_over_expected"] > 1.3
    assert (project / "reports/monitoring/index.html").stat().st_size > 10_000
    assert check(project, "data/external/none.parquet") == 1
