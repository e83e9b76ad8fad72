"""A user's day, lived once, in order.

Only the number of rows is smaller than a user's.
"""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from helpers import Factory, git, package, run, shell

ROWS = 2_000
STAGES = ["ingest", "validate", "prepare", "featurize", "train", "evaluate", "register"]


@dataclass
class Day:
    """The project and what the user learns of it."""

    project: Path
    seen: dict[str, str] = field(default_factory=dict)

    def make(self, *arguments: str, succeeds: bool | None = True) -> str:
        return run(self.project, "make", *arguments, succeeds=succeeds).stdout

    def report(self, name: str) -> dict:
        return json.loads((self.project / "reports" / f"{name}.json").read_text())

    def change(self, name: str, old: str, new: str) -> None:
        path = self.project / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def query(self, sql: str) -> list[tuple]:
        with sqlite3.connect(self.project / "mlflow.db") as store:
            return store.execute(sql).fetchall()

    def versions(self) -> list[tuple]:
        return self.query("select version, status from model_versions order by version")

    def aliases(self) -> dict[str, int]:
        return dict(self.query("select alias, version from registered_model_aliases"))

    def tags(self, version: int) -> dict[str, str]:
        where = f"where version = {version}"
        return dict(self.query(f"select key, value from model_version_tags {where}"))


def stages_run(output: str) -> list[str]:
    """The stages that DVC ran or restored from its cache."""
    return [name for name in STAGES if f"Running stage '{name}'" in output]


@pytest.fixture(scope="module")
def day(make_project: Factory) -> Day:
    day = Day(make_project())
    day.change("params.yaml", "rows_per_month: 50000", f"rows_per_month: {ROWS}")
    git(day.project, "commit", "--quiet", "--no-verify", "--all", "--message", "Fewer rows")
    return day


def test_training_ends_with_a_champion_that_beats_the_baseline(day: Day) -> None:
    output = day.make("train")
    assert stages_run(output) == STAGES
    gate, metrics = day.report("gate"), day.report("metrics")
    assert (gate["decision"], gate["version"], gate["champion_version"]) == ("promote", 1, None)
    assert day.versions() == [(1, "READY")]
    assert day.aliases() == {"champion": 1}
    assert metrics["test"]["rmse"] < 0.7 * metrics["baseline"]["rmse"]
    low, high = metrics["intervals"]["rmse"]
    assert low < metrics["test"]["rmse"] < high
    assert f"{metrics['test']['rmse']:.4g}" in output
    assert "version 1 is the champion" in output
    assert "simulated" in output


def test_every_row_is_accounted_for(day: Day) -> None:
    read = day.report("validation")["rows"]
    prepared = day.report("prepare")
    assert list(read.values()) == [ROWS] * 4
    assert sum(prepared["rows"].values()) + sum(prepared["dropped"].values()) == 4 * ROWS
    assert day.report("metrics")["rows"] == prepared["rows"]


def test_the_version_says_where_it_comes_from(day: Day) -> None:
    tags = day.tags(1)
    assert tags["git_commit"] == git(day.project, "rev-parse", "HEAD")
    assert tags["git_dirty"] == "false"
    assert tags["trigger"] == "manual"
    assert tags["template_version"] == "0.1.0"
    lock = (day.project / "dvc.lock").read_text()
    assert tags["data_version"] in lock and tags["data_version"].endswith(".dir")
    assert {"params_hash", "features_hash", "model_hash", "reason"} <= set(tags)


def test_the_run_holds_what_a_reader_asks_for(day: Day) -> None:
    [(run_id,)] = day.query("select run_uuid from runs where status = 'FINISHED'")
    params = dict(day.query(f"select key, value from params where run_uuid = '{run_id}'"))
    assert params["train.model"] == "lightgbm" and params["seed"] == "42"
    metrics = dict(day.query(f"select key, value from latest_metrics where run_uuid = '{run_id}'"))
    assert metrics["test_rmse"] == day.report("metrics")["test"]["rmse"]
    assert metrics["baseline/rmse"] == day.report("metrics")["baseline"]["rmse"]
    artifacts = day.project / "mlartifacts" / run_id / "artifacts"
    kept = {str(p.relative_to(artifacts)) for p in artifacts.rglob("*") if p.is_file()}
    plots = ("dependence", "importance", "predicted_vs_actual", "residuals")
    reports = ("explanations", "metrics", "prepare", "slices", "validation")
    files = {f"reports/plots/{name}.png" for name in plots}
    files |= {f"reports/{name}.json" for name in reports}
    files |= {"reports/index.html", "reports/model_card.md", "contract.yaml", "dvc.lock"}
    files |= {
        f"models/baseline/{path.name}" for path in (day.project / "models/baseline").iterdir()
    }
    assert kept >= files | {"requirements/base.txt", "golden.json"}


def test_a_version_is_explained_with_its_worst_slices(day: Day) -> None:
    said = day.make("explain")
    assert "version 1: explained on" in said and "TreeSHAP" in said and "worst slices" in said
    explained = {path.name for path in (day.project / "reports" / "explain").iterdir()}
    assert explained == {"dependence.png", "explanations.json", "importance.png", "slices.json"}
    [(run_id,)] = day.query("select run_uuid from runs where status = 'FINISHED'")
    kept = day.project / "mlartifacts" / run_id / "artifacts" / "explain"
    assert {path.name for path in kept.iterdir()} == explained
    assert day.report("explain/slices") == day.report("slices")


def test_a_second_training_does_nothing_and_says_so(day: Day) -> None:
    compiled = package(day.project) / "data/sources/__pycache__"
    compiled.mkdir(exist_ok=True)
    (compiled / "sample.pyc").write_bytes(b"made by Python, not by the user")
    before = {p: p.stat().st_mtime_ns for p in day.project.glob("reports/*.json")}
    output = day.make("train")
    assert "up to date" in output and not stages_run(output)
    assert {p: p.stat().st_mtime_ns for p in day.project.glob("reports/*.json")} == before
    assert day.versions() == [(1, "READY")]


def test_the_result_is_committed_through_the_gate(day: Day) -> None:
    git(day.project, "add", "--all")
    git(day.project, "commit", "--quiet", "--message", "First champion")
    committed = git(day.project, "ls-files").splitlines()
    assert {"dvc.lock", "reports/metrics.json", "reports/validation.json"} <= set(committed)
    assert "reports/gate.json" not in committed
    assert git(day.project, "status", "--porcelain") == ""


def test_a_changed_value_reruns_the_stages_that_depend_on_it(day: Day) -> None:
    before, after = ("  confidence: 0.95\n\nregister", "  confidence: 0.9\n\nregister")
    day.change("params.yaml", before, after)
    assert stages_run(day.make("train")) == STAGES[5:]
    assert day.versions() == [(1, "READY")]


def test_a_worse_model_is_held(day: Day) -> None:
    day.seen["champion"] = (day.project / "models/candidate/booster.txt").read_text()
    git(day.project, "checkout", "--quiet", "params.yaml")
    day.change("params.yaml", "max_trees: 250", "max_trees: 5")
    output = day.make("train")
    assert stages_run(output) == STAGES[4:]
    gate = day.report("gate")
    assert (gate["decision"], gate["version"], gate["champion_version"]) == ("hold", 2, 1)
    assert day.aliases() == {"champion": 1}
    assert gate["comparisons"]["improvement"] < 0
    assert day.tags(2)["git_dirty"] == "true"


def test_a_reverted_parameter_is_restored_and_the_registry_stays_true(day: Day) -> None:
    runs = day.query("select count(*) from runs")
    day.change("params.yaml", "max_trees: 5 ", "max_trees: 250 ")
    day.make("train")
    assert (day.project / "models/candidate/booster.txt").read_text() == day.seen["champion"]
    assert day.query("select count(*) from runs") == runs, "train was not restored but run"
    assert day.report("gate")["version"] == 1
    assert day.versions() == [(1, "READY"), (2, "READY")]
    assert day.aliases()["champion"] == 1


def test_a_breach_of_the_contract_stops_training_with_a_table(day: Day) -> None:
    before = day.versions(), day.aliases()
    day.change("contract.yaml", "min: 0\n    max: 1000000", "min: 0\n    max: 2")
    output = day.make("train", succeeds=False)
    assert stages_run(output) == ["validate"]
    [violation, *_] = day.report("validation")["violations"]
    assert violation["column"] == "trip_distance" and violation["rule"] == "<= 2"
    assert violation["count"] > 0 and violation["example"] in output
    assert (day.versions(), day.aliases()) == before
    git(day.project, "checkout", "--quiet", "contract.yaml")


def test_a_wrong_key_is_named_before_a_stage_runs(day: Day) -> None:
    before = day.versions(), day.aliases()
    day.change("params.yaml", "seed: 42", "sead: 42")
    output = day.make("train", succeeds=False)
    git(day.project, "checkout", "--quiet", "params.yaml")
    assert "'seed' are missing from 'params.yaml'" in output and "Traceback" not in output
    assert (day.versions(), day.aliases()) == before


def test_new_rows_are_scored_and_a_bad_row_is_named(day: Day) -> None:
    day.make("train")
    columns = "VendorID,lpep_pickup_datetime,RatecodeID,PULocationID,DOLocationID"
    rows = [
        f"{columns},passenger_count,trip_distance,trip_type",
        "2,2023-05-01 08:00:00,1,74,75,1,3.2,1",
        "2,2023-05-01 08:00:00,1,74,75,1,far,1",
        "2,2023-05-01 08:00:00,,999,75,,3.2,",
        "2,2023-05-01 08:00:00,,74,75,,6.4,",
    ]
    (day.project / "new.csv").write_text("\n".join(rows) + "\n")
    output = day.make("predict", "INPUT=new.csv", "OUTPUT=scored.csv")
    assert "2 of 4 rows" in output and "row 2: trip_distance: far" in output
    scored = [line.split(",") for line in (day.project / "scored.csv").read_text().splitlines()]
    assert scored[0][-2:] == ["prediction", "error"]
    assert [bool(row[-2]) for row in scored[1:]] == [True, False, False, True]
    assert 1 < float(scored[1][-2]) < float(scored[4][-2]) < 60
    assert "PULocationID: 999 breaks" in scored[3][-1]


def test_a_fresh_clone_trains_into_a_store_of_its_own(day: Day, tmp_path: Path) -> None:
    git(day.project, "clone", "--quiet", str(day.project), str(tmp_path / "clone"))
    clone = Day(tmp_path / "clone")
    assert (clone.project / "data/external/.gitkeep").exists()
    assert (package(clone.project) / "data/ingest.py").exists()
    (clone.project / ".venv").symlink_to(day.project / ".venv")
    assert git(clone.project, "rev-parse", "HEAD") == git(day.project, "rev-parse", "HEAD")
    clone.make("train")
    assert clone.versions() == [(1, "READY")] and clone.aliases() == {"champion": 1}
    assert clone.tags(1)["model_hash"] == day.tags(1)["model_hash"]
    assert clone.tags(1)["git_dirty"] == "false"


def test_a_training_that_is_killed_is_taken_up_again(day: Day) -> None:
    before = day.versions()
    day.change("params.yaml", f"rows_per_month: {ROWS}", f"rows_per_month: {ROWS + 1}")
    for stage in ("prepare", "register"):
        kill_in(day.project, stage, os.killpg)
        assert day.versions() == before, f"killed in {stage}"
    day.make("train")
    assert_everything_agrees(day)
    assert list(day.report("validation")["rows"].values()) == [ROWS + 1] * 4


def test_a_stage_that_outlives_dvc_does_not_disturb_the_next_training(day: Day) -> None:
    day.change("params.yaml", "num_leaves: 127", "num_leaves: 31")
    kill_in(day.project, "train", os.kill)
    day.make("train")
    assert_everything_agrees(day)
    git(day.project, "checkout", "--quiet", "params.yaml")


def kill_in(project: Path, stage: str, kill: Callable[[int, int], None]) -> None:
    """Start DVC and kill it, or with `os.killpg` all that it started, when `stage` runs."""
    process = subprocess.Popen(
        [project / ".venv/bin/dvc", "repro"],
        cwd=project,
        env={
            **shell(),
            "PYTHONPATH": str(project / "src"),
            "PATH": f"{project / '.venv/bin'}:{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    module = f"-m {package(project).name}.(data|features|models).{stage}"
    module = module.replace(".", "[.]")
    search = ["pgrep", "-f", "--", module]
    while subprocess.run(search, check=False, stdout=subprocess.DEVNULL).returncode:
        assert process.poll() is None, f"the pipeline ended before {stage}"
        time.sleep(0.02)
    time.sleep(0.3)  # into the work, past the start of Python
    kill(process.pid, signal.SIGKILL)
    process.wait()


def assert_everything_agrees(day: Day) -> None:
    """DVC's record, the reports and the registry tell the same story."""
    dvc = [day.project / ".venv/bin/dvc", "status"]
    assert "up to date" in run(day.project, *dvc).stdout
    gate = day.report("gate")
    assert (gate["version"], "READY") in day.versions()
    record = json.loads((day.project / "models/run.json").read_text())
    assert day.tags(gate["version"])["model_hash"] == record["model_hash"]
    hashes = [day.tags(version)["model_hash"] for version, _ in day.versions()]
    assert len(set(hashes)) == len(hashes), "a model was registered twice"
    for version, _ in day.versions():
        [(source,)] = day.query(
            f"select storage_location from model_versions where version = {version}"
        )
        assert (Path(source.removeprefix("file://")) / "MLmodel").exists()
