"""The project: its layout, its settings, and the report of its errors."""

import gc
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

SPLITS = ("train", "validation", "test")


class UserError(Exception):
    """An error that the user can fix; the message names cause and remedy."""


class Paths:
    """The files and folders of a project: `root` is its folder, `package` that of its code."""

    def __init__(self, root: Path, package: Path) -> None:
        self.root, self.package = root, package
        self.pyproject = root / "pyproject.toml"
        self.params = root / "params.yaml"
        self.contract = root / "contract.yaml"
        self.dvc_lock = root / "dvc.lock"
        self.requirements = root / "requirements" / "base.txt"

        self.definitions = package / "features" / "definitions.py"
        self.charter = root / "docs" / "charter.md"
        self.model_card_template = root / "docs" / "model_card.md.j2"
        self.behaviour = root / "tests" / "behaviour.yaml"
        self.data_card = root / "docs" / "data_card.md"

        self.external = root / "data" / "external"
        self.raw = root / "data" / "raw"
        self.interim = root / "data" / "interim"
        self.processed = root / "data" / "processed"

        self.base = root / "models" / "base"
        self.candidate = root / "models" / "candidate"
        self.baseline = root / "models" / "baseline"
        self.training = root / "models" / "training.json"
        self.out_of_fold = root / "models" / "out_of_fold.parquet"
        self.scores = root / "models" / "test_scores.npy"
        self.run = root / "models" / "run.json"
        self.profile = root / "models" / "profile"

        self.validation_report = root / "reports" / "validation.json"
        self.prepare_report = root / "reports" / "prepare.json"
        self.metrics = root / "reports" / "metrics.json"
        self.slices = root / "reports" / "slices.json"
        self.explanations = root / "reports" / "explanations.json"
        self.explained = root / "reports" / "explain"
        self.plots = root / "reports" / "plots"
        self.model_card = root / "reports" / "model_card.md"
        self.report = root / "reports" / "index.html"
        self.gate = root / "reports" / "gate.json"
        self.monitoring = root / "reports" / "monitoring"
        self.tuning = root / "reports" / "tuning"

        self.served = root / ".serving" / "models"
        self.log = root / ".serving" / "predictions.db"

        self.store = root / "mlflow.db"
        self.history = root / "history.db"
        self.artifacts = root / "mlartifacts"


@dataclass(frozen=True)
class Settings:
    """The project's name, and the store of its runs and models."""

    project: str
    template_version: str
    tracking_uri: str
    trigger: str


def load_settings(paths: Paths) -> Settings:
    """Read pyproject.toml, .env and the environment, which wins over .env.

    Raises UserError where the package is installed without a project around it.
    """
    if not paths.pyproject.exists():
        raise UserError(f"{paths.root} is no project: name= and tracking_uri= tell what to load.")
    from dotenv import load_dotenv

    load_dotenv(paths.root / ".env")
    pyproject = tomllib.loads(paths.pyproject.read_text(encoding="utf-8"))
    return Settings(
        project=pyproject["project"]["name"],
        template_version=pyproject["tool"]["mlops-loop"]["template_version"],
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.store}",
        trigger=os.environ.get("TRIGGER") or "manual",
    )


def pii_key(paths: Paths) -> str:
    """The secret that hashes personal data; raises UserError with the command that makes one."""
    load_settings(paths)
    key = os.environ.get("PII_KEY")
    if not key:
        raise UserError(
            "params.yaml: prepare.pii: hash needs PII_KEY in .env or the environment; make one "
            'with python -c "import secrets; print(secrets.token_hex(32))".'
        )
    return key


def run(main: Callable[[], None], code: int = 1) -> None:
    """Run a command; a UserError ends it with its message and this exit code, Ctrl-C with 130."""
    try:
        main()
    except KeyboardInterrupt:
        print("Interrupted; the same command continues.", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)


def run_stage(main: Callable[[Paths], None], paths: Paths) -> None:
    """Run a stage; a UserError ends it with its message and exit code 1."""
    # A fifth of a stage's time went into garbage collection of what its libraries make on import,
    # and again at exit. What a stage leaves behind is gone when it ends.
    gc.disable()
    from fcntl import LOCK_EX, flock

    # DVC has a lock of its own, but when DVC is killed, the stage that it started still writes.
    with (paths.root / ".stage.lock").open("w") as file:
        flock(file, LOCK_EX)
        run(lambda: main(paths))
    gc.freeze()


@cache
def import_library(name: str) -> ModuleType:
    """Import LightGBM, XGBoost or CatBoost, with threads that wait quietly.

    They import scikit-learn and pandas if they can, for wrappers that are not used here: five
    sixths of LightGBM's import time, which every stage, prediction and start of a service would
    pay. CatBoost needs pandas. Raises UserError for a library that is not installed.
    """
    # Waiting threads that spin for long make a fit many times slower on a busy machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    wrapped = {"sklearn"} if name == "catboost" else {"sklearn", "pandas"}
    hidden = wrapped - sys.modules.keys()
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None: not installed
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{error}; run `make setup EXTRA=estimators` for {name}.") from error
    finally:
        for module in hidden:
            del sys.modules[module]
