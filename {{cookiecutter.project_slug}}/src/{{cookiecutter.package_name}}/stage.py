"""How a stage of dvc.yaml runs: one at a time in a checkout."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock

from .errors import run
from .paths import PROJECT, Paths


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Wait for another stage in this checkout to end.

    DVC has a lock of its own, but when it is killed the stage that it started goes on writing.
    """
    with (paths.root / ".stage.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage alone; a UserError ends it with its text and exit code 1."""
    # A fifth of a stage's time went into looking for garbage among the objects that its libraries
    # make on import, and again at exit. What a stage leaves behind is gone when it ends.
    gc.disable()
    with locked(PROJECT):
        run(main)
    gc.freeze()
