"""`make serve`: the service on uvicorn, with what this machine's environment says."""

import errno
import math
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from ..project import Paths, UserError, load_settings
from . import telemetry as observe
from .auth import key_hashes
from .connection import Bounded
from .params import Serving
from .service import Core, assemble

MOST_PORT = 2**16 - 1
CONNECTIONS = 2  # for each request that may be answered at once: most of them wait for another
SWITCH_SECONDS = 0.000_5  # the longest that a request waits for another thread


def main(
    paths: Paths,
    options: Serving,
    create_app: Callable[[Core, tuple[str, ...]], FastAPI],
) -> None:
    """Serve the champion on HOST and PORT until a signal ends it."""
    load_settings(paths)
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    check_free(host, port)
    keys, core = key_hashes(host), assemble(paths, options)
    observe.begin()
    sys.setswitchinterval(SWITCH_SECONDS)
    version = core.predictor.router.versions.champion.version
    print(f"version {version} at http://{host}:{port}, its pages at /docs", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        server(create_app(core, keys), options, host, int(port)).run()


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
            limit_concurrency=CONNECTIONS * options.max_requests,
            timeout_keep_alive=seconds,
            timeout_graceful_shutdown=seconds,
        )
    )
