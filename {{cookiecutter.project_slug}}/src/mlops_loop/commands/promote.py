"""`make promote` and `make rollback`: move the alias `champion` by hand, with a recorded reason."""

from collections.abc import Sequence
from getpass import getuser

from ..console import parse
from ..files import discard
from ..lineage import git
from ..project import Paths, UserError, load_settings
from ..tracking.gate import OVERRULED, move_aliases, now


def main(paths: Paths, arguments: Sequence[str]) -> None:
    """Promote VERSION, a version or an alias; without one, roll back to the champion before.

    The old champion becomes `previous`. Raises UserError, before any change, for what cannot be.
    """
    args = parse("promote", arguments, version="previous", reason="")
    if not args.reason.strip():
        raise UserError("give a reason, it is kept with the version: REASON='…'")
    from ..tracking import registry as tracking

    registry = tracking.connect(paths, load_settings(paths))
    aliases, back = registry.aliases(), args.version == "previous"
    if back and "previous" not in aliases:
        raise UserError("there is no champion before this one; `make promote VERSION=…` names one.")
    version, champion = registry.find(args.version), aliases.get("champion")
    if version.number is None:
        raise UserError(f"{version} is not registered; name a version.")
    if champion == version.number:
        raise UserError(f"{version} is the champion already.")
    author = git(paths.root, "config", "user.name") or getuser()
    tags = {"decision": "promote", "reason": args.reason, "decided_at": now()}
    registry.tag(version.number, {**tags, "decided_by": author, OVERRULED: ""})
    if champion is not None:
        registry.tag(champion, {OVERRULED: args.reason})
    move_aliases(registry, version.number, "promote")
    print(f"{version} is the champion: {args.reason}")
    if back:
        registry.unpoint("previous")  # a version that was rolled back is no way back
    discard(paths.gate)  # the next training runs the gate again
