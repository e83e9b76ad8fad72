"""Rows that are generated from contracts of all kinds."""

import polars as pl
import pytest
from mlops_loop.data.contract import FEATURE_ROLES, load_contract
from mlops_loop.data.generated import generate
from mlops_loop.files import read_json
from mlops_loop.models.training import used_inputs
from project import PROJECT
from project.data import prepare, validate
from project.features import featurize
from project.models import evaluate, train
from project.models.metrics import SCORING
from projects import Project

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


@pytest.mark.parametrize("case", CASES)
def test_generated_rows_keep_the_contract_and_teach_a_model(
    case: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, columns, features = CASES[case]
    project.contract.write_text(f"max_duplicate_share: 0.01\ncolumns:{columns}\n")
    project.edit(task=task)
    made = {"TARGET": pl.col("y"), "KEEP_ROWS": (), "FEATURES": tuple(features)}
    for name, value in made.items():
        for stage in (prepare, featurize, train):
            if hasattr(stage, name):
                monkeypatch.setattr(stage, name, value)
    contract = load_contract(project.contract)
    used = used_inputs(features, contract.dtypes(*FEATURE_ROLES))
    rows = generate(contract, used, 2_000, seed=0)
    project.put_raw(rows)
    for name in contract.names("time", "id"):
        assert rows[name].is_sorted()
    for stage in (validate, prepare, featurize, train, evaluate):
        stage.main(project)
    report = read_json(project.metrics)
    primary = SCORING[task].primary
    assert report["test"][primary] < report["baseline"][primary]


def test_the_same_seed_gives_the_same_rows() -> None:
    contract = load_contract(PROJECT.contract)
    used = set(contract.names("input"))
    assert generate(contract, used, 50, seed=1).equals(generate(contract, used, 50, seed=1))
    assert not generate(contract, used, 50, seed=1).equals(generate(contract, used, 50, seed=2))
