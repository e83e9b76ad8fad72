"""A tracking store, server or file, asked without the seconds that importing MLflow takes."""

import base64
import json
import os
import sqlite3
import urllib.request
from contextlib import closing
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

API = "/api/2.0/mlflow/"
FILE = "sqlite:///"


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


def _authorization(parts: SplitResult) -> str | None:
    """What MLflow sends: user and password, of the environment or the address, else a token."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None
