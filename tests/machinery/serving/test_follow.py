"""Copies of versions: kept in step with the registry by a process, read by the service."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlops_loop.files import read_json, write_json
from mlops_loop.project import Paths, UserError
from mlops_loop.serving import follow
from mlops_loop.serving.follow import (
    ALIASES,
    Follower,
    VersionRef,
    is_intact,
    read_ref,
    read_state,
    sync,
)
from mlops_loop.serving.versions import Versions
from mlops_loop.tracking.registry import Registry
from projects import Project
from services import Change, Service, wait


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the copies."""
    return tmp_path / "models"


def named(folder: Path) -> dict[str, int]:
    """The versions that the folder names."""
    refs = {alias: read_ref(folder / f"{alias}.json") for alias in ALIASES}
    return {alias: ref.version for alias, ref in refs.items() if ref}


def test_the_folder_is_kept_in_step_with_the_aliases(registry: Registry, folder: Path) -> None:
    known: dict[str, int] = {}
    sync(registry, folder, known)
    assert named(folder) == {"champion": 1, "challenger": 2}
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2
    refs = [read_ref(folder / f"{alias}.json") for alias in ALIASES]
    assert all(ref and is_intact(folder / ref.folder, ref) for ref in refs)
    ref = VersionRef(1, registry.find(1).tags["model_hash"])
    content = read_json(folder / ref.folder / "version.json")
    assert content["tags"]["model_hash"] == ref.model_hash
    assert content["metrics"]["test"]["rmse"] > 0
    assert len(content["golden"]["records"]) == len(content["golden"]["scores"])
    registry.unpoint("challenger")
    try:
        sync(registry, folder, known)
        assert named(folder) == {"champion": 1}
    finally:
        registry.point("challenger", 2)
    sync(registry, folder, known)
    assert named(folder) == {"champion": 1, "challenger": 2}


def test_a_damaged_copy_is_replaced_and_a_damaged_registry_refused(
    registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(registry, folder, {})
    first = follow.copy_version(registry, registry.find(1), folder)
    booster = folder / first.folder / "model" / "booster.txt"
    kept = booster.read_bytes()
    booster.write_bytes(b"damaged")
    sync(registry, folder, {})
    assert booster.read_bytes() == kept
    other = registry.find(2)
    monkeypatch.setitem(other.tags, "model_hash", "0" * 64)
    with pytest.raises(
        UserError, match=r"version 2: its files in .* are not those that it was reg"
    ):
        follow.copy_version(registry, other, folder)


@contextmanager
def following(project: Paths) -> Iterator[Follower]:
    """The process, in step with the registry, as long as the block lasts."""
    follower = Follower(project, 0.05)
    follower.ensure()
    try:
        follower.wait(60)
        yield follower
    finally:
        assert follower._process is not None
        assert follower._process.stdin is not None
        follower._process.stdin.close()
        assert follower._process.wait(5) == 0, "it ends with the service"


def test_a_process_follows_the_registry_and_reports_when_it_is_away(
    served_once: Project, registry: Registry
) -> None:
    project, away = served_once, served_once.store.with_name("away.db")
    versions = Versions(project.served, Service(project).options(strategy="shadow"))
    with following(project) as follower:
        registry.point("champion", 2)
        try:
            wait(lambda: named(project.served)["champion"] == 2)
            versions.refresh()
            assert versions.champion.version == 2
        finally:
            registry.point("champion", 1)
        wait(lambda: named(project.served)["champion"] == 1)
        project.store.rename(away)
        try:
            wait(lambda: read_state(project.served)["problem"] is not None)
            assert not project.store.exists(), "MLflow made no empty one"
            versions.refresh()
            assert "No such file" in str(versions.problem)
            assert versions.refused == {"champion": True, "challenger": True}
            assert versions.champion.version == 1
        finally:
            away.rename(project.store)
        wait(lambda: read_state(project.served)["problem"] is None)
        assert follower._process is not None
        os.kill(follower._process.pid, signal.SIGKILL)
        follower._process.wait()
        killed = time.time()
        follower.ensure()
        wait(lambda: read_state(project.served)["time"] > killed)


def test_a_second_process_waits_until_the_first_ends(served_once: Project) -> None:
    with following(served_once):
        second = Follower(served_once, 0.05)
        second.ensure()
        since = time.time()
        second.wait(60)  # the first one's look is enough
        assert time.time() - since < 2
    since = time.time()
    wait(lambda: read_state(served_once.served)["time"] > since)
    assert second._process is not None
    second._process.kill()
    second._process.wait()


def test_a_service_starts_from_its_copies_when_the_named_version_fails(service: Service) -> None:
    served, options = service.project.served, service.options(strategy="shadow")
    assert Versions(served, options).champion.version == 1
    follow.write_json(served / "champion.json", vars(VersionRef(7, "0" * 64)))
    versions = Versions(served, options)
    assert versions.champion.version == 1
    assert "champion: version 1 stays: the copy of version 7 is missing" in str(versions.problem)
    assert versions.refused == {"champion": True, "challenger": False}


def test_a_service_starts_when_its_damaged_copy_is_replaced(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = read_ref(service.project.served / "champion.json")
    assert champion is not None
    booster = service.project.served / champion.folder / "model" / "booster.txt"
    kept = booster.read_bytes()
    booster.write_bytes(b"damaged")
    options, follower = service.options(), Follower(service.project, 1)
    monkeypatch.setattr(follower, "ensure", lambda: None)
    monkeypatch.setattr(follower, "wait", lambda _: booster.write_bytes(kept))
    assert Versions(service.project.served, options, follower).champion.version == 1


def test_the_baseline_answers_marked_until_the_model_can_be_used(
    service: Service, record: Change
) -> None:
    served = service.project.served
    ref = read_ref(served / "champion.json")
    assert ref
    known = read_json(served / ref.folder / "version.json")
    wrong = {**known, "golden": {**known["golden"], "scores": [-1.0] * 10}}
    write_json(served / ref.folder / "version.json", wrong)
    with service.running() as client:
        first, other = (
            client.post("/predict", json=record(size=size)).json() for size in (1.0, 90.0)
        )
        assert first["fallback"] == "baseline" and first["model_version"] == ref.version
        assert "interval" not in first and first["prediction"] == other["prediction"]
        assert "its baseline answers" in client.get("/ready").json()["registry"]
    assert '"fallback": "baseline"' in str(service.logged()[0]["output"]).replace("'", '"')
    write_json(served / ref.folder / "version.json", known)
    with service.running() as client:
        answer = client.post("/predict", json=record()).json()
        assert "fallback" not in answer and answer["prediction"] != first["prediction"]


def test_an_image_needs_a_registered_version(registry: Registry, folder: Path) -> None:
    run = registry.find(registry.find(1).run_id)
    with pytest.raises(UserError, match="is not registered; name a version"):
        follow.copy_version(registry, run, folder)
