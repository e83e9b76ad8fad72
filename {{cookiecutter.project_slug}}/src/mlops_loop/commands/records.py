"""`make history`, what was checked, decided and done; and `make ui`, MLflow's pages."""

import os
import sys

from rich.console import Console
from rich.table import Table

from ..console import Arguments, check_free, parse
from ..project import Paths, load_settings
from ..tracking import open_registry
from ..tracking.history import read

SHOWN = 30


def history(paths: Paths, arguments: Arguments) -> None:
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


def ui(paths: Paths, arguments: Arguments) -> None:
    """Serve MLflow's pages on PORT until a signal comes, or print where a server has them."""
    args = parse("ui", arguments, port="5000")
    store = load_settings(paths).tracking_uri
    if store.startswith("http"):
        print(f"Runs and models are at {store}")
        return
    check_free("127.0.0.1", args.port)
    experiment = open_registry(paths).experiment
    page = f"http://127.0.0.1:{args.port}/#/experiments/{experiment}/runs"
    print(f"This project's runs: {page} (MLflow's usage data are off)", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # half of its memory
    options = ("--workers", "1", "--port", args.port, "--backend-store-uri", store)
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *options])
