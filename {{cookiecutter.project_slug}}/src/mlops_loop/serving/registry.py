"""Which version an alias names, asked without importing MLflow, and a verified copy of it on disk.

A service looks every few seconds, and must start while the registry is away.
"""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..files import read_json, replaced, write_json
from ..models.model import Model, load, model_hash
from ..project import Paths, Settings, UserError
from ..tracking import store as tracking_store
from . import local_store

BAKED = "baked"  # MLFLOW_TRACKING_URI of an image that holds its model: its own copies are all
ASK_SECONDS, FETCH_SECONDS = 5, 300
SECRET = re.compile(r"//[^/@\s]*@")  # user and password of an address


class Unreachable(UserError):
    """The registry does not answer."""


@dataclass(frozen=True)
class Pointer:
    """The version that an alias names, and the hash of its model."""

    version: int
    model_hash: str


@dataclass(frozen=True)
class Served:
    """A version in memory, with what the registry knows of it."""

    version: int
    model: Model
    tags: dict[str, str]
    metrics: dict[str, Any]
    golden: dict[str, Any]


def find(paths: Paths, settings: Settings, alias: str) -> Pointer | None:
    """The version behind an alias, None if there is none; raises Unreachable."""
    if settings.tracking_uri == BAKED:
        return _noted(paths, alias)
    try:
        found = tracking_store.find_alias(
            settings.tracking_uri, settings.project, alias, ASK_SECONDS
        )
    except sqlite3.OperationalError as error:
        place = settings.tracking_uri.removeprefix(tracking_store.FILE)
        raise Unreachable(f"{place}: {error}") from error
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise Unreachable(f"the tracking server: {error}") from error
    return Pointer(*found) if found else None


def serve(paths: Paths, settings: Settings, pointer: Pointer) -> Served:
    """Load a version from its copy on disk, made first if it is missing or damaged.

    Raises Unreachable where it cannot be fetched.
    """
    folder = paths.served / pointer.model_hash
    if not is_intact(folder):
        with _one_at_a_time(paths):
            _fetch(paths, settings, pointer)
    return open_copy(folder)


@contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    """Services and workers that share the folder do not write the same copy at once."""
    paths.served.mkdir(parents=True, exist_ok=True)
    with (paths.served / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _fetch(paths: Paths, settings: Settings, pointer: Pointer) -> None:
    if is_intact(paths.served / pointer.model_hash):  # another has made it meanwhile
        return
    if settings.tracking_uri.startswith(tracking_store.FILE):
        with (
            suppress(OSError, sqlite3.Error),
            replaced(paths.served / pointer.model_hash) as folder,
        ):
            local_store.copy(settings.tracking_uri, settings.project, pointer.version, folder)
    if not is_intact(paths.served / pointer.model_hash):
        _download(paths, settings, pointer)


def _download(paths: Paths, settings: Settings, pointer: Pointer) -> None:
    # In a process of its own: MLflow would cost the service three seconds and 200 MB.
    command = [sys.executable, "-m", f"{__package__}.fetch", str(paths.root), str(pointer.version)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(f"version {pointer.version}: not fetched in {FETCH_SECONDS} s") from None
    if done.returncode or not is_intact(paths.served / pointer.model_hash):
        words = done.stderr.strip().splitlines()[-1:] or ["its files do not have its hash"]
        reason = SECRET.sub("//", words[0])
        raise Unreachable(f"version {pointer.version} of {settings.project}: {reason}")


def is_intact(folder: Path) -> bool:
    """Whether the copy is whole: its files have the hash that its name is."""
    return (folder / "version.json").exists() and model_hash(folder / "model") == folder.name


def open_copy(folder: Path) -> Served:
    """The version that a copy holds."""
    known = read_json(folder / "version.json")
    return Served(model=load(folder / "model"), **known)


def remember(paths: Paths, alias: str, pointer: Pointer) -> None:
    """Note what was served last, for a start without the registry."""
    if last(paths, alias) != pointer:  # an image may not be written to
        write_json(paths.served / f"{alias}.json", vars(pointer))


def last(paths: Paths, alias: str) -> Pointer | None:
    """What was served last under an alias, if its copy is still whole."""
    pointer = _noted(paths, alias)
    return pointer if pointer and is_intact(paths.served / pointer.model_hash) else None


def _noted(paths: Paths, alias: str) -> Pointer | None:
    note = paths.served / f"{alias}.json"
    return Pointer(**read_json(note)) if note.exists() else None
