"""A tracking server, asked without the two seconds of importing MLflow."""

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

API = "/api/2.0/mlflow/"


def ask(uri: str, question: str, seconds: float, **query: str | int) -> Any:
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
