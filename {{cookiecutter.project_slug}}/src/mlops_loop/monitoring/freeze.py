"""`make freeze`: stop every automatic action, and allow them again; people's verbs still work."""

from ..console import Arguments, parse
from ..lineage import author
from ..project import Paths, UserError, load_settings
from ..tracking import history
from .notify import notify


def main(paths: Paths, arguments: Arguments) -> None:
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
