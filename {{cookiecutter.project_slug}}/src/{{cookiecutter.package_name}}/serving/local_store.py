"""MLflow's store in a local file, read without the three seconds that importing MLflow takes."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from ..files import read_json, write_json

SCHEME = "sqlite:///"
ALIAS = """
select a.version, t.value from registered_model_aliases a
join model_version_tags t on t.name = a.name and t.version = a.version and t.key = 'model_hash'
where a.name = ? and a.alias = ?
"""
TAGS = "select key, value from model_version_tags where name = ? and version = ?"
PLACES = """
select m.artifact_location, r.artifact_uri from model_versions v
join logged_models m on v.source = 'models:/' || m.model_id
join runs r on r.run_uuid = v.run_id
where v.name = ? and v.version = ?
"""


def find(uri: str, name: str, alias: str) -> tuple[int, str] | None:
    """The version behind an alias and the hash of its model; raises sqlite3.OperationalError."""
    for version, model_hash in _ask(uri, ALIAS, name, alias):
        return int(version), model_hash
    return None


def copy(uri: str, name: str, version: int, folder: Path) -> None:
    """Write what `Registry.download` does; raises OSError where not all of it is in local files."""
    for model, run in _ask(uri, PLACES, name, version):
        shutil.copytree(_local(model) / "data" / "candidate", folder / "model")
        golden = _local(run) / "golden.json"
        known = {
            "version": version,
            "tags": dict(_ask(uri, TAGS, name, version)),
            "metrics": read_json(_local(run) / "reports" / "metrics.json"),
            "golden": read_json(golden) if golden.exists() else {},
        }
        write_json(folder / "version.json", known)


def _ask(uri: str, query: str, *values: str | int) -> list[Any]:
    path = quote(uri.removeprefix(SCHEME))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
        return store.execute(query, values).fetchall()


def _local(place: str) -> Path:
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        raise OSError(f"{place} is not on this machine")
    return Path(url2pathname(parts.path))
