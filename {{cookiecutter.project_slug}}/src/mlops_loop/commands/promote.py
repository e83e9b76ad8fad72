"""`make promote` and `make rollback`: move the alias `champion` by hand, with a recorded reason."""

from typing import TYPE_CHECKING

from ..console import Arguments, parse
from ..files import discard
from ..lineage import author
from ..project import Paths, UserError
from ..tracking import open_registry
from ..tracking.gate import OVERRULED, make_champion, now

if TYPE_CHECKING:
    from ..tracking.registry import Registry, Version


def main(paths: Paths, arguments: Arguments) -> None:
    """Promote VERSION, a version or an alias; without one, roll back to the champion before.

    Repeated, a rollback goes on to the one before that. Raises UserError, before any change, for
    what cannot be.
    """
    args = parse("promote", arguments, version="previous", reason="")
    if not args.reason.strip():
        raise UserError("give a reason, it is kept with the version: REASON='…'")
    registry = open_registry(paths)
    version = promote(registry, args.version, author(paths.root), args.reason)
    print(f"{version} is the champion: {args.reason}")


def promote(registry: "Registry", name: str, by: str, reason: str) -> "Version":
    """Make a version the champion; `previous` takes the present one back. Raises as `main`."""
    aliases, back = registry.aliases(), name == "previous"
    if back and "champion" in aliases and "previous" not in aliases:
        known = dict.fromkeys(str(move["version"]) for move in registry.history())
        raise UserError(
            "there is no champion before this one; versions that were champion: "
            f"{', '.join(known)}. `make promote VERSION=…` names one."
        )
    version, champion = registry.find(name), aliases.get("champion")
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    if champion == version.number:
        raise UserError(f"{version} is the champion already.")
    tags = {"decision": "promote", "reason": reason, "decided_at": now()}
    registry.tag(version.number, {**tags, "decided_by": by, OVERRULED: ""})
    if champion is not None:
        registry.tag(champion, {OVERRULED: reason})
    event = "rollback" if back else "promote"
    make_champion(registry, version.number, by, reason, event)
    discard(registry.paths.gate)  # the next training runs the gate again
    return version
