"""A project before its first table is adopted."""

import shutil
from pathlib import Path
from runpy import run_path
from typing import Any

import polars as pl
import pytest
from mlops_loop.commands.adopt import adopt
from mlops_loop.data.contract import Contract, load_contract
from mlops_loop.files import partitions
from mlops_loop.project import UserError
from project import PROJECT
from project.data import ingest, prepare, validate
from project.features import featurize
from project.features.definitions import TARGET
from project.models import evaluate, register, train
from project.params import load_params
from projects import Project

TOOL = adopt.run_module
STAGES = (ingest, validate, prepare, featurize, train, evaluate, register)
DATA = STAGES[:4]


class Blank(Project):
    """This project before its first table is adopted."""

    patch: pytest.MonkeyPatch
    target: pl.Expr = TARGET

    def adopt(self, data: Path | None, target: str | None = "y", **options: str) -> Contract:
        """Adopt a table as `make adopt` does, and put its definitions in the place of the user's."""
        given = {"data": data or "", "target": target or "", **options}
        ingest = load_params(self.params).ingest
        adopt.main(self, self.target, ingest, [f"--{key}={value}" for key, value in given.items()])
        written = run_path(str(self.definitions))
        self.target = written["TARGET"]
        names = {"TARGET", "KEEP_ROWS", "CHECKS", "FEATURES", "FITTED"}
        for module in (validate, prepare, featurize, train):
            for name in names & vars(module).keys():
                self.patch.setattr(module, name, written[name])
        return load_contract(self.contract)

    def refuse(self, data: Path, words: str, target: str | None = "y", **options: str) -> None:
        """Adopting fails with these words, and nothing on the disk is another than before."""
        before = snapshot(self.root)
        with pytest.raises(UserError, match=words):
            self.adopt(data, target, **options)
        assert snapshot(self.root) == before

    def through(self, *stages: Any) -> None:
        """Run stages of the pipeline."""
        for stage in stages:
            stage.main(self)

    def raw_rows(self) -> pl.DataFrame:
        """The rows of data/raw as the contract reads them."""
        contract = load_contract(self.contract)
        read = [contract.read(pl.read_parquet(p), names(contract)) for p in partitions(self.raw)]
        return pl.concat(read)

    def features(self) -> list[str]:
        """The names of the features in data/processed."""
        return pl.read_parquet(self.processed / "train/*.parquet").columns[:-1]


@pytest.fixture
def blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blank:
    """A project without data; DVC is not asked to hold anything."""
    project = Blank(tmp_path / "project")
    project.patch = monkeypatch
    files = ("params", "contract", "definitions", "pyproject", "requirements", "charter")
    for name in (*files, "model_card_template"):
        path: Path = getattr(project, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(getattr(PROJECT, name), path)
    monkeypatch.setattr(adopt, "run_module", lambda *_: None)
    return project


@pytest.fixture
def learner(blank: Blank, trained_once: Project) -> Blank:
    """A project without data, and with an empty store; it learns quickly rather than well."""
    shutil.copy(trained_once.root / "empty.db", blank.store)
    quick = {"max_trees": 60, "threads": 1}
    blank.edit(**{f"train__{key}": value for key, value in quick.items()})
    blank.edit(evaluate__resamples=20, register__resamples=50)
    return blank


def snapshot(root: Path) -> dict[Path, bytes]:
    """Every file of a folder, with its content."""
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def names(contract: Contract) -> list[str]:
    """Every column of a contract."""
    return [column.name for column in contract.columns]
