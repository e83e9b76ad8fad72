"""Content and lineage of a run in MLflow."""

import json
import socket
import subprocess
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlops_loop import lineage
from mlops_loop.data.contract import load_contract
from mlops_loop.files import read_json, write_json
from mlops_loop.models.model import load
from mlops_loop.project import UserError, load_settings
from mlops_loop.serving.follow import copy_version
from mlops_loop.tracking import history
from mlops_loop.tracking import registry as tracking
from project.models import register, train
from project.params import load_params
from projects import CONTRACT, Project, offer, registry_of, sales


def git(project: Project, *arguments: str) -> None:
    """Run git as somebody."""
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=project.root, check=True)


def tags(project: Project) -> dict[str, str]:
    """The lineage that a training would carry now."""
    return lineage.lineage(project, load_settings(project), load_params(project.params))


def test_a_run_tells_where_it_comes_from(trained: Project) -> None:
    train.main(trained)
    register.main(trained)
    [run] = mlflow.search_runs(output_format="list")
    params, report = load_params(trained.params), read_json(trained.training)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.lightgbm.num_leaves"] == str(params.train.lightgbm.num_leaves)
    assert run.data.params["seed"] == str(params.seed)
    assert run.data.params["trees"] == str(report["trees"])
    assert read_json(trained.run)["lineage"].items() <= run.data.tags.items()
    assert {"author", "hardware", "python"} <= set(run.data.tags)
    [name] = report["history"]
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, f"validation_{name}")
    assert [metric.value for metric in history] == report["history"][name]


def test_a_run_carries_what_was_evaluated(trained: Project) -> None:
    register.main(trained)
    [run] = mlflow.search_runs(output_format="list")
    report = read_json(trained.metrics)
    assert run.data.metrics["test_rmse"] == report["test"]["rmse"]
    assert run.data.metrics["baseline/rmse"] == report["baseline"]["rmse"]
    assert run.data.metrics["interval/rmse_low"] == report["intervals"]["rmse"][0]
    artifacts = mlflow.MlflowClient().list_artifacts
    plots = {artifact.path for artifact in artifacts(run.info.run_id, "reports/plots")}
    assert plots == {f"reports/plots/{path.name}" for path in trained.plots.iterdir()}
    reports = {Path(artifact.path).name for artifact in artifacts(run.info.run_id, "reports")}
    assert {"validation.json", "prepare.json", "index.html", "slices.json"} <= reports


def test_runs_and_versions_are_named_by_what_they_are(trained: Project) -> None:
    register.main(trained)
    trained.edit(register__bars={"r2": 0.999})
    offer(trained, "worse")
    names = {run.info.run_name for run in mlflow.search_runs(output_format="list")}
    better, worse = (
        read_json(trained.root / name / "reports" / "metrics.json") for name in ("better", "worse")
    )
    first, second = (f"lightgbm rmse {one['test']['rmse']:.4g}" for one in (better, worse))
    assert names == {f"v1 {first} promoted", f"{second} rejected"}
    registry = registry_of(trained)
    [version] = registry.versions()
    value = first.removeprefix("lightgbm ")
    low, high = (f"{limit:.4g}" for limit in better["intervals"]["rmse"])
    baseline = f"{better['baseline']['rmse']:.4g}"
    assert version.description.startswith(f"{value} ({low} to {high}), baseline {baseline}\n")
    described = registry.client.get_registered_model(registry.name).description
    assert described.startswith("Predicts euros.")


def test_runs_carry_their_category(trained: Project) -> None:
    register.main(trained)
    registry = registry_of(trained)
    parent = registry.log_run("tune", {})
    registry.log_run("trial 0", {}, {"a": 1}, {"rmse": 2.0}, parent)
    (trained.root / "tuning").mkdir()
    registry.attach(parent, trained.root / "tuning", {"best_rmse": 2.0})
    runs = mlflow.search_runs(output_format="list")
    assert {run.data.tags["category"] for run in runs} == {"candidate", "sweep", "trial"}
    assert registry.client.get_run(parent).data.metrics == {"best_rmse": 2.0}


def test_the_run_of_mlflow_run_is_joined(trained: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    client = registry_of(trained).client
    experiment = client.create_experiment("another", trained.artifacts.as_uri())
    run = client.create_run(experiment, run_name="main")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    register.main(trained)
    register.main(trained)
    registry = registry_of(trained)
    assert registry.find("champion").run_id == run.info.run_id
    joined = registry.client.get_run(run.info.run_id)
    assert joined.data.metrics["test_rmse"] == read_json(trained.metrics)["test"]["rmse"]
    assert registry.load("champion").predict(sales(3)) == pytest.approx(
        load(trained.candidate).predict(sales(3))
    )
    assert mlflow.search_runs(output_format="list") == []


def test_metrics_that_are_evaluated_again_replace_the_old_ones(trained: Project) -> None:
    register.main(trained)
    report = read_json(trained.metrics)
    write_json(trained.metrics, report | {"test": report["test"] | {"mae": 0.5}})
    register.main(trained)
    [run] = mlflow.search_runs(output_format="list")
    assert run.data.metrics["test_mae"] == 0.5


def test_mlflow_itself_can_load_the_model(trained: Project) -> None:
    register.main(trained)
    name = load_settings(trained).project
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    rows = sales(50, seed=2).drop("price", "note", strict=False)
    assert np.allclose(model.predict(rows.to_pandas()), load(trained.candidate).predict(rows))
    inputs = {
        column.name: (getattr(column.type, "name", "any"), column.required)
        for column in model.metadata.signature.inputs
    }
    assert inputs == {
        "sold_at": ("datetime", True),
        "shop": ("string", False),
        "size": ("double", True),
        "items": ("any", False),
        "express": ("boolean", True),
    }
    assert [column.name for column in model.metadata.signature.outputs] == ["euros"]
    example = model.input_example
    assert list(example.columns) == list(inputs)
    assert np.isfinite(model.predict(example)).all()


@pytest.mark.parametrize("dtype", ["Int64", "int64", "float64", "object"])
def test_mlflow_takes_whole_numbers_with_gaps_as_pandas_holds_them(
    trained: Project, dtype: str
) -> None:
    register.main(trained)
    rows = sales(20, seed=2).drop("price").with_columns(pl.col("items").fill_null(1))
    if dtype != "int64":
        rows = rows.with_columns(pl.when(pl.col("items") > 3).then("items"))
    frame = rows.to_pandas()
    frame["items"] = pd.array(rows["items"].to_list(), dtype="Int64").astype(dtype)
    model = mlflow.pyfunc.load_model(f"models:/{load_settings(trained).project}@champion")
    assert np.allclose(model.predict(frame), load(trained.candidate).predict(rows))


def test_a_moved_store_is_refused(trained: Project) -> None:
    register.main(trained)
    moved = Project(trained.root.rename(trained.root.with_name("moved")))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(UserError, match="keeps absolute paths"):
            register.main(moved)


def test_a_new_store_is_the_one_made_with_the_environment(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment"
    environment.mkdir()
    prepared = mlflow.MlflowClient(f"sqlite:///{environment / 'mlflow.db'}")
    made = prepared.create_experiment("made at set-up")
    monkeypatch.setattr("sys.prefix", str(environment))
    registry = tracking.connect(project, load_settings(project))
    assert registry.client.get_experiment(made).name == "made at set-up"
    registry.client.delete_experiment(made)
    again = tracking.connect(project, load_settings(project)).client
    assert again.get_experiment(made).lifecycle_stage == "deleted"


def test_a_server_that_does_not_answer_is_said_within_seconds(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it accepts, and says nothing
        address = "127.0.0.1:{1}".format(*mute.getsockname())
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@{address}")
        started = time.monotonic()
        with pytest.raises(UserError, match=rf"server {address} does not answer \(ReadTimeout\)"):
            register.main(trained)
        assert time.monotonic() - started < 10
    with pytest.raises(UserError, match=rf"server {address} does not answer \(ConnectionError\)"):
        register.main(trained)
    assert not trained.gate.exists()


DATABASES = {
    "postgresql+psycopg://ada:secret@127.0.0.1:1/db": r"server 127\.0\.0\.1:1/db does not answer",
    "sqlite:////proc/none/mlflow.db": "unable to open database file",
    "mysql://ada:secret@127.0.0.1:1/db": "No module named 'MySQLdb'\\); start it, install its driver",
}


@pytest.mark.parametrize("address", DATABASES)
def test_a_database_that_does_not_answer_is_said_within_seconds(
    trained: Project, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    started = time.monotonic()
    with pytest.raises(UserError, match=DATABASES[address]) as said:
        register.main(trained)
    assert time.monotonic() - started < 10
    assert len(str(said.value).splitlines()) == 1 and "secret" not in str(said.value)


def test_another_server_is_used_where_one_is_named(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trained.root / "elsewhere.db"
    trained.store.rename(other)
    (trained.root / ".env").write_text(f"MLFLOW_TRACKING_URI=sqlite:///{other}\nTRIGGER=timer\n")
    monkeypatch.chdir(trained.root)
    register.main(trained)
    assert not trained.store.exists()
    assert tracking.connect(trained, load_settings(trained)).aliases() == {"champion": 1}
    assert tags(trained)["trigger"] == "timer"


def test_code_that_is_not_committed_makes_a_model_dirty(trained: Project) -> None:
    assert tags(trained)["git_commit"] == "none"
    (trained.root / ".gitignore").write_text("/data\n/models\n/*/models\nmlflow.db\nempty.db\n")
    git(trained, "init", "--quiet")
    git(trained, "add", "--all")
    git(trained, "commit", "--quiet", "--message", "all")
    assert tags(trained)["git_dirty"] == "false"
    assert len(tags(trained)["git_commit"]) == 40
    write_json(trained.metrics, {})
    trained.dvc_lock.write_text("stages: {}")
    assert tags(trained)["git_dirty"] == "false", "what the pipeline writes is not code"
    trained.edit(seed=5)
    assert tags(trained)["git_dirty"] == "true"


def test_the_same_model_from_a_commit_makes_its_version_clean(trained: Project) -> None:
    record = read_json(trained.run)
    register.main(trained)
    committed = {"git_commit": "a" * 40, "git_dirty": "false", "author": "Ada"}
    for dirty in (committed, {**committed, "git_commit": "b" * 40, "git_dirty": "true"}):
        lineage = record["lineage"] | dirty
        write_json(trained.run, record | {"lineage": lineage, "training_id": dirty["git_commit"]})
        register.main(trained)
    [version] = registry_of(trained).versions()
    assert committed.items() <= version.tags.items()
    entries = history.read(trained, "gate")
    commits = [entry.content["git_commit"] for entry in entries]
    assert commits == ["none", "a" * 40, "b" * 40]


def test_the_data_version_is_dvcs_hash_of_the_raw_data(trained: Project) -> None:
    outs = [{"path": "data/raw", "md5": "abc.dir"}]
    trained.dvc_lock.write_text(json.dumps({"stages": {"ingest": {"outs": outs}}}))
    assert tags(trained)["data_version"] == "abc.dir"


def test_hashes_follow_parameters_and_features(trained: Project) -> None:
    before = tags(trained)
    assert tags(trained) == before
    trained.edit(seed=5)
    features = trained.processed / "features.json"
    features.write_text(features.read_text().replace("weekday", "day"))
    after = tags(trained)
    assert {key for key in before if before[key] != after[key]} == {"params_hash", "features_hash"}


def test_a_version_keeps_its_contract_and_its_baseline(trained: Project, tmp_path: Path) -> None:
    register.main(trained)
    registry, first = registry_of(trained), load_contract(trained.contract)
    trained.contract.write_text(CONTRACT.replace("max: 100", "max: 120"))
    version = registry.find("champion")
    assert version.tags["contract_hash"] == read_json(trained.run)["lineage"]["contract_hash"]
    assert registry.contract(version) == first != load_contract(trained.contract)
    copy = tmp_path / copy_version(registry, version, tmp_path).folder
    assert load_contract(copy / "contract.yaml") == first
    assert load(registry.artifact(version, "models/baseline")).predict(sales(3)) == pytest.approx(
        load(trained.baseline).predict(sales(3))
    )
