"""Your contract, definitions and parameters on some rows, in a folder that is thrown away."""

import shutil
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from mlops_loop.config import changed, flat
from mlops_loop.data.contract import CHECKED_ROLES, FEATURE_ROLES, load_contract
from mlops_loop.data.generated import generate
from mlops_loop.files import partitions
from mlops_loop.models.training import used_inputs
from mlops_loop.project import Paths

from {{ cookiecutter.package_name }} import PROJECT
from {{ cookiecutter.package_name }}.data import ingest, prepare, validate
from {{ cookiecutter.package_name }}.features import definitions, featurize
from {{ cookiecutter.package_name }}.models import evaluate, register, train
from {{ cookiecutter.package_name }}.params import Params, load_params

ROWS = 2_000  # of each file of data/raw
FROM_FILES = {"source": "file", "path": "data/external"}
# The tests ask whether your data, features and code can learn. Values of params.yaml with which
# nothing could, or only for minutes, are taken within these limits: the gate judges them.
LIMITS = {
    "ingest.rows_per_month": (ROWS, ROWS),
    "featurize.check_rows": (1, 32),
    "train.max_trees": (50, 100),
    "train.learning_rate": (0.05, 0.3),
    "train.threads": (1, 1),
    "train.lightgbm.num_leaves": (4, 127),
    "train.lightgbm.min_child_samples": (5, 50),
    "train.lightgbm.early_stopping_rounds": (5, 50),
    "train.lightgbm.folds": (2, 5),
    "train.random_forest.trees": (20, 30),
    "train.random_forest.min_samples_leaf": (3, 50),
    "train.linear.alpha": (0.01, 100),
    "evaluate.resamples": (10, 20),
    "register.resamples": (10, 20),
}


def limited(params: Params) -> Params:
    """The parameters within LIMITS, and without bars, which few rows might miss."""
    now = flat(params)
    values: dict[str, Any] = {f"register.{key}": {} for key in ("bars", "slices", "fairness")}
    for key, (low, high) in LIMITS.items():
        if now.get(key) is not None:
            values[key] = min(max(now[key], low), high)
    return changed(params, values)


def row_checks(own: Paths) -> list[pl.Expr]:
    """CHECKS of rows; those of a file as a whole may fail on the few rows that are tested."""
    nothing = load_contract(own.contract).dtypes(*CHECKED_ROLES, pii=True).to_frame()
    return [check for check in definitions.CHECKS if nothing.select(check).is_empty()]


def write_rows(own: Paths, source: str) -> dict[str, Any]:
    """Write some rows of data/raw, else generated ones; returns the parameters that read them."""
    own.external.mkdir(parents=True)
    for path in partitions(PROJECT.raw):
        rows = pl.read_parquet(path)
        some = rows.gather_every(max(1, rows.height // ROWS))
        some.write_parquet(own.external / path.name)
    if partitions(own.external):
        return {"ingest": FROM_FILES}
    if source == "sample":
        return {}
    contract = load_contract(own.contract)
    used = used_inputs(definitions.FEATURES, contract.dtypes(*FEATURE_ROLES))
    rows = generate(contract, used, ROWS, seed=0)
    checks = [check.fill_null(True) for check in row_checks(own)]
    kept = rows.filter(pl.lit(True), *definitions.KEEP_ROWS, *checks)
    if kept.height < ROWS / 4:
        pytest.skip("no data here, and KEEP_ROWS and CHECKS leave few generated rows")
    kept.write_parquet(own.external / "generated.parquet")
    return {"ingest": FROM_FILES, "prepare.test_from": None}


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """This project on some of its rows, as the stages up to `featurize` leave it."""
    own = Paths(tmp_path_factory.mktemp("own"), PROJECT.package)
    for folder in ("docs", "requirements"):
        shutil.copytree(PROJECT.root / folder, own.root / folder)
    for file in ("contract.yaml", "pyproject.toml"):
        shutil.copy(PROJECT.root / file, own.root)
    params = limited(load_params(PROJECT.params))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DATABASE_URL", "TRIGGER"):
            patch.delenv(name, raising=False)
        patch.setenv("PII_KEY", "a key for tests")
        params = changed(params, write_rows(own, params.ingest.source))
        own.params.write_text(params.model_dump_json(by_alias=True), encoding="utf-8")
        patch.setattr(validate, "CHECKS", row_checks(own))
        for stage in (ingest, validate, prepare, featurize):
            stage.main(own)
        yield own


@pytest.fixture(scope="session")
def registered(own: Paths) -> Paths:
    """The same after the other stages: a model is trained, evaluated and registered."""
    for stage in (train, evaluate, register):
        stage.main(own)
    return own
