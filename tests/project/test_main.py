"""The verbs of `python -m <package>`: complete, and cheap until one is called."""

import re
import subprocess
import sys

from helpers import SOURCE

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
    assert set(done.stdout.split()) == set(re.findall(r"\$\(RUN\) (\w+)", recipes))
