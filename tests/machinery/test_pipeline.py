"""DVC as `make train` calls it, and the pages of `make ui`: what is printed, and how they end."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import git, shell
from mlops_loop.commands import pipeline, records
from mlops_loop.project import UserError
from projects import PYPROJECT, Project

STAGES = """
stages:
  first:
    cmd: echo first | tee first.txt
    outs: [first.txt]
  second:
    cmd: python -c "import time; print('it works', flush=True); time.sleep({seconds})"
    deps: [first.txt]
"""
ASKED = """
stages:
  ingest:
    cmd: echo asked >> asked.txt; echo rows > rows.txt
    outs: [rows.txt]
  featurize:
    cmd: cat rows.txt > features.txt
    deps: [rows.txt]
    outs: [features.txt]
  train:
    cmd: cat features.txt > model.txt
    deps: [features.txt]
    outs: [model.txt]
"""
TRAIN = """
import sys
from pathlib import Path
from mlops_loop.commands import pipeline
from mlops_loop.project import Paths, run
run(lambda: pipeline.main(Paths(Path.cwd(), Path.cwd()), []))
"""


@pytest.fixture
def piped(tmp_path: Path) -> Project:
    """A project whose pipeline has two stages."""
    project = Project(tmp_path / "piped")
    project.root.mkdir()
    project.pyproject.write_text(PYPROJECT)
    project.contract.write_text("# max_age_days: 3\n")
    git(project.root, "init", "--quiet")
    pipeline.dvc(project.root, "init", "--quiet")
    return project


def run_stages(project: Project, seconds: int, ended_by: int | None = None) -> tuple[str, int]:
    """Run the pipeline, ended by a signal in its second stage; returns what it says and its code."""
    (project.root / "dvc.yaml").write_text(STAGES.format(seconds=seconds))
    variables = shell() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN],
        cwd=project.root,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line == "it works\n" and ended_by:
            # Ctrl-C reaches all that runs in a terminal, make's own end only its child.
            kill = os.killpg if ended_by == signal.SIGINT else os.kill
            kill(process.pid, ended_by)
    return said, process.wait()


def test_stages_are_shown_without_hints(piped: Project) -> None:
    said, code = run_stages(piped, 0)
    assert code == 0
    assert [line for line in said.splitlines() if not line.startswith("> ")] == [
        *("Running stage 'first':", "first", "", "Running stage 'second':", "it works")
    ]
    assert (piped.root / "dvc.lock").exists()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_pipeline_ends_with_a_sentence_and_goes_on(
    piped: Project, ended_by: int
) -> None:
    said, code = run_stages(piped, 600, ended_by)
    assert code == 130
    assert said.endswith("it works\nInterrupted; the same command continues.\n")
    again, code = run_stages(piped, 0)
    assert code == 0
    assert again.startswith("Stage 'first' didn't change, skipping\nRunning stage 'second':\n")


def test_the_source_is_asked_again_where_user_or_contract_say_so(piped: Project) -> None:
    (piped.root / "dvc.yaml").write_text(ASKED)

    def asked(*options: str) -> int:
        pipeline.main(piped, options)
        return len((piped.root / "asked.txt").read_text().split())

    assert asked("--stage=featurize") == 1
    assert not (piped.root / "model.txt").exists()
    assert asked() == 1
    assert (piped.root / "model.txt").exists()
    assert asked("--REFRESH=1", "--stage=featurize") == 2
    piped.contract.write_text("columns:\n  - name: sold_at\n    max_age_days: 3\n")
    assert asked() == 3


def test_a_failing_stage_ends_the_pipeline(piped: Project) -> None:
    (piped.root / "dvc.yaml").write_text("stages: {first: {cmd: 'false'}}")
    with pytest.raises(SystemExit, match="1"):
        pipeline.main(piped, [])
    with pytest.raises(UserError, match="`dvc repro` failed; see above"):
        pipeline.dvc(piped.root, "repro")


def test_pages_are_not_started_on_a_port_that_is_taken(piped: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"PORT={port} is in use by another program; end that"):
            records.ui(piped, [f"--PORT={port}"])
    with pytest.raises(UserError, match="PORT=http: invalid literal"):
        records.ui(piped, ["--PORT=http"])
