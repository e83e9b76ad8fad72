"""`make serve`: the service on uvicorn."""

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
from . import telemetry
from .auth import key_hashes
from .connection import TimeoutProtocol
from .params import Serving
from .service import Service, assemble

MAX_PORT = 2**16 - 1
CONNECTIONS = 2  # for each request at once: most connections wait between two requests
SWITCH_SECONDS = 0.000_5  # the longest that a request waits for another thread

CreateApp = Callable[[Service, tuple[str, ...]], FastAPI]


def main(paths: Paths, options: Serving, create_app: CreateApp) -> None:
    """Serve on HOST and PORT until a signal ends it."""
    load_settings(paths)
    host, port = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    check_free(host, port)
    keys, service = key_hashes(host), assemble(paths, options)
    telemetry.begin()
    sys.setswitchinterval(SWITCH_SECONDS)
    version = service.predictor.router.versions.champion.version
    print(f"version {version} at http://{host}:{port}, documentation at /docs", file=sys.stderr)
    with suppress(KeyboardInterrupt):
        server(create_app(service, keys), options, host, int(port)).run()


def check_free(host: str, port: str) -> None:
    """Raise UserError where the service cannot listen, before a model is loaded."""
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise UserError(f"PORT={port}: not a valid port.")
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
    """Uvicorn with the limits of params.yaml; requests are logged by `telemetry`."""
    seconds = math.ceil(options.timeout_seconds)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=TimeoutProtocol,
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
