"""Servers on this machine that messages are sent to."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[int]:
    """A server in a thread; its port."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def webhook(statuses: list[int], got: list[dict[str, Any]]) -> HTTPServer:
    """A webhook that answers with these statuses in turn."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return HTTPServer(("127.0.0.1", 0), Handler)
