"""`make history`: what was checked, decided and done, when, by whom and why."""

from rich.console import Console
from rich.table import Table

from ..console import Arguments, parse
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
    table = Table("time (UTC)", "event", "version", "by", "reason", box=None, pad_edge=False)
    for entry in entries[-SHOWN:]:
        version = str(entry.version or "-")
        table.add_row(f"{entry.time:%F %T}", entry.event, version, entry.by, entry.reason)
    Console(highlight=False, markup=False).print(table)
