"""The project of the template folder, imported under the name `project`, and small ones to test in.

Machinery is imported from the template folder too: nothing is rendered.
"""

import importlib.util
import os
import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import SOURCE
from ruamel.yaml import YAML

sys.path.insert(0, str(SOURCE / "src"))
from mlops_loop.files import read_json, write_json
from mlops_loop.models.model import Model, model_hash
from mlops_loop.project import Paths, load_settings


def _import_project() -> None:
    """Import the user's package, whose folder no import statement could name, as `project`."""
    folder = SOURCE / "src" / "{{cookiecutter.package_name}}"
    spec = importlib.util.spec_from_file_location(
        "project", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    sys.modules["project"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["project"])


if "project" not in sys.modules:
    _import_project()

from project.data import ingest, prepare, validate
from project.features import featurize
from project.models import estimators, evaluate, register, train
from project.params import load_params

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
    "FITTED": (),
    "CHECKS": (),
}
FILES = ("requirements/base.txt", "docs/charter.md", "docs/model_card.md.j2")
PYPROJECT = '[project]\nname = "shop"\n\n[tool.mlops-loop]\ntemplate_version = "0.1.0"\n'


PARAMS = "".join(  # at every level
    line
    for line in (SOURCE / "params.yaml").read_text().splitlines(keepends=True)
    if not line.startswith("#%")
)


class Project(Paths):
    """A project in a folder of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, root / "src" / "project")

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
        """Copy files of the template folder to the same places."""
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, self.root / name)

    def put_model(self, model: str) -> None:
        """Take the model `worse` or `better` as what was trained and evaluated last."""
        shutil.copytree(self.root / model, self.root, dirs_exist_ok=True)

    def ask_otherwise(self, target: str) -> None:
        """Take the candidate as a model of another target, whose test rows there are."""
        description, record = self.candidate / "model.json", read_json(self.run)
        was = read_json(description)
        write_json(description, {**was, "target": target})
        write_json(self.run, {**record, "model_hash": model_hash(self.candidate)})
        for path in (self.interim / "test").iterdir():
            pl.read_parquet(path).rename({was["target"]: target}).write_parquet(path)

    def put_raw(self, *partitions: pl.DataFrame) -> None:
        """Take these frames as the whole of data/raw."""
        shutil.rmtree(self.raw, ignore_errors=True)
        self.raw.mkdir(parents=True)
        for number, partition in enumerate(partitions):
            partition.write_parquet(self.raw / f"{number}.parquet")
        origins = {f"{number}.parquet": "rows of a test" for number in range(len(partitions))}
        write_json(self.raw / "manifest.json", origins)


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
    project.pyproject.write_text(PYPROJECT)
    project.params.write_text(PARAMS)
    project.contract.write_text(CONTRACT)
    sales().write_csv(project.external / "sales.csv")
    project.edit(
        task="regression",
        seed=42,
        ingest={"source": "file", "path": "data/external/sales.csv"},
        prepare={
            "since": None,
            "until": None,
            "old_share": 0.0,
            "test_from": None,
            "group": None,
            "pii": "drop",
        },
        train__model="lightgbm",
        train__max_trees=250,
        train__learning_rate=0.1,
        train__threads=1,
        train__base=None,
        train__class_weight=None,
        train__threshold=None,
        train__lightgbm={
            "num_leaves": 31,
            "min_child_samples": 20,
            "early_stopping_rounds": 25,
            "folds": None,
            "linear_start": None,
            "parameters": {},
        },
        tune={
            "trials": 4,
            "timeout": None,
            "sampler": "tpe",
            "metric": None,
            "folds": 3,
            "models": None,
            "space": {"lightgbm": {"lightgbm.num_leaves": {"low": 2, "high": 64}}},
        },
        evaluate={"slices": {"min_rows": 30}, "resamples": 20, "confidence": 0.95},
        register={
            "bars": {},
            "slices": {},
            "fairness": {},
            "resamples": 50,
            "confidence": 0.95,
            "replace_question": False,
            "require_commit": False,
        },
    )
    return project


def use_sales(patch: pytest.MonkeyPatch) -> None:
    """Put the definitions of the small table in the place of the user's."""
    for module in (validate, prepare, featurize, train, estimators):
        for name, value in DEFINITIONS.items():
            if hasattr(module, name):
                patch.setattr(module, name, value)


def isolate(patch: pytest.MonkeyPatch) -> None:
    """Keep the user's tracking server and git settings out; MLflow sets the first itself."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "DATABASE_URL",
        "TRIGGER",
        "PII_KEY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
    ):
        patch.delenv(name, raising=False)
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def clone(trained: Project, root: Path) -> Project:
    """A copy with an empty store."""
    project = Project(root)
    store = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
    shutil.copytree(trained.root, root, ignore=store)
    # Making the tables of a store takes MLflow seconds.
    shutil.copy(root / "empty.db", project.store)
    return project


def rows(project: Project, split: str = "test") -> pl.DataFrame:
    """Features and target of a split, the target last."""
    frame = pl.read_parquet(project.processed / split / "*.parquet")
    return frame.select(pl.exclude("euros"), "euros")


def fit(project: Project, task: str, target: pl.Expr, **changes: Any) -> Model:
    """A model of a target made from the features."""
    project.edit(task=task, train__max_trees=20, **changes)
    features = rows(project).columns[:-1]
    frames = (rows(project, split).with_columns(target) for split in ("train", "validation"))
    return train.train(
        *(frame.select(*features, target.meta.output_name()) for frame in frames),
        [pl.col(name) for name in features],
        pl.Schema(),
        load_params(project.params),
    ).candidate


def registry_of(project: Project) -> Any:
    """The registry in the project's own store."""
    from mlops_loop.tracking import registry as tracking

    return tracking.connect(project, load_settings(project))


def gate(project: Project) -> dict[str, Any]:
    """The content of reports/gate.json."""
    content: dict[str, Any] = read_json(project.gate)
    return content


def offer(project: Project, model: str) -> dict[str, Any]:
    """Take a model through the gate."""
    project.put_model(model)
    register.main(project)
    return gate(project)


def assert_agreed(project: Project) -> None:
    """gate.json, the aliases, the tags and the model's hash tell one story."""
    registry, decided = registry_of(project), gate(project)
    if decided["decision"] == "promote":
        assert registry.aliases()["champion"] == registry.champions()[-1] == decided["version"]
    hashes = [version.tags["model_hash"] for version in registry.versions()]
    assert len(set(hashes)) == len(hashes), "a model was registered twice"
    assert hashes[decided["version"] - 1] == read_json(project.run)["model_hash"]
    version = registry.versions()[decided["version"] - 1]
    assert version.status == "READY"
    assert version.tags["decision"] == decided["decision"]


@pytest.fixture(autouse=True)
def environment_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(monkeypatch)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which nothing has run yet."""
    use_sales(monkeypatch)
    return new_project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    # Two seconds that most tests do not need.
    from mlops_loop.tracking import registry as tracking

    with pytest.MonkeyPatch.context() as patch:
        isolate(patch)
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
def trained(trained_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which every stage up to evaluate has run, as a clone: its store is empty."""
    use_sales(monkeypatch)
    return clone(trained_once, tmp_path / "project")
