"""The verbs of `python -m <package>`: complete, and cheap until one is called."""

import re
import subprocess
import sys

import pytest
from helpers import SOURCE

sys.path.insert(0, str(SOURCE / "src"))
from mlops_loop.project import run

VERBS = f"""
import importlib.util, sys
sys.path.insert(0, {str(SOURCE / "src")!r})
folder = {str(SOURCE / "src" / "{{cookiecutter.package_name}}")!r}
spec = importlib.util.spec_from_file_location(
    "project", folder + "/__init__.py", submodule_search_locations=[folder]
)
sys.modules["project"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["project"])
from project.__main__ import VERBS
assert {{"numpy", "polars", "pydantic"}}.isdisjoint(sys.modules)
print(*VERBS)
"""


def test_every_verb_of_make_is_there_and_none_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", VERBS], capture_output=True, text=True, check=True)
    recipes = "".join(path.read_text() for path in (SOURCE / "make").glob("*.mk"))
    rules = re.findall(r"^([a-z ]+): .*\n\t@\$\(RUN\) \$@", recipes, re.MULTILINE)
    called = re.findall(r"\$\(RUN\)\)? (\w+)", recipes) + " ".join(rules).split()
    assert set(done.stdout.split()) == set(called)


def test_an_interrupted_command_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        run(interrupted)
    assert capsys.readouterr().err == "Interrupted; the same command continues.\n"
