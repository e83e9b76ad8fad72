"""Copies of versions: the same from a local file as through MLflow."""

import sqlite3
from pathlib import Path

import pytest
from mlops_loop.files import discard
from mlops_loop.project import load_settings
from mlops_loop.serving import registry
from projects import Project
from services import Service


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a copy."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_local_store_gives_the_copy_that_mlflow_gives(served_once: Project) -> None:
    project = served_once
    settings = load_settings(project)
    pointer = registry.find(project, settings, "champion")
    assert pointer is not None
    folder, copies = project.served / pointer.model_hash, []
    for fetch in (registry._fetch, registry._download):
        discard(folder)
        fetch(project, settings, pointer)
        copies.append(contents(folder))
    assert copies[0] == copies[1]
    assert "version.json" in copies[0]


def test_files_on_another_machine_are_left_to_mlflow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = service.project
    settings = load_settings(project)
    pointer = registry.find(project, settings, "champion")
    assert pointer is not None
    discard(project.served)
    with sqlite3.connect(project.store) as store:
        store.execute("update logged_models set artifact_location = 's3://team/models'")
    asked = []
    monkeypatch.setattr(registry, "_download", lambda *given: asked.append(given[-1]))
    registry._fetch(project, settings, pointer)
    assert asked == [pointer]
    assert contents(project.served) == {}
