"""A bar over long work: on a terminal only, and only once the work has lasted two seconds."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TypeVar

PATIENCE_SECONDS = 2.0
REFRESH_SECONDS = 0.1

Item = TypeVar("Item")


@dataclass
class _Work:
    description: str
    steps: int
    done: int = 0
    over: Event = field(default_factory=Event)

    def advance(self) -> None:
        self.done += 1

    def show(self) -> None:
        if self.over.wait(PATIENCE_SECONDS):
            return
        # Most work is over sooner, and a stage need not wait for this import.
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(self.description, total=self.steps if self.steps > 1 else None)
            while not self.over.wait(REFRESH_SECONDS):
                bar.update(task, completed=self.done)


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """The items one by one, under a bar that counts those that are done."""
    with working(description, len(items)) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def working(description: str, steps: int = 1) -> Iterator[Callable[[], None]]:
    """A bar over the block, which calls what it is given after each of several steps."""
    work = _Work(description, steps)
    if not sys.stderr.isatty():
        yield work.advance
        return
    beside = Thread(target=work.show, daemon=True)
    beside.start()
    try:
        yield work.advance
    finally:
        work.over.set()
        beside.join()
