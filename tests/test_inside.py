"""The generated project's own tests, and those that it need not carry, run inside a project."""

import re
import shutil
from pathlib import Path

from conftest import Factory
from helpers import run

INSIDE = Path(__file__).parent / "inside"


def test_a_projects_own_tests_pass_in_it(make_project: Factory) -> None:
    project = make_project()
    for path in INSIDE.glob("*.py"):
        shutil.copy(path, project / "tests" / "code" / f"test_{path.name}")
    said = run(project, "make", "test", "ARGS=-q").stdout
    [summary] = re.findall(r"^(\d+) passed.* in .*$", said, re.MULTILINE)
    assert int(summary) > 150
    assert "skipped" not in said and "failed" not in said
