"""`make ui`: MLflow's own pages on the project's runs and models."""

import os
import sys

from ..console import Arguments, check_free, parse
from ..project import Paths, load_settings
from ..tracking import open_registry


def main(paths: Paths, arguments: Arguments) -> None:
    """Serve them on PORT until a signal comes, or print where a server has them."""
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
