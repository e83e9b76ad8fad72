"""The command line: verbs and their options, progress, tables and figures as text."""

import errno
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

from .project import UserError, run

LONGEST = 60
WORKING: list[Callable[..., None]] = []  # updates the line that is shown
Row = tuple[str, ...]
Arguments = Sequence[str]  # of a verb, as make passes them on
Item = TypeVar("Item")


def run_verb(verbs: Mapping[str, Callable[..., None]]) -> None:
    """Run the verb of the command line with its arguments; a UserError ends it with 1."""
    verb, *arguments = sys.argv[1:] or [""]
    if verb not in verbs:
        raise SystemExit(f"usage: python -m <package> {{{','.join(sorted(verbs))}}} ...")
    run(lambda: verbs[verb](*arguments))


def parse(verb: str, arguments: Arguments, **defaults: Any) -> Namespace:
    """Read options as make passes them on, `--NAME=value`; a blank value leaves the default."""
    parser = ArgumentParser(prog=f"make {verb}", allow_abbrev=False)
    for name in defaults:
        parser.add_argument(f"--{name.upper()}", f"--{name.replace('_', '-')}", dest=name)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value}
    return Namespace(**defaults | given)


def track(items: Iterable[Item], description: str) -> Iterable[Item]:
    """Yield the items, under a progress bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich import console, progress

    stderr = console.Console(stderr=True)
    return progress.track(items, description, console=stderr, transient=True)


def working(description: str) -> AbstractContextManager[Any]:
    """Show a line and the time during a block if stderr is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich import console, progress

    stderr, columns = console.Console(stderr=True), ("{task.description}", "{task.elapsed:.0f} s")
    bar = progress.Progress(*columns, console=stderr, transient=True)
    WORKING[:] = [partial(bar.update, bar.add_task(description, total=None))]
    return bar


def show_trees(state: Any) -> None:
    """Show trees and score of a fit on that line: a callback of LightGBM."""
    for update in WORKING:
        _, metric, value, *_ = state.evaluation_result_list[0]
        trees = f"train  {state.iteration + 1} of at most {state.end_iteration} trees"
        update(description=f"{trees}  {metric} {figure(value)}")


def check_free(host: str, port: str) -> None:
    """Raise UserError where a server could not listen, before anything starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, int(port)), family=family).close()
    except (OSError, OverflowError, ValueError) as error:
        words = f"HOST={host}, PORT={port}: {error}; choose another."
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            words = f"PORT={port} is in use by another program; end that, or choose another PORT."
        raise UserError(words) from None


def aligned(table: Sequence[Row]) -> list[str]:
    """Format rows as lines with equal columns."""
    widths = [min(max(map(len, column)), LONGEST) for column in zip(*table, strict=True)]
    return [f"  {'  '.join(map(str.ljust, row, widths))}".rstrip() for row in table]


def markdown(table: Sequence[Row]) -> str:
    """Format rows as a Markdown table; the first is its header."""
    head, *rows = (f"| {' | '.join(map(cell, row))} |" for row in table)
    return "\n".join([head, "|---" * len(table[0]) + "|", *rows])


def cell(text: object) -> str:
    """Escape a text for a Markdown table."""
    return " ".join(str(text).replace("|", "\\|").split())


def figure(value: float | None) -> str:
    """Format a number with four significant digits; a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.4g}"


def interval(limits: Sequence[float | None] | None) -> str:
    """Format the limits of an interval; a dash where there is none."""
    return " to ".join(map(figure, limits or [None]))


def change(gain: float, low: float, high: float) -> str:
    """An improvement with its interval in words: `better by 0.04 (0.03 to 0.05)`."""
    if gain < 0:
        return f"worse by {figure(-gain)} ({interval((-high, -low))})"
    return f"better by {figure(gain)} ({interval((low, high))})"
