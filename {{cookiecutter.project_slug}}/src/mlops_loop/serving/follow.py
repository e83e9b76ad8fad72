"""Copies of the versions that the registry's aliases name, kept in step by a process of its own.

MLflow would cost the service three seconds and 200 MB, and a slow registry its requests. The folder
.serving/models holds `<hash>/` for each version, `<alias>.json` for the version that an alias
names, and `registry.json` for what is wrong with the registry.
"""

import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import TYPE_CHECKING

from ..files import read_json, replaced, write_json
from ..models.model import model_hash
from ..project import Paths, UserError, load_settings

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

CHAMPION, CHALLENGER = ALIASES = ("champion", "challenger")
BAKED = "baked"  # MLFLOW_TRACKING_URI of an image that holds its version: it follows no registry
SQLITE = "sqlite:///"
SECRET = re.compile(r"//[^/@\s]*@")  # user and password of an address
FIRST_SECONDS = 15  # for the registry to be read before a service starts from its copies
# MLflow's own patience is 120 s and seven retries.
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class VersionRef:
    """A version and the hash of its model."""

    version: int
    model_hash: str


def read_ref(file: Path) -> VersionRef | None:
    """The version that a file names; None where there is no file."""
    return VersionRef(**read_json(file)) if file.exists() else None


def is_intact(folder: Path) -> bool:
    """Whether a copy is complete: its model has the hash that the folder is called."""
    return (folder / "version.json").exists() and model_hash(folder / "model") == folder.name


def copy_version(registry: "Registry", version: "Version", folder: Path) -> VersionRef:
    """Copy a version below `folder`, unless an intact copy is there.

    Raises UserError where the registry's files do not have the hash of the version.
    """
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    ref = VersionRef(version.number, version.tags["model_hash"])
    if not is_intact(folder / ref.model_hash):
        with replaced(folder / ref.model_hash) as copy:
            copy.mkdir()
            registry.download(version, copy)
        if not is_intact(folder / ref.model_hash):
            raise UserError(f"{version}: the files in the registry do not have its hash.")
    return ref


def sync(registry: "Registry", folder: Path, known: dict[str, int]) -> None:
    """Copy what aliases name and note it; `known` holds the aliases that are in step."""
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
    settings, known, registry, store = load_settings(paths), dict[str, int](), None, None
    paths.served.mkdir(parents=True, exist_ok=True)
    with (paths.served / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        while True:
            try:
                if settings.tracking_uri.startswith(SQLITE):  # MLflow would make a missing file
                    inode = Path(settings.tracking_uri.removeprefix(SQLITE)).stat().st_ino
                    if inode != (store := store or inode):
                        return
                if registry is None:
                    from ..tracking.registry import connect

                    registry = connect(paths, settings)
                sync(registry, paths.served, known)
                problem = None
            except Exception as error:
                reason = str(error) or type(error).__name__
                problem = SECRET.sub("//", reason.splitlines()[0])
            write_json(paths.served / "registry.json", {"problem": problem})
            time.sleep(seconds)


class Follower:
    """Handle to the process that follows the registry; it ends when this process does."""

    def __init__(self, paths: Paths, seconds: float) -> None:
        self._command = [sys.executable, "-m", __name__, str(paths.root), str(seconds)]
        self._state = paths.served / "registry.json"
        self._process: Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the process unless it runs."""
        if self._process is None or self._process.poll() is not None:
            # Ctrl-C ends the service, and its end this process.
            self._process = Popen(self._command, stdin=PIPE, start_new_session=True)

    @property
    def last_sync(self) -> float:
        """The time of the last look at the registry; 0 before the first."""
        return self._state.stat().st_mtime if self._state.exists() else 0.0

    def wait(self, since: float) -> None:
        """Wait until the registry was read after `since`, a time; FIRST_SECONDS at most."""
        until = time.monotonic() + FIRST_SECONDS
        while self.last_sync <= since and time.monotonic() < until:
            time.sleep(0.05)


def make_image(paths: Paths, arguments: Sequence[str]) -> None:
    """Copy the version or alias `arguments[0]` to .serving/image, as the champion of an image."""
    from ..tracking.registry import connect

    registry = connect(paths, load_settings(paths))
    version = registry.find(arguments[0])
    with replaced(paths.image) as folder:
        write_json(folder / f"{CHAMPION}.json", vars(copy_version(registry, version, folder)))
    print(f"{version} is in {paths.image.relative_to(paths.root)}")


def exit_with_parent() -> None:
    """End this process, whatever it does, when the one that holds its stdin ends."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    Thread(target=exit_with_parent, daemon=True).start()
    os.environ |= PATIENCE
    root = Path(sys.argv[1])
    follow(Paths(root, root), float(sys.argv[2]))
