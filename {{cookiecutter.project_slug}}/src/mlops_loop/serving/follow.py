"""Copies of the versions that the registry's aliases name, kept in step by a process of its own.

MLflow would cost the service three seconds and 200 MB, and a slow registry its requests. The folder
.serving/models holds a folder for each version, `<alias>.json` for the version that an alias names,
and `registry.json` for the time and the problem of the last look at the registry.
"""

import os
import re
import shutil
import sys
import time
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import TYPE_CHECKING

from ..console import Arguments
from ..files import Content, read_json, replaced, write_json
from ..models.model import model_hash
from ..project import Paths, UserError, load_settings
from ..tracking import open_registry

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

CHAMPION, CHALLENGER = ALIASES = ("champion", "challenger")
BAKED = "baked"  # MLFLOW_TRACKING_URI of an image that holds its version: it follows no registry
SQLITE = "sqlite:///"
SECRET = re.compile(r"//[^/@\s]*@")  # user and password of an address
# MLflow's own patience is 120 s and seven retries.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class VersionRef:
    """A version and the hash of its model."""

    version: int
    model_hash: str

    @property
    def folder(self) -> str:
        """The name of the folder of its copy: another contract makes another version."""
        return f"{self.version}-{self.model_hash}"


def read_ref(file: Path) -> VersionRef | None:
    """The version that a file names; None where there is no file."""
    return VersionRef(**read_json(file)) if file.exists() else None


def read_state(folder: Path) -> Content:
    """The time and the problem, if any, of the last look at the registry."""
    file = folder / "registry.json"
    return dict(read_json(file)) if file.exists() else {"time": 0.0, "problem": None}


def is_intact(folder: Path, ref: VersionRef) -> bool:
    """Return whether a copy is complete and its model has the hash of the version."""
    whole = all((folder / name).exists() for name in ("version.json", "contract.yaml"))
    return whole and model_hash(folder / "model") == ref.model_hash


def copy_version(registry: "Registry", version: "Version", folder: Path) -> VersionRef:
    """Copy a version below `folder`, unless an intact copy is there; raises UserError."""
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    ref = VersionRef(version.number, version.tags["model_hash"])
    if not is_intact(folder / ref.folder, ref):
        with replaced(folder / ref.folder) as copy:
            shutil.copytree(registry.model_files(version), copy / "model")
            shutil.copytree(registry.artifact(version, "models/baseline"), copy / "baseline")
            shutil.copy(registry.artifact(version, "contract.yaml"), copy)
            known = {"version": version.number, "tags": version.tags}
            known["metrics"] = read_json(registry.artifact(version, "reports/metrics.json"))
            write_json(copy / "version.json", {**known, "golden": registry.golden(version)})
    return ref


def sync(registry: "Registry", folder: Path, known: dict[str, int]) -> None:
    """Copy and note the versions that aliases name; `known` are those that are in step."""
    named = registry.aliases()
    for alias in ALIASES:
        note = folder / f"{alias}.json"
        if alias not in named:
            note.unlink(missing_ok=True)
        elif named[alias] != known.get(alias):
            write_json(note, vars(copy_version(registry, registry.find(named[alias]), folder)))
        known[alias] = named.get(alias, 0)


def follow(paths: Paths, seconds: float) -> None:
    """Sync every few seconds; returns when the store's file was replaced by another.

    Services share the folder: one of their processes follows, the others wait for it to end.
    """
    uri, registry, store, known = load_settings(paths).tracking_uri, None, None, dict[str, int]()
    paths.served.mkdir(parents=True, exist_ok=True)
    with (paths.served / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        while True:
            problem = None
            try:
                if uri.startswith(SQLITE):  # MLflow would create a missing file
                    inode = Path(uri.removeprefix(SQLITE)).stat().st_ino
                    if inode != (store := store or inode):
                        return
                registry = registry or open_registry(paths)
                sync(registry, paths.served, known)
            except Exception as error:
                lines = str(error).splitlines() or [type(error).__name__]
                problem = SECRET.sub("//", lines[0])
            write_json(paths.served / "registry.json", {"time": time.time(), "problem": problem})
            time.sleep(seconds)


class Follower:
    """Handle to the process that follows the registry; it ends when this process does."""

    def __init__(self, paths: Paths, seconds: float) -> None:
        self._command = [sys.executable, "-m", __name__, str(paths.root), str(seconds)]
        self._folder, self._started = paths.served, time.time()
        self._process: Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the process unless it runs."""
        if self._process is None or self._process.poll() is not None:
            # In a session of its own: Ctrl-C ends the service, and its end this process.
            self._process = Popen(self._command, stdin=PIPE, start_new_session=True)

    def wait(self, seconds: float) -> None:
        """Wait for the first look at the registry, so many seconds at most."""
        until = time.monotonic() + seconds
        while read_state(self._folder)["time"] < self._started and time.monotonic() < until:
            time.sleep(0.05)


def main(paths: Paths, arguments: Arguments) -> None:
    """`make image`: copy version or alias `arguments[0]` to .serving/image, as its champion."""
    registry = open_registry(paths)
    version = registry.find(arguments[0])
    image = paths.root / ".serving" / "image"
    with replaced(image) as folder:
        write_json(folder / f"{CHAMPION}.json", vars(copy_version(registry, version, folder)))
    print(f"{version} is in {image.relative_to(paths.root)}")


def _exit_with_parent() -> None:
    sys.stdin.read()  # until the process that started this one ends
    os._exit(0)


if __name__ == "__main__":
    Thread(target=_exit_with_parent, daemon=True).start()
    os.environ |= PATIENCE
    follow(Paths(Path(sys.argv[1]), Path(sys.argv[1])), float(sys.argv[2]))
