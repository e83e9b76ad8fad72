"""`make loop`: one turn of the loop: check, respond, retrain where there is reason to, notify.

The one entry for every scheduler. A turn may be repeated: for the same day and evidence it records
and sends nothing twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial

from ..console import Arguments, parse
from ..database import now
from ..files import Content
from ..project import Paths, UserError
from ..tracking import history, open_registry
from .batch import NothingToCheck
from .check import LEVELS
from .decide import describe, find_freeze
from .monitor import parse_day
from .notes import summarise
from .notify import notify
from .params import Responses
from .respond import RESPONSES, ROLLED_BACK, Situation

UNCHECKED: Content = {"status": "healthy", "alarms": [], "columns": []}


def main(turn: Callable[[date], Content], arguments: Arguments) -> Content:
    """Take the turn of TODAY (UTC); returns the content of the check."""
    given = parse("loop", arguments, today="").today
    return turn(parse_day("TODAY", given) or now().date())


@contextmanager
def alone(paths: Paths) -> Iterator[None]:
    """Hold the lock of automatic actions; raises UserError where another process holds it."""
    with (paths.root / ".loop.lock").open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError as error:
            raise UserError("another turn or retraining is at work; nothing was done.") from error
        yield


def take_turn(
    paths: Paths,
    responses: Responses,
    check: Callable[..., Content],
    retrain: Callable[[Content, date], Content],
    today: date,
) -> Content:
    """Take one turn on a day; returns the content of the check.

    `check` is `monitor.run_check` but for paths, registry, version and days; `retrain` evaluates
    the triggers on the content of a check, and returns an outcome with its reason. Raises UserError
    where either cannot be, or another turn is at work.
    """
    with alone(paths):
        registry = open_registry(paths)
        checks = [entry for entry in history.read(paths, "check") if entry.by == "loop"]
        run_check = partial(check, paths, registry, today=today)
        try:
            content = run_check()
        except NothingToCheck as nothing:
            version = registry.find("champion").name
            content = UNCHECKED | {"version": version, "sentences": [str(nothing)]}
        record_check(paths, content, checks[-1:], today)
        first = f"{content['status']}: version {content['version']}"
        print(first, *content["sentences"], sep="\n  ")
        if frozen := find_freeze(paths):
            print(f"{describe(frozen)}; nothing else is done.")
            return content
        previous = partial(run_check, version="previous", write=False)
        found = Situation(registry, responses, content, checks, today, lambda d: previous(since=d))
        said = {name: respond(found) for name, respond in RESPONSES.items()}
        for name, reason in said.items():
            if reason:
                print(f"{name}: {reason}")
                notify(paths, name, reason, champion=registry.aliases()["champion"])
        if not said[ROLLED_BACK]:  # which the check was about
            done = retrain(content, today)
            print(f"retraining: {done['outcome'] or 'none'}: {done['reason']}")
    return content


def record_check(paths: Paths, content: Content, last: list[history.Entry], today: date) -> None:
    """Append a check to the history, and notify of a worse verdict; a repetition does neither."""
    status, version = content["status"], int(content["version"])
    reason = f"{status}: {' '.join(content['sentences'])}"
    if [(entry.reason, entry.version, entry.day) for entry in last] == [(reason, version, today)]:
        return
    before = [entry.content["status"] for entry in last if entry.version == version] or LEVELS[:1]
    known = summarise(content) | {"day": today}
    history.append(paths, "check", by="loop", reason=reason, version=version, **known)
    if LEVELS.index(status) > LEVELS.index(before[0]):
        notify(paths, "alarm", reason, version=version, page=paths.monitoring / "index.html")
