"""Versions of a store that is a file: what an alias names, and copies of what lies on this disk."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..files import read_json, write_json
from ..tracking_store import ask_file

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
    for version, model_hash in ask_file(uri, ALIAS, name, alias):
        return int(version), model_hash
    return None


def copy(uri: str, name: str, version: int, folder: Path) -> None:
    """Write what `Registry.download` does; raises OSError where not all of it is in local files."""
    for model, run in ask_file(uri, PLACES, name, version):
        shutil.copytree(_local(model) / "data" / "candidate", folder / "model")
        golden = _local(run) / "golden.json"
        known = {
            "version": version,
            "tags": dict(ask_file(uri, TAGS, name, version)),
            "metrics": read_json(_local(run) / "reports" / "metrics.json"),
            "golden": read_json(golden) if golden.exists() else {},
        }
        write_json(folder / "version.json", known)


def _local(place: str) -> Path:
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        raise OSError(f"{place} is not on this machine")
    return Path(url2pathname(parts.path))
