"""`make promote` and `make rollback`: a person moves the alias `champion`, and says why."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..files import discard
from ..lineage import author
from ..project import Paths, UserError, load_settings
from ..tracking.gate import OVERRULED, move_aliases, now

if TYPE_CHECKING:
    from ..tracking.registry import Registry

WHY = "say why, it is kept with the version: REASON='…'"


def promote(registry: "Registry", name: str, reason: str, who: str) -> str:
    """Make a version, or what an alias names, the champion; the old one becomes `previous`.

    Returns what was done; raises UserError where there is nothing to do, and changes nothing.
    """
    version = registry.find(name)
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    champion = registry.aliases().get("champion")
    if champion == version.number:
        raise UserError(f"{version} is the champion already.")
    decided = {"decision": "promote", "reason": reason, "decided_at": now(), "decided_by": who}
    registry.tag(version.number, {**decided, OVERRULED: ""})
    if champion is not None:
        registry.tag(champion, {OVERRULED: reason})
    move_aliases(registry, version.number, "promote")
    return f"{version} is the champion: {reason}"


def rollback(registry: "Registry", reason: str, who: str) -> str:
    """Make the champion before this one the champion again, without training.

    Raises UserError where there is none.
    """
    if "previous" not in registry.aliases():
        raise UserError("there is no champion before this one; `make promote VERSION=…` names one.")
    done = promote(registry, "previous", reason, who)
    registry.unpoint("previous")  # what was rolled back is nothing to go back to
    return done


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Promote VERSION, or roll back where none is named."""
    parser = argparse.ArgumentParser(prog="make promote")
    for name in ("version", "reason"):
        parser.add_argument(f"--{name}", default="")
    asked = parser.parse_args(arguments)
    if not asked.reason.strip():
        raise UserError(WHY)
    from ..tracking import registry as tracking

    registry, who = tracking.connect(paths, load_settings(paths)), author(paths)
    discard(paths.gate)  # the gate looks at the registry again
    if asked.version:
        print(promote(registry, asked.version, asked.reason, who))
    else:
        print(rollback(registry, asked.reason, who))
