"""Responses of the loop besides retraining: a table from evidence to what is done about it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ..commands.promote import promote
from ..data.contract import request_columns
from ..files import Content, read_json, write_json
from ..models import profile
from ..project import UserError
from ..serving.params import IMPUTED
from ..tracking import history
from ..tracking.gate import make_champion
from .evidence import mean_losses, to_date
from .monitor import PROFILE
from .params import Responses

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version

NEW = timedelta(days=28)  # of a champion: a later rise of its loss is no matter of its release
LEAST_ROWS = 100  # with known outcomes
BETTER = 0.9  # of the champion's loss: the loss that the one before may have had at most
KINDS: dict[str, Callable[[Any], Any]] = {"Float64": float, "Int64": int, "String": str}
KINDS["Boolean"] = "true".__eq__
ROLLED_BACK, IMPUTING = "rolled back", "missing upstream"


@dataclass(frozen=True)
class Situation:
    """The findings of a turn: `content` is that of latest.json, `checks` are the checks before.

    `check_previous` checks the champion before on the days from one on.
    """

    registry: "Registry"
    options: Responses
    content: Content
    checks: list[history.Entry]
    today: date
    check_previous: Callable[[date], Content]


def roll_back(found: Situation) -> str | None:
    """Restore the champion before where a new one collapses, and that was better on the same days.

    A rollback that was killed is completed. None is taken back, and none follows another.
    """
    registry, limit, loss = found.registry, found.options.rollback_above, found.content.get("loss")
    aliases, last = registry.aliases(), registry.history()[-1]
    restored = last["version"] if (last["event"], last["by"]) == ("rollback", "loop") else None
    if restored and restored != aliases["champion"]:
        make_champion(registry, restored, "loop", last["reason"], "rollback")
        return str(last["reason"])
    is_same = str(aliases["champion"]) == found.content["version"]  # no person moved the alias
    paged = found.content["status"] == "act"
    released = "previous" in aliases and last["event"] == "promote"
    if limit is None or not (loss and is_same and paged and released):
        return None
    first, since = find_release(found, aliases["champion"])
    observed, expected, rows = mean_losses(days_since(loss, since))
    ratio = max(observed / expected, observed / loss["reference"]) if rows else 0.0
    if rows < LEAST_ROWS or ratio <= limit or found.today - first > NEW:
        return None
    try:
        before = found.check_previous(since).get("loss")
    except UserError:  # it has no profile, or would have refused the rows
        return None
    was, _, known = mean_losses(days_since(before, since) if before else [])
    if not known or was > BETTER * observed:
        return None
    new, old = registry.find("champion"), registry.find("previous")
    reason = (
        f"the loss of {describe(new)} is {ratio:.2f} times that expected, or of its reference, on "
        f"{rows} rows since {since}, and {observed / was:.2f} times that of {describe(old)}"
    )
    promote(registry, "previous", "loop", reason)
    return reason


def find_release(found: Situation, champion: int) -> tuple[date, date]:
    """The day of the first check of this champion, and the day from which it is judged."""
    first = since = found.today
    for entry in reversed(found.checks):
        since = entry.day
        if entry.version != champion:
            return first, since
        first = entry.day
    return first, to_date(found.content["days"]["first"])


def days_since(loss: Content, since: date) -> list[Content]:
    """The days of a loss from one on."""
    return [day for day in loss["by_day"] if to_date(day["day"]) >= since]


def describe(version: "Version") -> str:
    """A version with what it was made from."""
    commit, data = (version.tags.get(n, "none")[:8] for n in ("git_commit", "data_version"))
    return f"{version} (commit {commit}, data {data})"


def impute(found: Situation) -> str | None:
    """Let the service impute columns that many rows of the last day lack, as long as they do."""
    registry, columns, limit = found.registry, found.content["columns"], found.options.impute_above
    version, file = registry.find("champion"), registry.paths.served / IMPUTED
    lacking = {
        each["column"]: f"{each['column']} ({each['missing']:.0%})"
        for each in columns
        if each["missing"] - each["reference_shares"][-1] > limit
    }
    known = read_json(file) if file.exists() else {}
    values = find_usual(registry, version, {*lacking}) if lacking else {}
    if not columns or not (lacking or known):
        return None
    write_json(file, {version.name: values} if lacking else {})
    told = ", ".join(f"{name}: {value}" for name, value in values.items()) or "nothing"
    day = found.content["days"]["last"]
    reason = f"rows of {day} lack {', '.join(lacking.values()) or 'nothing'}; imputed is {told}"
    if reason in {entry.reason for entry in history.read(registry.paths, "respond")}:
        return None
    about: Content = {"response": IMPUTING, "day": found.today, "version": version.number}
    history.append(registry.paths, "respond", by="loop", reason=reason, **about)
    return reason


def find_usual(registry: "Registry", version: "Version", names: set[str]) -> Content:
    """The median of numbers and the most frequent category of the reference, by nullable column."""
    reference, values = profile.load(registry.artifact(version, PROFILE)), Content()
    for column in request_columns(registry.contract(version)):
        if column.name not in names or not column.nullable or column.dtype not in KINDS:
            continue
        bins, some = reference.columns[column.name], reference.counts.filter(column=column.name)
        counts = np.bincount(some["bin"], some["rows"], len(bins))[:-1]
        if bins.levels:
            usual: Any = bins.levels[counts[:-1].argmax()]
        else:
            edges, middle = bins.edges or [0.0], np.searchsorted(counts.cumsum(), counts.sum() / 2)
            usual = edges[min(int(middle), len(edges) - 1)]
        values[column.name] = KINDS[column.dtype](usual)
    return values


RESPONSES = {ROLLED_BACK: roll_back, IMPUTING: impute}
