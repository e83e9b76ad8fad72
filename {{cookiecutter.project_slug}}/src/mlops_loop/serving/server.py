"""`make serve`: the service on uvicorn."""

import math
import os
import sys
from asyncio import Transport
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..console import check_free
from ..project import Paths, load_settings
from . import telemetry
from .auth import key_hashes
from .params import Serving
from .service import Service, assemble

CONNECTIONS = 2  # for each request at once: most connections wait between two requests
SWITCH_SECONDS = 0.000_5  # the longest that a request waits for another thread
MAX_HEAD_BYTES = 1 << 16
MAX_PIPELINED = 8  # requests that are sent before the response to the first

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


class TimeoutProtocol(HttpToolsProtocol):
    """Aborts a connection whose request does not arrive, or whose response is not read, in time.

    Uvicorn alone waits for ever, and keeps whatever a client sends. The time is
    `timeout_keep_alive`. The body is limited where it is read.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start to watch the connection."""
        super().connection_made(transport)
        self._head_bytes, self._progress = 0, self.loop.time()
        self._watch()

    def _watch(self) -> None:
        waits_for_request = self.cycle is None or self.cycle.response_complete
        if not waits_for_request and not self.flow.write_paused:
            self._progress = self.loop.time()
        if self.loop.time() - self._progress > self.timeout_keep_alive:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.loop.call_later(self.timeout_keep_alive / 4, self._watch)

    def data_received(self, data: bytes) -> None:
        """Parse more of a request; aborts the connection where it exceeds the limits."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, which does not count as head."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._head_bytes, self._progress = 0, self.loop.time()
        super().on_message_complete()
