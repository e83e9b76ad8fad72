"""`make approve` and `make reject`: a person decides on a version that a retraining kept back."""

from ..commands.promote import promote
from ..console import Arguments, parse
from ..lineage import author
from ..project import Paths, UserError
from ..tracking import history, open_registry
from ..tracking.gate import OVERRULED, now
from .evidence import WAITING
from .notify import notify
from .retrain import APPROVAL


def main(paths: Paths, verb: str, arguments: Arguments) -> None:
    """Promote the version that waits (`approve`), or take it out of the way (`reject`).

    Raises UserError, before any change, where none waits, or a rejection has no reason.
    """
    given = parse(verb, arguments, version="challenger", reason="")
    by = author(paths.root)
    reason = given.reason.strip() or ("" if verb == "reject" else f"approved by {by}")
    if not reason:
        raise UserError("give a reason, it is kept with the version: make reject REASON='…'")
    registry = open_registry(paths)
    version = registry.find(given.version)
    if version.number is None or version.tags.get(APPROVAL) != WAITING:
        raise UserError(f"{version} does not wait for a decision; see make history EVENT=retrain.")
    history.append(paths, verb, by=by, reason=reason, version=version.number)
    if verb == "approve":
        promote(registry, version.name, by, reason)
    else:
        tags = {"decision": "reject", "reason": reason, "decided_at": now(), "decided_by": by}
        registry.tag(version.number, {**tags, OVERRULED: reason})  # the gate does not take it
        if registry.aliases().get("challenger") == version.number:
            registry.unpoint("challenger")
    registry.tag(version.number, {APPROVAL: verb})
    notify(paths, "promoted" if verb == "approve" else "rejected", f"{version} by {by}: {reason}")
    print(f"{version} is {'the champion' if verb == 'approve' else 'rejected'}: {reason}")
