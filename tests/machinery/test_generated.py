"""The tests of data and model hold on rows that were generated from contracts of all kinds."""

import inspect
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from generated import generate
from mlops_loop.data.contract import load_contract
from project import PROJECT
from project.data import prepare, validate
from project.features import definitions, featurize
from project.models import train
from projects import FILES, Project

TESTS = PROJECT.root / "tests"
NUMBERS = """
  - {name: a, dtype: Float64, role: input, nullable: false, min: -1, max: 1, description: ""}
  - {name: b, dtype: Int64, role: input, nullable: true, min: 3, max: 9, description: ""}
"""
MIXED = """
  - {name: code, dtype: Int64, role: id, nullable: false, description: ""}
  - {name: shop, dtype: String, role: input, nullable: true, categories: [x, y, z], description: ""}
  - {name: open, dtype: Boolean, role: input, nullable: false, description: ""}
  - {name: word, dtype: String, role: input, nullable: true, description: ""}
"""
UNBOUNDED = """
  - {name: a, dtype: Float64, role: input, nullable: true, description: ""}
  - {name: b, dtype: Int64, role: input, nullable: false, min: 5, description: ""}
  - {name: c, dtype: Int64, role: input, nullable: false, max: 5, description: ""}
"""
DATED = """
  - {name: day, dtype: Date, role: time, nullable: false, description: ""}
  - {name: size, dtype: Float64, role: input, nullable: false, min: 0, description: ""}
  - {name: built, dtype: Date, role: input, nullable: true, max: 2024-01-01, description: ""}
"""
PRICE = '  - {name: y, dtype: Float64, role: outcome, nullable: true, min: 0, description: ""}'
KIND = '  - {name: y, dtype: String, role: outcome, nullable: true, categories: [lo, mid, hi], \
description: ""}'
BOOLEAN = '  - {name: y, dtype: Boolean, role: outcome, nullable: false, description: ""}'
YEAR = pl.col("built").dt.year().cast(pl.Int32)
CASES = {
    "numbers": ("regression", NUMBERS + PRICE, [pl.col("a"), pl.col("b")]),
    "text and boolean": ("regression", MIXED + PRICE, [pl.col("shop", "open", "word")]),
    "no limits": ("regression", UNBOUNDED + PRICE, [pl.col("a"), pl.col("b"), pl.col("c")]),
    "dates": ("regression", DATED + PRICE, [pl.col("size"), YEAR]),
    "three classes": ("multiclass", NUMBERS + KIND, [pl.col("a"), pl.col("b")]),
    "two classes": ("binary", MIXED + BOOLEAN, [pl.col("shop"), pl.col("open")]),
}


def module(path: Path) -> ModuleType:
    """A test file of the project, loaded for itself."""
    spec = spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def run_all(tests: ModuleType, **fixtures: Any) -> int:
    """Call every test of a module; returns their number."""
    functions = [f for name, f in vars(tests).items() if name.startswith("test_")]
    for function in functions:
        function(**{name: fixtures[name] for name in inspect.signature(function).parameters})
    return len(functions)


def prepared(project: Project) -> Project:
    for stage in (validate, prepare, featurize):
        stage.main(project)
    return project


def hold(own: Project, behaviour: Path) -> None:
    """Run the tests of data and of the model on a prepared project."""
    assert run_all(module(TESTS / "data/test_data.py"), own=own) > 5
    tests: Any = module(TESTS / "model/test_model.py")
    tests.BEHAVIOUR = behaviour
    training = tests.fit(own, tests.read(own, "train"), tests.read(own, "validation"), threads=1)
    assert run_all(tests, own=own, training=training, model=training.candidate) > 5


@pytest.mark.parametrize("case", CASES)
def test_generated_rows_serve(case: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    task, columns, features = CASES[case]
    project.contract.write_text(f"max_duplicate_share: 0.01\ncolumns:{columns}\n")
    project.edit(task=task)
    made = {"TARGET": pl.col("y"), "KEEP_ROWS": (), "FEATURES": tuple(features)}
    for name, value in made.items():
        for owner in (definitions, prepare, featurize, train):
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, value)
    project.put_generated(definitions.FEATURES, definitions.KEEP_ROWS)
    behaviour = project.root / "behaviour.yaml"
    column = load_contract(project.contract).names("input")[0]
    behaviour.write_text(f"- {{column: {column}, change: shuffle, then: same}}\n")
    hold(prepared(project), behaviour)


def test_generated_rows_serve_the_projects_own_contract(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.take(*FILES, "contract.yaml")
    project.put_generated(definitions.FEATURES, definitions.KEEP_ROWS)
    hold(prepared(project), TESTS / "model/behaviour.yaml")


def test_the_same_seed_gives_the_same_rows() -> None:
    contract = load_contract(PROJECT.contract)
    used = set(contract.names("input"))
    assert generate(contract, used, 50, seed=1).equals(generate(contract, used, 50, seed=1))
    assert not generate(contract, used, 50, seed=1).equals(generate(contract, used, 50, seed=2))
