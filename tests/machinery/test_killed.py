"""Stages `ingest` and `register`, killed around each step that writes, and run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlops_loop.files import write_json
from mlops_loop.tracking import registry as tracking
from mlops_loop.tracking.registry import Registry
from project.data import ingest
from project.models import register
from project.params import load_params
from projects import Project, assert_agreed, gate, offer, registry_of


def killed(step: Callable[..., Any], before: bool, times: int) -> Callable[..., Any]:
    """The step, killed just before or just after its work, at its n-th call."""
    calls = [0]

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == times and before:
            raise KeyboardInterrupt
        result = step(*arguments, **options)
        if calls[0] == times:
            raise KeyboardInterrupt
        return result

    return stopped


def kill_and_repeat(
    project: Project, patch: pytest.MonkeyPatch, owner: Any, step: str, before: bool, times: int
) -> None:
    """Run register with one step killed, then run it again, and see that all agree."""
    with patch.context() as inner:
        inner.setattr(owner, step, killed(getattr(owner, step), before, times))
        with pytest.raises(KeyboardInterrupt):
            register.main(project)
    champion = registry_of(project).aliases().get("champion")
    assert champion is None or champion <= len(registry_of(project).versions())
    register.main(project)
    assert_agreed(project)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (tracking, "_log_model"),
        (tracking, "log_evaluation"),
        (Registry, "register"),
        (Registry, "tag"),
        (Registry, "point"),
        (register, "write_json"),
    ],
)
def test_killed_at_its_first_registration(
    trained: Project, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, before: bool
) -> None:
    kill_and_repeat(trained, monkeypatch, owner, step, before, times=1)
    assert gate(trained)["decision"] == "promote"
    assert registry_of(trained).aliases() == {"champion": 1}
    assert len(registry_of(trained).versions()) == 1
    runs = tracking.mlflow.search_runs(output_format="list")
    assert [run.info.status for run in runs].count("FINISHED") == 1


@pytest.mark.parametrize(
    ("step", "times"),
    [("register", 1), ("tag", 1), ("append_history", 1), ("point", 1), ("point", 2)],
)
def test_killed_while_the_champion_changes(
    trained: Project, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    offer(trained, "worse")
    trained.put_model("better")
    kill_and_repeat(trained, monkeypatch, Registry, step, before=False, times=times)
    assert registry_of(trained).aliases() == {"champion": 2, "previous": 1}


@pytest.mark.parametrize("before", [True, False])
def test_killed_while_a_challenger_is_held_and_while_it_becomes_champion(
    trained: Project, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    register.main(trained)
    [path] = (trained.interim / "test").iterdir()
    rows = pl.read_parquet(path)
    rows.drop("size").write_parquet(path)  # nothing can be scored
    trained.put_model("worse")
    kill_and_repeat(trained, monkeypatch, Registry, "point", before, times=1)
    assert registry_of(trained).aliases() == {"champion": 1, "challenger": 2}
    registry_of(trained).unpoint("champion")
    rows.write_parquet(path)
    kill_and_repeat(trained, monkeypatch, Registry, "unpoint", before, times=1)
    assert registry_of(trained).aliases() == {"champion": 2, "previous": 1}


def test_killed_before_the_record_a_partition_is_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.edit(ingest__source="sample", ingest__months=["2024-01"], ingest__rows_per_month=50)
    ingest.main(project)
    before = {path.name: path.read_bytes() for path in project.raw.iterdir()}
    seed = load_params(project.params).seed
    project.edit(seed=seed + 1)
    writes: list[object] = []

    def killed_the_second_time(path: Path, value: object) -> None:
        writes.append(value)
        if len(writes) == 2:
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "write_json", killed_the_second_time)
        with pytest.raises(KeyboardInterrupt):
            ingest.main(project)
    project.edit(seed=seed)
    ingest.main(project)
    assert {path.name: path.read_bytes() for path in project.raw.iterdir()} == before
