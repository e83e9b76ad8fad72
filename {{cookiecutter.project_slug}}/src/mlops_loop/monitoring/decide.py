"""Decisions of people: `make approve` and `make reject` of a version that a retraining kept back.

`make freeze` stops every automatic action, and allows them again; people's verbs still work.
"""

from ..commands.promote import promote
from ..console import Arguments, parse
from ..lineage import author
from ..project import Paths, UserError, load_settings
from ..tracking import history, open_registry
from ..tracking.gate import OVERRULED, now
from .evidence import WAITING
from .notify import notify

APPROVAL = "approval"  # tag of a version that is kept back


def decide(paths: Paths, verb: str, arguments: Arguments) -> None:
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


def freeze(paths: Paths, arguments: Arguments) -> None:
    """Append the freeze, or with OFF=1 its end, to the history; repeated, it changes nothing."""
    args = parse("freeze", arguments, reason="", off="")
    load_settings(paths)
    if not args.off and not args.reason.strip():
        raise UserError("give a reason, it is kept in the history: REASON='…'")
    frozen, by = find_freeze(paths), author(paths.root)
    event = "unfreeze" if args.off else "freeze"
    if bool(frozen) == (event == "freeze"):
        print(describe(frozen) if frozen else "Nothing is frozen.")
        return
    history.append(paths, event, by=by, reason=args.reason or "over")
    if not bool(find_freeze(paths)) == (event == "freeze"):
        raise UserError("the history did not take it, see above; nothing has changed.")
    text = f"{event} by {by}: {args.reason or 'over'}"
    print(text)
    notify(paths, "frozen", text)


def find_freeze(paths: Paths) -> history.Entry | None:
    """The freeze that stops every automatic action, if it was not lifted.

    Raises UserError where the history does not answer.
    """
    *_, last = [None, *history.read(paths, "freeze", "unfreeze")]
    return last if last and last.event == "freeze" else None


def describe(frozen: history.Entry) -> str:
    """The sentence that says why nothing is done automatically."""
    return f"frozen by {frozen.by} since {frozen.time:%F %T} UTC: {frozen.reason}"
