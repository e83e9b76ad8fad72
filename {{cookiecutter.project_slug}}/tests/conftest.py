"""Projects to test in: one with a small table of its own, one with the data of this project."""

import os
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from generated import generate
from ruamel.yaml import YAML

from {{ cookiecutter.package_name }}.data import ingest, prepare, validate
from {{ cookiecutter.package_name }}.data.contract import load_contract
from {{ cookiecutter.package_name }}.data.sources import wanted
from {{ cookiecutter.package_name }}.features import definitions, featurize
from {{ cookiecutter.package_name }}.files import partitions, write_json
from {{ cookiecutter.package_name }}.models import evaluate, train
from {{ cookiecutter.package_name }}.params import load_params
from {{ cookiecutter.package_name }}.paths import PROJECT, Paths

CONTRACT = """
max_duplicate_share: 0.01
columns:
  - {name: sold_at, dtype: Datetime, role: time, nullable: false, description: when}
  - {name: shop, dtype: String, role: input, nullable: true, description: where,
     categories: [north, south, east], slice: true}
  - {name: size, dtype: Float64, role: input, nullable: false, min: 0, max: 100, description: size}
  - {name: items, dtype: Int64, role: input, nullable: true, min: 1, max: 9, description: number}
  - {name: express, dtype: Boolean, role: input, nullable: false, description: at once or not,
     sensitive: true}
  - {name: price, dtype: Float64, role: outcome, nullable: true, min: -5, max: 200,
     description: paid}
  - {name: note, dtype: String, role: ignored, nullable: true, description: not used}
"""
DEFINITIONS = {
    "TARGET": pl.col("price").alias("euros"),
    "KEEP_ROWS": (pl.col("price").is_between(0, 150).alias("prices of 0 to 150"),),
    "FEATURES": (
        pl.col("shop"),
        pl.col("size"),
        pl.col("items"),
        pl.col("express"),
        pl.col("sold_at").dt.weekday().cast(pl.Int32).alias("weekday"),
    ),
}
FILES = ("pyproject.toml", "params.yaml", "requirements/base.txt", "docs/charter.md")
ROWS_OF_A_PARTITION = 2_000


class Project(Paths):
    """A project in a folder of its own; `made_up` where its rows know nothing of the subject."""

    made_up = False

    def edit(self, **values: Any) -> None:
        """Change values of params.yaml: `train__model="linear"` is train.model."""
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        content = yaml.load(self.params.read_text())
        for key, value in values.items():
            *sections, name = key.split("__")
            section = content
            for inner in sections:
                section = section[inner]
            section[name] = value
        yaml.dump(content, self.params)

    def take(self, *names: str) -> None:
        """Copy files of this project to the same places."""
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT.root / name, self.root / name)

    def put_model(self, model: str) -> None:
        """Take the model `worse` or `better` as what was trained and evaluated last."""
        shutil.copytree(self.root / model, self.root, dirs_exist_ok=True)

    def put_raw(self, *partitions: pl.DataFrame) -> None:
        """Take these frames as the whole of data/raw."""
        shutil.rmtree(self.raw, ignore_errors=True)
        self.raw.mkdir(parents=True)
        for number, partition in enumerate(partitions):
            partition.write_parquet(self.raw / f"{number}.parquet")
        origins = {f"{number}.parquet": "rows of a test" for number in range(len(partitions))}
        write_json(self.raw / "manifest.json", origins)

    def put_generated(self, features: Sequence[pl.Expr], keep_rows: Sequence[pl.Expr]) -> None:
        """Take generated rows that keep the contract, in the place of data that are not here."""
        used = {name for feature in features for name in feature.meta.root_names()}
        rows = generate(load_contract(self.contract), used, ROWS_OF_A_PARTITION, seed=0)
        kept = rows.filter(pl.lit(True), *keep_rows)
        if kept.height < ROWS_OF_A_PARTITION / 4:
            pytest.skip("no data here, and KEEP_ROWS leaves few rows within contract.yaml's limits")
        self.put_raw(kept)
        self.edit(prepare__test_from=None)
        os.environ.setdefault("PII_KEY", "for values that nobody has")
        self.made_up = True


def sales(rows: int = 1_200, seed: int = 0) -> pl.DataFrame:
    """One sale an hour; the price depends on size, items and shop, with noise, gaps and dirt."""
    rng = np.random.default_rng(seed)
    shop, items = rng.choice(["north", "south", "east"], rows), rng.integers(1, 10, rows)
    size = rng.uniform(0, 100, rows).round(1)
    price = size * items / 5 + 20 * (shop == "south") + rng.normal(0, 3, rows)
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "sold_at": pl.datetime_range(
                start, start + timedelta(hours=rows - 1), "1h", eager=True
            ),
            "shop": shop,
            "size": size,
            "items": items,
            "express": rng.random(rows) < 0.3,
            "price": price.clip(-5),
        }
    )
    gaps = {name: pl.Series(rng.random(rows) < 0.04) for name in ("shop", "items", "price")}
    return frame.with_columns(
        pl.when(gap).then(None).otherwise(name).alias(name) for name, gap in gaps.items()
    )


def new_project(root: Path) -> Project:
    """The parameters of this project, the small table and a contract that fits it."""
    project = Project(root)
    project.external.mkdir(parents=True)
    project.take(*FILES)
    project.contract.write_text(CONTRACT)
    sales().write_csv(project.external / "sales.csv")
    project.edit(
        task="regression",
        ingest={"source": "file", "path": "data/external/sales.csv"},
        prepare={"test_from": None, "group": None, "pii": "drop"},
        train__model="lightgbm",
        train__threads=1,
        train__class_weight=None,
        train__threshold=None,
        train__lightgbm={
            "num_leaves": 31,
            "min_child_samples": 20,
            "early_stopping_rounds": 25,
            "folds": None,
        },
        tune={
            "trials": 4,
            "timeout": None,
            "sampler": "tpe",
            "metric": None,
            "folds": 3,
            "space": {"lightgbm": {"lightgbm.num_leaves": {"low": 2, "high": 64}}},
        },
        evaluate={"slices": {"min_rows": 30}, "resamples": 20, "confidence": 0.95},
        register={
            "bars": {},
            "slices": {},
            "fairness": {},
            "resamples": 50,
            "confidence": 0.95,
        },
    )
    return project


def use_sales(patch: pytest.MonkeyPatch) -> None:
    """Put the definitions of the small table in the place of the user's."""
    for module in (prepare, featurize, train):
        for name, value in DEFINITIONS.items():
            if hasattr(module, name):
                patch.setattr(module, name, value)


def apart(patch: pytest.MonkeyPatch) -> None:
    """Keep the user's tracking server and git settings out; MLflow sets the first itself."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "TRIGGER",
        "PII_KEY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
    ):
        patch.delenv(name, raising=False)
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    apart(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which nothing has run yet."""
    use_sales(monkeypatch)
    return new_project(tmp_path / "project")


@pytest.fixture(scope="session")
def _trained_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    # Two seconds that most tests do not need.
    from {{ cookiecutter.package_name }} import tracking

    with pytest.MonkeyPatch.context() as patch:
        apart(patch)
        use_sales(patch)
        project = new_project(tmp_path_factory.mktemp("trained") / "project")
        tracking.mlflow.set_tracking_uri(f"sqlite:///{project.store}")
        tracking.MlflowClient().search_experiments()
        shutil.copy(project.store, project.root / "empty.db")
        for stage in (ingest, validate, prepare, featurize):
            stage.main(project)
        for model, trees in (("worse", 3), ("better", 40)):
            project.edit(train__max_trees=trees)
            train.main(project)
            evaluate.main(project)
            for folder in ("models", "reports"):
                shutil.copytree(project.root / folder, project.root / model / folder)
    return project


@pytest.fixture
def trained(_trained_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which every stage up to evaluate has run, as a clone: its store is empty."""
    use_sales(monkeypatch)
    return clone(_trained_once, tmp_path / "project")


def clone(trained: Project, root: Path) -> Project:
    """A copy with an empty store."""
    project = Project(root)
    store = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
    shutil.copytree(trained.root, root, ignore=store)
    # Making the tables of a store takes MLflow seconds.
    shutil.copy(root / "empty.db", project.store)
    return project


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """This project's own contract, definitions and parameters, on some rows of its own data."""
    project = Project(tmp_path_factory.mktemp("own"))
    project.take(*FILES, "contract.yaml")
    params = load_params(project.params)
    if partitions(PROJECT.raw):
        project.put_raw(*map(some_rows, partitions(PROJECT.raw)))
    elif params.ingest.source == "sample":
        ingest.ingest(list(wanted(params, PROJECT)), project.raw)
        project.put_raw(*map(some_rows, partitions(project.raw)))
    else:
        project.put_generated(definitions.FEATURES, definitions.KEEP_ROWS)
    for stage in (validate, prepare, featurize):
        stage.main(project)
    return project


def some_rows(path: Path) -> pl.DataFrame:
    """Rows from the whole of a partition, in their order."""
    rows = pl.scan_parquet(path)
    height = rows.select(pl.len()).collect().item()
    return rows.gather_every(max(1, height // ROWS_OF_A_PARTITION)).collect()
