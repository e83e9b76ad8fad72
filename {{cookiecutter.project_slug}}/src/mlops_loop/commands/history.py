"""`make history`: what was checked, decided and done, when, by whom and why."""

from ..console import Arguments, aligned, parse
from ..project import Paths, load_settings
from ..tracking.history import read

SHOWN = 30


def main(paths: Paths, arguments: Arguments) -> None:
    """Print the latest entries of EVENT, or of all events, the newest last."""
    args = parse("history", arguments, event="")
    load_settings(paths)
    entries = read(paths, *filter(None, [args.event]))
    if not entries:
        print("The history has no such entry yet.")
        return
    table = [("time (UTC)", "event", "version", "by", "reason")]
    for entry in entries[-SHOWN:]:
        version = str(entry.version or "-")
        table.append((f"{entry.time:%F %T}", entry.event, version, entry.by, entry.reason))
    print(*aligned(table), sep="\n")
