"""Each measurement runs at a small size and yields the rows that its table promises."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import Factory

from benchmarks import (
    batch,
    common,
    first_train,
    loop,
    monitoring,
    quality,
    rendering,
    tables,
    throughput,
)
from benchmarks.__main__ import ALL

STAGES = ["ingest", "validate", "prepare", "featurize", "train", "evaluate", "register"]


@pytest.fixture(scope="module")
def small(make_project: Factory) -> Path:
    """A project on few rows; the measurements follow each other in it."""
    project = make_project()
    common.set_params(project, ingest__rows_per_month=500)
    return project


def test_rendering_compares_hooks_with_empty_ones(tmp_path: Path) -> None:
    rows = rendering.measure(tmp_path, 1)
    assert [row["render with"] for row in rows] == [*rendering.VARIANTS, rendering.BY_HAND]
    assert rows[0]["times empty hooks"] == 1
    assert (tmp_path / "empty hooks" / "0" / "my-project" / "LICENSE-MIT").exists()
    assert (tmp_path / list(rendering.VARIANTS)[-1] / "0" / "my-project" / "LICENSE").exists()


def test_the_first_training_is_split_by_stage_and_import(small: Path) -> None:
    walls = first_train.by_stage(small)
    assert list(walls) == [first_train.START, *STAGES] == [first_train.START, *first_train.MODULES]
    assert first_train.imports(small, "validate").keys() >= {"polars", "pydantic"}
    rows = first_train.table_rows(walls, {"train": Counter(mlflow=1.5, polars=0.25)})
    assert rows[5]["largest"] == "mlflow 1.50, polars 0.25" and rows[5]["of which imports"] == 1.75
    assert rows[-1]["seconds"] == pytest.approx(sum(walls.values()))


def test_both_pipelines_make_the_same_table(small: Path) -> None:
    rows = throughput.measure(small, 20_000)
    assert len(rows) == 7 and rows[0]["times faster"] == 1
    count = "import polars, sys; print(polars.scan_parquet(sys.argv[1]).collect().height)"
    for split in ("train", "validation", "test"):
        made = (f"processed/{split}/*", f"at-once/{split}", f"by-month/{split}")
        counts = {common.run(small, "python", "-c", count, f"data/{path}.parquet") for path in made}
        assert len(counts) == 1, counts


def test_batch_is_measured_beside_the_model_alone(small: Path) -> None:
    alone, ours = batch.measure(small, 4_000, ["csv"])
    assert alone["share of the model alone"] == 1
    assert ours["what"] == "`make predict`, csv to csv" and ours["peak MiB, all rows"] > 100


def test_quality_is_measured_on_the_real_months_where_they_are(small: Path) -> None:
    params = {"ingest__months": ["2023-01", "2023-02"], "prepare__test_from": "2023-02-01"}
    if "TLC_DATA" in os.environ:
        params = quality.real_months(Path(os.environ["TLC_DATA"]))
    common.set_params(small, **params)
    rows = quality.measure(small, ["lightgbm"])
    assert [row["`train.model`"] for row in rows] == ["lightgbm", "baseline (mean)"]
    assert 0 < rows[0]["trees"] <= 250


def test_tables_are_adopted_trained_and_compared(make_project: Factory) -> None:
    found = tables.measure(make_project(), "wine", splits=2)
    assert (found["task"], found["rows"], found["features"]) == ("multiclass", 178, 13)
    assert all(0 < each["ours"] < each["baseline"] for each in found["losses"])
    assert all(0 < each["CatBoost"] < each["baseline"] for each in found["losses"])
    row, means = tables.report([found])
    assert means["ours / CatBoost"] == pytest.approx(row["ours / CatBoost"])
    assert 0.01 < row["ms a row"] < 10 and row["kB"] > 1


def test_a_result_is_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- noop -->\nold\n<!-- /noop -->\n<!-- gate -->\nkept\n<!-- /gate -->\n")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(common, "PAGES", (page,))
    common.publish("noop", [{"command": "make train", "seconds": 1.234}], "A note.")
    text = page.read_text()
    assert "| make train | 1.23 |" in text and "kept" in text and "old" not in text
    kept = json.loads((tmp_path / "noop.json").read_text())
    assert kept["rows"] == [{"command": "make train", "seconds": 1.234}]
    assert "cores" in kept["machine"] and "Python" in kept["machine"]


def test_every_measurement_has_its_place_on_the_page() -> None:
    page = (common.TEMPLATE / "benchmarks" / "README.md").read_text()
    for name in ALL:
        assert f"<!-- {name} -->\n" in page and f"<!-- /{name} -->" in page
        module: Callable[[], None] = __import__(f"benchmarks.{name}", fromlist=["main"]).main
        assert callable(module)


def test_the_monitor_is_counted_in_stable_and_changed_worlds() -> None:
    alarms, seen = monitoring.measure(30, 10)
    assert len(alarms) == 48 and {row["columns"] for row in alarms} == {10, 30}
    assert all(row["both"] <= 3 * 365 / 30 for row in alarms)
    rivals = ("Evidently, any", "p < 0.05, any")
    assert all(sum(row[name] for row in alarms) > 10_000 / len(rivals) for name in rivals)
    assert monitoring.episodes(np.array([1, 1, 0, 1, *[0] * 8, 1])) == 2
    assert seen[2]["seen on its first day"] >= 0.8


def test_the_loop_is_held_against_what_else_could_be_done() -> None:
    rows = loop.measure(["jumps"], [1], days=196)  # the relation jumps on day 150
    assert [row["cost"] for row in rows] == list(loop.COSTS)
    policies = ("never", "monthly", "Evidently, half", "Evidently, any", "ours")
    assert all(row[policy] >= 1 for row in rows for policy in policies), "the oracle is the best"
    assert rows[0]["our retrainings (promoted)"] == "1 (1)"
    assert all(row["ours"] < 1.1 for row in rows)
    assert rows[1]["ours"] < min(rows[1][policy] for policy in policies[:-1])
