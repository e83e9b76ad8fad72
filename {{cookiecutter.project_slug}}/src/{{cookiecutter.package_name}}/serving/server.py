"""`make serve`: the service on uvicorn, with what this machine's environment says."""

import errno
import logging
import math
import os
import socket
import sys
from contextlib import suppress
from random import Random

import uvicorn
from fastapi import FastAPI

from ..data.contract import load_contract
from ..errors import UserError, run
from ..lineage import git
from ..paths import PROJECT, Paths
from ..settings import load_settings
from .app import create_app
from .connection import Bounded
from .guard import key_hashes
from .log import database, url
from .observe import Lines
from .params import Serving, load_serving
from .predict import Origin, Predictor
from .router import Router
from .spool import Spool
from .versions import Versions
from .writer import Beside, Writer

# One row is too little to share: threads of LightGBM would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
MOST_PORT = 2**16 - 1
SWITCH_SECONDS = 0.000_5  # the longest that a request waits for another thread


def main(paths: Paths = PROJECT) -> None:
    """Serve the champion on HOST and PORT until a signal ends it."""
    settings, options = load_settings(paths), load_serving(paths)
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    check_free(host, port)
    keys, contract = key_hashes(host), load_contract(paths.contract)
    versions = Versions(paths, settings, contract, options.aliases)
    router = Router(options, contract, versions, Random())
    paths.spool.parent.mkdir(parents=True, exist_ok=True)
    spool = Spool(paths.spool, options.spool_bytes)
    writer = Writer(spool, Beside(url(paths), options.keep_days).take)
    code = os.environ.get("CODE_VERSION") or git(paths.root, "rev-parse", "HEAD") or "none"
    origin = Origin(os.environ.get("ENVIRONMENT") or "local", code)
    predictor = Predictor(contract, options, router, spool, origin)
    app = create_app(predictor, writer, database(url(paths)), keys)
    logging.basicConfig(handlers=[Lines()])
    sys.setswitchinterval(SWITCH_SECONDS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    version = versions.champion.version
    print(f"version {version} at http://{host}:{port}, its pages at /docs", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        server(app, options, host, int(port)).run()


def check_free(host: str, port: str) -> None:
    """Raise UserError where the service cannot listen: before a model is loaded for nothing."""
    if not port.isdecimal() or int(port) > MOST_PORT:
        raise UserError(f"PORT={port}: is no number of a port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"PORT={port} is in use by another program; end that, or choose another PORT."
            ) from None
        raise UserError(f"HOST={host}, PORT={port}: {error.strerror}.") from error


def server(app: FastAPI, options: Serving, host: str, port: int) -> uvicorn.Server:
    """Uvicorn with the limits of params.yaml, and no log of its own: see `observe`."""
    seconds = math.ceil(options.timeout_seconds)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Bounded,
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=options.most_connections,
            timeout_keep_alive=seconds,
            timeout_graceful_shutdown=seconds,
        )
    )


if __name__ == "__main__":
    run(main)
