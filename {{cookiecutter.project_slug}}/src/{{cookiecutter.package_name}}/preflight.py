"""What must hold before any stage runs; a fraction of a second, so that a no-op stays one."""

import re
import sqlite3
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.events import ScalarEvent

from . import tracking_store
from .data.contract import load_contract
from .data.sources import options
from .errors import run
from .files import discard, read_json, write_text
from .params import load_params
from .paths import PROJECT, Paths
from .settings import Settings, load_settings

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def version_exists(settings: Settings, version: int) -> bool:
    """Whether the store holds this version, asked without the two seconds of importing MLflow."""
    if settings.tracking_uri.startswith(tracking_store.FILE):
        return _in_file(settings.tracking_uri, settings.project, version)
    return _on_server(settings.tracking_uri, settings.project, version)


def _in_file(uri: str, name: str, version: int) -> bool:
    query = "select 1 from model_versions where name = ? and version = ? and current_stage != ?"
    try:
        return bool(tracking_store.ask_file(uri, query, name, version, "Deleted_Internal"))
    except sqlite3.OperationalError:
        return False


def _on_server(uri: str, name: str, version: int) -> bool:
    try:
        found = tracking_store.ask_server(uri, "model-versions/get", 10, name=name, version=version)
    except (OSError, HTTPException, ValueError):
        return False
    return "model_version" in found


def champion(settings: Settings) -> int | None:
    """The version that is the champion in the store, as far as it answers."""
    try:
        found = tracking_store.find_alias(settings.tracking_uri, settings.project, "champion", 10)
    except (sqlite3.OperationalError, OSError, HTTPException, ValueError, KeyError):
        return None
    return found[0] if found else None


def is_current(settings: Settings, gate: dict[str, Any]) -> bool:
    """Whether the store still is as the gate left it: its version is there, its champion too."""
    version = gate["version"]
    left = version if gate["decision"] == "promote" else gate["champion_version"]
    exists = version is None or version_exists(settings, version)
    return exists and champion(settings) == left


def bare_dates(text: str) -> list[ScalarEvent]:
    """The values in which YAML would find a date, wherever they stand."""
    scalars = [event for event in YAML().parse(text) if isinstance(event, ScalarEvent)]
    return [scalar for scalar in scalars if not scalar.style and DATE.fullmatch(scalar.value)]


def quote_dates(path: Path) -> None:
    """Quote bare dates in place: DVC refuses a params.yaml in which YAML finds a date."""
    text = path.read_text(encoding="utf-8")
    dates = bare_dates(text)
    for date in reversed(dates):
        start, end = date.start_mark.index, date.end_mark.index
        text = f'{text[:start]}"{text[start:end]}"{text[end:]}'
    if dates:
        print(f"{path.name}: dates are now in quotes, as DVC needs them.")
        write_text(path, text)


def main(paths: Paths = PROJECT) -> None:
    """Check params.yaml and contract.yaml; drop a gate.json that the store has moved on from."""
    params, contract = load_params(paths.params), load_contract(paths.contract)
    options(params.ingest)
    quote_dates(paths.params)
    bars = params.registration
    if bars.bars or bars.slices or bars.fairness:
        from .models.register import check_params  # NumPy takes a while, and most have no bars

        check_params(params, contract)
    if paths.gate.exists() and not is_current(load_settings(paths), read_json(paths.gate)):
        discard(paths.gate)


if __name__ == "__main__":
    run(main)
