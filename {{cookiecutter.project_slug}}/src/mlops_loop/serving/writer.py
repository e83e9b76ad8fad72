"""Writes the prediction log in a process of its own: a request would wait for its turns."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event, Thread
from typing import IO, Any

from . import telemetry as observe
from .prediction_log import Keeper, database
from .spool import Spool

DRAIN_SECONDS, STOP_SECONDS = 0.5, 20
POLITE = 10  # answers go first where there are few cores
Take = Callable[[list[Path]], str | None]  # returns what is wrong, if anything


class Writer:
    """The thread that has the spool drained; a database that is down only lets the spool grow."""

    def __init__(self, spool: Spool, take: Take) -> None:
        self.spool, self._take = spool, take
        self.problem: str | None = None
        self._over, self._thread = Event(), Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Drain once more and end; what a database is too slow for stays in the spool."""
        self._over.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(DRAIN_SECONDS):
            self._once()
        self._once()

    def _once(self) -> None:
        problem = attempted(lambda: self._take(self.spool.closed()))
        if problem != self.problem:
            observe.log("log", problem=problem)
        self.problem = problem


class Beside:
    """That process: started when there is none; it ends when nobody can ask it any more."""

    def __init__(self, url: str, retention_days: int) -> None:
        self._settings = [url, retention_days]
        self._process: Popen[str] | None = None

    def take(self, segments: list[Path]) -> str | None:
        """Have it take spool files; returns what is wrong, raises OSError where it died."""
        if self._process is None or self._process.poll() is not None:
            self._process = Popen(
                [sys.executable, "-m", __name__],
                stdin=PIPE,
                stdout=PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C ends the service, which still needs it
            )
            _say(self._settings, self._process.stdin)
        _say(segments, self._process.stdin)
        answer = self._process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise ChildProcessError("the process that writes the log has ended")
        problem: str | None = json.loads(answer)
        return problem


def _say(what: Any, file: IO[str] | None) -> None:
    print(json.dumps(what, default=str), file=file, flush=True)


def attempted(do: Callable[[], str | None]) -> str | None:
    """What it returns, or the kind of error that it raised: the next turn tries again."""
    try:
        return do()
    except Exception as error:
        return type(error).__name__


def main() -> None:
    """Take the files that stdin names, line by line, and answer on stdout what is wrong."""
    os.nice(POLITE)
    url, retention_days = json.loads(sys.stdin.readline())
    keeper = Keeper(database(url), retention_days)
    for line in sys.stdin:
        segments = [Path(name) for name in json.loads(line)]
        _say(attempted(partial(keeper.take, segments)), sys.stdout)


if __name__ == "__main__":
    main()
