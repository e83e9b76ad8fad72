"""Machinery imports downwards, without cycles, and only what is declared; importing does nothing."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions

import pytest
from helpers import SOURCE
from imports import FOLDERS, SRC, find_modules, imports

BASE = ("project", "files", "config", "console", "page", "lineage", "database")
LAYERS = ("data", "features", "models", "tracking", "commands", "serving", "monitoring")
# Groups of pyproject.toml whose libraries a layer may import besides the dependencies.
GROUPS = {"commands": ["tune"], "serving": ["serving", "export", "app"]}


MODULES = find_modules("mlops_loop")
GRAPH = {
    name: set(imports(name, path)) & MODULES.keys() - {"mlops_loop"}
    for name, path in MODULES.items()
}


def layer(name: str) -> int:
    """The height of a module's layer; the base is 0."""
    top = name.split(".")[1:2]
    return 0 if not top or top[0] in BASE else LAYERS.index(top[0]) + 1


def test_imports_go_downwards() -> None:
    upwards = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in sorted(others)
        if layer(other) > layer(name)
    ]
    assert len(GRAPH) > 50
    assert not upwards, "\n".join(upwards)


def test_imports_have_no_cycle() -> None:
    TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names it


def test_only_declared_libraries_are_imported() -> None:
    lines = (SOURCE / "pyproject.toml").read_text().splitlines()
    pyproject = tomllib.loads("\n".join(line for line in lines if not line.startswith("#%")))
    declared = {"": pyproject["project"]["dependencies"], **pyproject["dependency-groups"]}
    distributions = packages_distributions()
    wrong = []
    for name, path in MODULES.items():
        groups = ["", *GROUPS.get(".".join(name.split(".")[1:2]), [])]
        allowed = {
            canonical(re.split(r"[\[<>=]", requirement)[0])
            for group in groups
            for requirement in declared[group]
        }
        for other in imports(name, path):
            top = other.partition(".")[0]
            owners = {canonical(owner) for owner in distributions.get(top, [])}
            known = {*sys.stdlib_module_names, "mlops_loop"}
            if top not in known and not owners & allowed:
                wrong.append(f"{name} imports {other}")
    assert not wrong, "\n".join(wrong)


def canonical(distribution: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


# Imports the user's package, whose folder no statement can name, as `project`.
LOAD = """
import importlib, importlib.util, json, sys
sys.dont_write_bytecode = True
src, folder = sys.argv[1:3]
sys.path.insert(0, src)
spec = importlib.util.spec_from_file_location(
    "project", f"{folder}/__init__.py", submodule_search_locations=[folder]
)
sys.modules["project"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["project"])
"""
# What libraries do when they are imported is no matter of ours: they are imported before.
WATCH = """
import logging, os, warnings

libraries, modules = json.load(sys.stdin)
for statement in libraries:
    exec(statement, {})
import matplotlib, threadpoolctl

def switches():
    loggers = [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]
    return {
        **{f"environment {name}": value for name, value in os.environ.items()},
        **{f"level of {logger.name}": logger.level for logger in loggers},
        **{f"matplotlib {name}": value for name, value in matplotlib.rcParams.items()},
        "warnings": warnings.filters[:],
        "threads": [pool["num_threads"] for pool in threadpoolctl.threadpool_info()],
        "path": sys.path[:],
    }

before = switches()
for module in modules:
    importlib.import_module(module)
    after = switches()
    found = [key for key in after if after[key] != before.get(key, 0)]
    print(json.dumps([module, found]), flush=True)
    before = after
"""


def python(code: str, given: str = "") -> str:
    """The output of code in a fresh interpreter that can import both packages."""
    command = [sys.executable, "-c", LOAD + code, str(SRC), str(FOLDERS["project"])]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_a_module_changes_nothing() -> None:
    modules = {**MODULES, **find_modules("project")}
    statements = {
        ast.unparse(node)
        for path in modules.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    libraries = [s for s in statements if not re.match(r"from (\.|mlops_loop|__future__)", s)]
    scripts = ("__main__", "streamlit_app")
    wanted = [name for name in modules if not name.endswith(scripts)]
    output = python(WATCH, json.dumps([libraries, wanted]))
    changed = {module: found for module, found in map(json.loads, output.splitlines()) if found}
    assert len(output.splitlines()) == len(wanted)
    assert not changed


@pytest.mark.parametrize("module", ["project.__main__", "project.params"])
def test_verbs_and_parameters_are_light_to_import(module: str) -> None:
    heavy = python(f"import {module}; print(*{{'numpy', 'polars', 'mlflow'}} & sys.modules.keys())")
    assert heavy.split() == []
