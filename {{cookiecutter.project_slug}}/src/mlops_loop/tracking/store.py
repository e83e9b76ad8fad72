"""A tracking store, server or file, asked without the seconds that importing MLflow takes."""

import base64
import json
import os
import sqlite3
import urllib.request
from contextlib import closing
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

API = "/api/2.0/mlflow/"
FILE = "sqlite:///"

ALIAS = """
select a.version, t.value from registered_model_aliases a
join model_version_tags t on t.name = a.name and t.version = a.version and t.key = 'model_hash'
where a.name = ? and a.alias = ?
"""


def ask_file(uri: str, query: str, *values: str | int) -> list[Any]:
    """The rows that a query finds; changes nothing, raises sqlite3.OperationalError."""
    path = quote(uri.removeprefix(FILE))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        return store.execute(query, values).fetchall()


def ask_server(uri: str, question: str, seconds: float, **query: str | int) -> Any:
    """The JSON that the server at `uri` answers; raises OSError, HTTPException or ValueError."""
    parts = urlsplit(uri)
    place = parts._replace(
        netloc=parts.netloc.rpartition("@")[2],
        path=parts.path.rstrip("/") + API + question,
        query=urlencode(query),
    )
    request = urllib.request.Request(place.geturl())
    secret = _authorization(parts)
    if secret:
        # Unredirected: another server that this one names must not see it.
        request.add_unredirected_header("Authorization", secret)
    with urllib.request.urlopen(request, timeout=seconds) as response:
        return json.load(response)


def find_alias(uri: str, name: str, alias: str, seconds: float) -> tuple[int, str] | None:
    """The version behind an alias and the hash of its model; raises as the others do."""
    if uri.startswith(FILE):
        found = ask_file(uri, ALIAS, name, alias)
        return (int(found[0][0]), found[0][1]) if found else None
    try:
        answer = ask_server(uri, "registered-models/alias", seconds, name=name, alias=alias)
    except HTTPError as error:
        if error.code in (400, 404) and b'"error_code"' in error.read():
            return None  # MLflow's own words; a proxy's would tell nothing of the alias
        raise
    version = answer["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
    return int(version["version"]), tags.get("model_hash", "")


def _authorization(parts: SplitResult) -> str | None:
    """What MLflow sends: user and password, of the environment or the address, else a token."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None
