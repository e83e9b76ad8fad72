"""Tests of the pipeline that a project's own need not carry, run inside a project."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import Factory
from helpers import run

INSIDE = Path(__file__).parent / "inside"


@pytest.fixture(scope="module")
def project(make_project: Factory) -> Path:
    """A project that has these tests among its own."""
    project = make_project()
    for path in INSIDE.glob("*.py"):
        shutil.copy(path, project / "tests" / "code" / f"test_{path.name}")
    return project


@pytest.mark.parametrize("name", sorted(path.stem for path in INSIDE.glob("*.py")))
def test_the_pipeline_holds(project: Path, name: str) -> None:
    said = run(project, "make", "test", f"ARGS=-q tests/code/test_{name}.py").stdout
    assert re.search(r"^\d+ passed", said, re.MULTILINE), said
