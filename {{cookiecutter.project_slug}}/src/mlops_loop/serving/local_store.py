"""Copies of versions whose store is a file, and which lie on this disk."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..files import read_json, write_json
from ..tracking.store import ask_file

TAGS = "select key, value from model_version_tags where name = ? and version = ?"

PLACES = """
select m.artifact_location, r.artifact_uri from model_versions v
join logged_models m on v.source = 'models:/' || m.model_id
join runs r on r.run_uuid = v.run_id
where v.name = ? and v.version = ?
"""


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
