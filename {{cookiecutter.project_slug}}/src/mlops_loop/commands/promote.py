"""`make promote` and `make rollback`: move the alias `champion` by hand, with a recorded reason."""

from collections.abc import Sequence
from getpass import getuser
from typing import TYPE_CHECKING

from ..console import parse
from ..files import discard
from ..lineage import git
from ..project import Paths, UserError, load_settings
from ..tracking.gate import OVERRULED, move_aliases, now

if TYPE_CHECKING:
    from ..tracking.registry import Registry


def promote(registry: "Registry", name: str, reason: str, decided_by: str) -> str:
    """Make a version, or what an alias names, the champion; the old one becomes `previous`.

    Returns a sentence; raises UserError, before any change, where there is nothing to do.
    """
    version, champion = registry.find(name), registry.aliases().get("champion")
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    if champion == version.number:
        raise UserError(f"{version} is the champion already.")
    tags = {"decision": "promote", "reason": reason, "decided_at": now(), "decided_by": decided_by}
    registry.tag(version.number, {**tags, OVERRULED: ""})
    if champion is not None:
        registry.tag(champion, {OVERRULED: reason})
    move_aliases(registry, version.number, "promote")
    return f"{version} is the champion: {reason}"


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Promote VERSION; without one, roll back to the champion before this one."""
    args = parse("promote", arguments, version="previous", reason="")
    if not args.reason.strip():
        raise UserError("give a reason, it is kept with the version: REASON='…'")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    if args.version == "previous" and "previous" not in registry.aliases():
        raise UserError("there is no champion before this one; `make promote VERSION=…` names one.")
    author = git(paths.root, "config", "user.name") or getuser()
    print(promote(registry, args.version, args.reason, author))
    if args.version == "previous":
        registry.unpoint("previous")  # a version that was rolled back is no way back
    discard(paths.gate)  # the next training runs the gate again
