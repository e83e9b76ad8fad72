"""A bar over long work: on a terminal only, and only once the work has lasted two seconds."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TypeVar

from .project import run

LONGEST = 60


def aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines with equal columns."""
    widths = [min(max(map(len, column)), LONGEST) for column in zip(*table, strict=True)]
    return [f"  {'  '.join(map(str.ljust, row, widths))}".rstrip() for row in table]


def markdown(table: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table; the first is its head."""
    lines = [f"| {' | '.join(map(cell, row))} |" for row in table]
    return "\n".join([lines[0], "|---" * len(table[0]) + "|", *lines[1:]])


def cell(text: object) -> str:
    """A text that cannot break a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").split())


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


def origin(origins: list[str]) -> str:
    """What the files of data/raw are; the first speaks for all."""
    return origins[0] if len(origins) == 1 else f"{len(origins)} files, the first is {origins[0]}"


def figure(value: float | None) -> str:
    """A figure as text; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def run_verb(verbs: Mapping[str, Callable[..., None]], arguments: Sequence[str]) -> None:
    """Run the verb that the first argument names with the others; a UserError ends it with 1."""
    if not arguments or arguments[0] not in verbs:
        raise SystemExit(f"usage: python -m <package> {{{','.join(sorted(verbs))}}} ...")
    run(lambda: verbs[arguments[0]](*arguments[1:]))
