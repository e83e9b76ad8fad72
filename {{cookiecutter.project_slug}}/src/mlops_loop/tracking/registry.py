"""MLflow: runs, versions and aliases; no other module knows its API.

Importing it takes two seconds, so commands import it where they need it.
"""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import polars as pl
import requests
import sqlalchemy as sql
from mlflow import MlflowClient, MlflowException
from mlflow.entities import Metric, RunData, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model as MlflowModel
from mlflow.models import ModelSignature
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType
from mlflow.utils.file_utils import local_file_uri_to_path

from ..config import Section, flat
from ..console import figure, interval
from ..data.contract import DTYPES, Contract, load_contract
from ..files import Content, Figures, partitions, read_json, replaced
from ..lineage import Tags, versions
from ..models import golden
from ..models.model import Model, load, model_hash
from ..project import Paths, Settings, UserError, load_settings
from .scoring_code import copy_code

# Besides the libraries of the estimator.
MODEL_NEEDS = ("mlflow", "numpy", "pandas", "polars", "pydantic")
EXAMPLE_ROWS = 5
CONTRACT, GOLDEN = "contract.yaml", "golden.json"
HISTORY = "history "  # with the time: tags of the registered model, one for each champion
# Files and folders of a project that its run keeps under the same names.
OF_TRAINING = (
    *(CONTRACT, "models/baseline", "models/out_of_fold.parquet", "requirements/base.txt"),
    *("reports/prepare.json", "reports/validation.json"),
)
OF_EVALUATION = (
    *("dvc.lock", "models/profile", "reports/explanations.json", "reports/metrics.json"),
    *("reports/plots", "reports/slices.json"),
)
OF_REGISTRATION = ("reports/index.html", "reports/model_card.md")
DECIDED = {"promote": "promoted", "hold": "held", "reject": "rejected"}
RUN_ID = re.compile("[0-9a-f]{32}")
ANSWER_SECONDS = 5

NAMES = ("long", "double", "string", "boolean", "datetime", "datetime")
TYPES = dict(zip(DTYPES.values(), NAMES, strict=True))


@dataclass(frozen=True)
class Version:
    """A registered version, or the run of a model that was never registered: it has no number."""

    number: int | None
    run_id: str
    tags: Tags

    @property
    def name(self) -> str:
        """The name by which `Registry.find` finds it."""
        return str(self.number or self.run_id)

    def __str__(self) -> str:
        return f"version {self.number}" if self.number else f"run {self.run_id[:8]}"


@dataclass(frozen=True)
class Registry:
    """The project's runs and the versions of its registered model.

    `is_shared` is true where the store is not the project's own file; `paths` are the project's.
    """

    client: MlflowClient
    name: str
    experiment: str
    is_shared: bool
    paths: Paths

    def run_exists(self, run_id: str) -> bool:
        """True if the store holds this run."""
        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException:
            return False

    def versions(self) -> list[ModelVersion]:
        """Every version, oldest first."""
        found = self.client.search_model_versions(f"name='{self.name}'")
        return sorted(found, key=lambda version: int(version.version))

    def version_of(self, tags: Mapping[str, str]) -> int | None:
        """The newest ready version that carries all of these tags, if any."""
        for version in reversed(self.versions()):
            if tags.items() <= version.tags.items() and version.status == "READY":
                return int(version.version)
        return None

    def aliases(self) -> dict[str, int]:
        """Aliases and their versions; empty before the first registration."""
        for model in self.client.search_registered_models(f"name='{self.name}'"):
            return {alias: int(version) for alias, version in model.aliases.items()}
        return {}

    def history(self) -> list[Content]:
        """Every move of `champion`, oldest first: event, version, by whom and why."""
        tags = self.client.get_registered_model(self.name).tags
        return [json.loads(tags[key]) for key in sorted(tags) if key.startswith(HISTORY)]

    def append_history(self, **move: object) -> None:
        """Append a move of `champion` to the history."""
        key = f"{HISTORY}{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        self.client.set_registered_model_tag(self.name, key, json.dumps(move))

    def champions(self) -> list[int]:
        """The champions, oldest first and the present one last, but for those taken back."""
        champions: list[int] = []
        for move in self.history():
            while move["event"] == "rollback" and champions and champions[-1] != move["version"]:
                champions.pop()
            if champions[-1:] != [move["version"]]:
                champions.append(move["version"])
        return champions

    def register(self, run_id: str, tags: Tags) -> int:
        """Register the model of a run as a new version, with its tags in the same step."""
        model = self._model_id(run_id)
        if not self.client.search_registered_models(f"name='{self.name}'"):
            self.client.create_registered_model(self.name)
        # A server, unlike SQLite, needs the model's id and its address.
        version = self.client.create_model_version(
            self.name, f"models:/{model}", run_id, tags=tags, model_id=model
        )
        return int(version.version)

    def tag(self, version: int, tags: Tags) -> None:
        """Set tags of a version; repeating it changes nothing."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, str(version), key, value)

    def point(self, alias: str, version: int) -> None:
        """Move an alias to a version."""
        self.client.set_registered_model_alias(self.name, alias, str(version))

    def unpoint(self, alias: str) -> None:
        """Remove an alias, if it exists."""
        self.client.delete_registered_model_alias(self.name, alias)

    def find(self, name: int | str) -> Version:
        """The version of a number, an alias or the id of a run.

        Raises UserError that lists the versions and aliases that exist.
        """
        name = str(name)
        try:
            if RUN_ID.fullmatch(name):
                return Version(None, name, self.client.get_run(name).data.tags)
            number = str(self.aliases().get(name, name))
            found = self.client.get_model_version(self.name, number)
            return Version(int(found.version), str(found.run_id), found.tags)
        except MlflowException as error:
            versions = ", ".join(str(version.version) for version in self.versions())
            aliases = ", ".join(f"{alias} ({number})" for alias, number in self.aliases().items())
            raise UserError(
                f"{self.name} has no version, alias or run {name} in {mlflow.get_tracking_uri()}; "
                f"there are the versions {versions or 'none'} and the aliases {aliases or 'none'}; "
                "`make train` registers one."
            ) from error

    def record(self, version: Version) -> RunData:
        """The parameters and metrics that were logged for a version."""
        return self.client.get_run(version.run_id).data

    def artifact(self, version: Version, path: str) -> Path:
        """A file that was stored with a version; raises UserError if it is not there."""
        try:
            file = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=path)
        except (MlflowException, OSError) as error:
            raise UserError(f"{version} has no {path} in {mlflow.get_tracking_uri()}.") from error
        return Path(file)

    def attach(self, run_id: str, folder: Path, metrics: Figures | None = None) -> None:
        """Store a folder with a run, under the folder's name, and metrics."""
        self.client.log_artifact(run_id, str(folder))
        mlflow.log_metrics(dict(metrics or {}), run_id=run_id)

    def load(self, name: int | str) -> Model:
        """The model of a version number, an alias or a run; raises UserError if there is none."""
        return load(self.model_files(self.find(name)))

    def contract(self, version: Version) -> Contract:
        """The contract that a version was trained with."""
        return load_contract(self.artifact(version, CONTRACT))

    def golden(self, version: Version) -> Content:
        """The golden requests of a version."""
        requests: Content = read_json(self.artifact(version, GOLDEN))
        return requests

    def model_files(self, version: Version) -> Path:
        """Download the model of a version; raises UserError unless its files have its hash."""
        uri = f"models:/{self._model_id(version.run_id)}"
        try:
            folder = Path(mlflow.artifacts.download_artifacts(uri)) / "data" / "candidate"
            intact = model_hash(folder) == version.tags["model_hash"]
        except (MlflowException, OSError):
            intact = False
        if not intact:
            raise UserError(
                f"{version}: its files in {mlflow.get_tracking_uri()} are not those that it was "
                "registered with (tag model_hash); restore them from a backup or name another."
            )
        return folder

    def _model_id(self, run_id: str) -> str:
        """MLflow's id of the model of a run; raises UserError if it has none."""
        outputs = self.client.get_run(run_id).outputs
        if not outputs:
            raise UserError(f"run {run_id} has no model; name a version or the run of a training.")
        return str(outputs.model_outputs[0].model_id)

    def log_run(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, object] | None = None,
        metrics: Figures | None = None,
        parent: str = "",
    ) -> str:
        """Log a run that is over: a sweep, or below its `parent` a trial; returns its id."""
        kind = {"category": "sweep"}
        if parent:
            kind = {"category": "trial", "mlflow.parentRunId": parent}
        run = self.client.create_run(self.experiment, tags={**kind, **tags}, run_name=name)
        run_id = str(run.info.run_id)
        mlflow.log_params(dict(params or {}), run_id=run_id)
        mlflow.log_metrics(dict(metrics or {}), run_id=run_id)
        self.client.set_terminated(run_id)
        return run_id

    def log_check(self, version: int, day: date, figures: Figures) -> None:
        """Log figures of a check to the monitoring run of a version, at the step of their day."""
        name = f"monitoring of version {version}"
        tags = {"category": "monitoring", "version": str(version)}
        query = f"tags.category = 'monitoring' and tags.version = '{version}'"
        runs = self.client.search_runs([self.experiment], query, max_results=1)
        run_id = runs[0].info.run_id if runs else self.log_run(name, tags)
        mlflow.log_metrics(dict(figures), step=day.toordinal(), run_id=run_id)


def open_store(paths: Paths, name: str | None, tracking_uri: str | None) -> Registry:
    """Open a registered model; with both its name and store this needs no project around it.

    Creates nothing. Raises as `check_answer` does.
    """
    if name is None or tracking_uri is None:
        settings = load_settings(paths)
        name, tracking_uri = name or settings.project, tracking_uri or settings.tracking_uri
    check_answer(tracking_uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow reports each table that it creates, and misses pip in an environment of uv.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(tracking_uri)
    return Registry(MlflowClient(), name, "", True, paths)


def check_answer(tracking_uri: str) -> None:
    """Raise UserError where a server does not answer, for which MLflow would wait for minutes."""
    try:
        if tracking_uri.startswith("http"):  # whatever the status is, it is an answer
            requests.get(f"{tracking_uri}/health", timeout=ANSWER_SECONDS)
        elif re.match("sqlite|postgresql|mysql", tracking_uri):
            file = tracking_uri.startswith("sqlite")
            waits = {} if file else {"connect_timeout": ANSWER_SECONDS}
            sql.create_engine(tracking_uri, connect_args=waits).connect().close()
    except (requests.RequestException, sql.exc.SQLAlchemyError, ImportError) as error:
        problem = str(getattr(error, "orig", getattr(error, "msg", type(error).__name__)))
        raise UserError(
            f"the tracking server {tracking_uri.rpartition('@')[2]} does not answer "
            f"({problem.splitlines()[0]}); start it, install its driver, or correct "
            "MLFLOW_TRACKING_URI."
        ) from None


def connect(paths: Paths, settings: Settings) -> Registry:
    """Open the store, with the project's experiment selected; raises as `open_store` does."""
    local = settings.tracking_uri == f"sqlite:///{paths.store}"
    empty = Path(sys.prefix, paths.store.name)  # made with the environment
    if local and not paths.store.exists() and empty.exists():
        with replaced(paths.store) as temporary:
            shutil.copy(empty, temporary)
    registry = open_store(paths, settings.project, settings.tracking_uri)
    client = registry.client
    if client.get_experiment_by_name(settings.project) is None:
        place = paths.artifacts.as_uri() if local else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # which view `make ui` opens
        client.create_experiment(settings.project, place, kind)
    experiment = mlflow.set_experiment(settings.project)
    made_for = Path(local_file_uri_to_path(experiment.artifact_location))
    if local and made_for.resolve() != paths.artifacts.resolve():  # a link in the old place will do
        raise UserError(
            f"{paths.store} keeps absolute paths and was made for {made_for}. Move the project "
            "back, or see docs/moving.md."
        )
    return replace(registry, experiment=experiment.experiment_id, is_shared=not local)


def ensure_run(
    registry: Registry, paths: Paths, params: Section, category: str = "candidate", name: str = ""
) -> str:
    """Log the run of models/, which may be in another checkout, unless the store holds it.

    Returns its id. The run that `mlflow run` has set is joined; a run that was interrupted while it
    was logged is logged anew.
    """
    client, joined = registry.client, os.environ.get("MLFLOW_RUN_ID")
    report = read_json(paths.training)
    record = read_json(paths.run)
    query = f"tags.training_id = '{record['training_id']}'"
    for run in client.search_runs([registry.experiment], query):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        if run.info.run_id != joined:
            client.delete_run(run.info.run_id)
    known = {key: record[key] for key in ("model_hash", "training_id")}
    tags = resolve_tags(record["lineage"] | known | {"category": category})
    if not joined:
        run = client.create_run(registry.experiment, record["started"])
    run_id: str = joined or run.info.run_id
    client.update_run(run_id, name=name or report["model"])
    metrics = []
    for metric, values in report["history"].items():
        for step, value in enumerate(values, start=1):
            metrics.append(Metric(f"validation_{metric}", value, record["ended"], step))
    client.log_batch(run_id, metrics, tags=[RunTag(*tag) for tag in tags.items()])
    mlflow.log_params({**flat(params), "trees": report["trees"]}, run_id=run_id)
    _log_files(client, run_id, paths, OF_TRAINING)
    _log_model(paths, run_id)
    client.set_terminated(run_id, "FINISHED", record["ended"])
    return run_id


def _log_files(client: MlflowClient, run_id: str, paths: Paths, names: tuple[str, ...]) -> None:
    """Store those of these files and folders that the project has."""
    for name in names:
        path, folder = paths.root / name, name.rpartition("/")[0]
        if path.exists():
            client.log_artifact(run_id, str(path), folder or None)


def _log_model(paths: Paths, run_id: str) -> None:
    """Log the model of models/ with its signature and an example of its input."""
    model = load(paths.candidate)
    first = partitions(paths.interim / "train")[0]
    contract = load_contract(paths.contract)
    nullable = {column.name for column in contract.columns if column.nullable}
    rows = pl.read_parquet(first, n_rows=EXAMPLE_ROWS).select(*model.inputs)
    scored = model.predict_table(rows)
    if not model.classes:
        scored = scored.rename({"prediction": model.target})
    columns = []
    for name, dtype in rows.schema.items():
        required = name not in nullable
        # pandas holds whole numbers and truths with gaps as several types; MLflow would take one.
        several = not required and dtype in (pl.Int64, pl.Boolean)
        columns.append(ColSpec(AnyType() if several else TYPES[dtype], name, required))
    output = [ColSpec(TYPES[dtype], name) for name, dtype in scored.schema.items()]
    needed = versions(*MODEL_NEEDS, *model.estimator.libraries)
    # MLflow imports the code, to check the example, before it is kept.
    sys.dont_write_bytecode = True
    with TemporaryDirectory() as folder:
        code = copy_code(Path(folder))
        MlflowModel.log(
            artifact_path=None,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            name="model",
            loader_module=f"{code.name}.tracking.pyfunc",
            code_paths=[str(code)],
            data_path=str(paths.candidate),
            signature=ModelSignature(Schema(columns), Schema(output)),
            input_example=rows.to_pandas(),
            # Without this list MLflow spends most of a minute on inferring it.
            pip_requirements=[f"{name}=={number}" for name, number in needed.items()],
        )


def log_evaluation(registry: Registry, paths: Paths, run_id: str) -> None:
    """Add reports, plots, profile, dvc.lock and golden requests to a run; repeatable."""
    client = registry.client
    report = read_json(paths.metrics)
    metrics = {f"test_{name}": value for name, value in report["test"].items()}
    # MLflow shows metrics that share a prefix in a section of their own.
    metrics |= {f"baseline/{name}": value for name, value in report["baseline"].items()}
    for name, limits in report["intervals"].items():
        low, high = limits or (None, None)
        metrics |= {f"interval/{name}_low": low, f"interval/{name}_high": high}
    # MLflow shows the latest value: with the file's own time a later evaluation replaces it.
    time = int(paths.metrics.stat().st_mtime * 1_000)
    known = [Metric(name, value, time, 0) for name, value in metrics.items() if value is not None]
    client.log_batch(run_id, known)
    _log_files(client, run_id, paths, OF_EVALUATION)
    requests = golden.make(paths, load_contract(paths.contract))
    client.log_text(run_id, json.dumps(requests, default=lambda day: day.isoformat()), GOLDEN)


def describe(registry: Registry, run_id: str, paths: Paths, metric: str, judged: Content) -> None:
    """Name a run by its model, this metric and the decision; describe the version; add the card.

    `judged` is the content of gate.json.
    """
    client, report, version = registry.client, read_json(paths.metrics), judged["version"]
    value = f"{metric} {figure(report['test'][metric])}"
    kind = read_json(paths.training)["model"]
    number = f"v{version} " if version else ""
    client.update_run(run_id, name=f"{number}{kind} {value} {DECIDED[judged['decision']]}")
    _log_files(client, run_id, paths, OF_REGISTRATION)
    if version:
        card = paths.model_card.read_text(encoding="utf-8").partition("\n## ")[0]
        limits, baseline = interval(report["intervals"][metric]), figure(report["baseline"][metric])
        value += f" ({limits}), baseline {baseline}"
        more = f"The whole card: `reports/{paths.report.name}` among the artifacts of the run."
        client.update_model_version(registry.name, str(version), f"{value}\n\n{card}\n\n{more}")
    if judged["alias"] == "champion":
        target = read_json(paths.candidate / "model.json")["target"]
        text = f"Predicts {target}. The version that answers carries the alias `champion`."
        client.update_registered_model(registry.name, text)
