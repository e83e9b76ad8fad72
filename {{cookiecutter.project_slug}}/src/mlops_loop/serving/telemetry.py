"""What is seen of a request from outside: its id, one line of JSON, counters for Prometheus."""

import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import orjson
from fastapi.responses import JSONResponse
from prometheus_client import Counter, Gauge, Histogram, generate_latest

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Any, Any], Awaitable[None]]
HOW_IT_IS = ("/health", "/ready", "/metrics")
BUSY = JSONResponse({"detail": "too many requests at once; try again later"}, 503)
GONE = 499  # the client went away before the answer, as nginx calls it
REQUEST_ID = re.compile(rb"[\w-]{1,64}")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
requests = Counter("http_requests", "Requests by path and status", ("path", "status"))
latency = Histogram("http_request_duration_seconds", "Time to answer", ("path",), buckets=SECONDS)
predictions = Counter("predictions", "Rows predicted", ("version",))
unknown = Counter("unknown_categories", "Values that the contract does not list", ("column",))
missing = Counter("missing_values", "Values that were null or left out", ("column",))
dropped = Counter("log_dropped", "Predictions that were served but not logged")
scoring = Histogram("scoring_seconds", "Time to score", ("version",), buckets=SECONDS)
unshown = Counter("shadow_dropped", "Rows that the challenger was too slow, or failed, to score")
version = Gauge("model_version", "The version that is served", ("alias",))
refused = Gauge("model_refused", "1 if what the registry names is not served", ("alias",))
outbox_bytes = Gauge("outbox_bytes", "Predictions that wait to be written to the database")
job_wait = Gauge("job_wait_seconds", "How long the oldest job waits for a worker")


class Observed:
    """Middleware: gives each request an id, counts it, and writes one line when it is answered.

    More than `max_requests` at once are turned away, but for those that ask how the service is.
    A line holds no header, query or body: those may be personal. Of an error that nothing else
    answers, kind and place are logged, and its words nowhere.
    """

    def __init__(self, app: Asgi, max_requests: int) -> None:
        self.app, self.max_requests, self.running = app, max_requests, 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        scope["state"]["request_id"] = request_id = _request_id(scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        self.running += 1
        try:
            if self.running > self.max_requests and scope["path"] not in HOW_IT_IS:
                await BUSY(scope, receive, answer)
            else:
                await self.app(scope, receive, answer)
        except Exception as error:
            log("error", request_id=request_id, kind=type(error).__name__, place=_place(error))
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, answer)
        finally:
            self.running -= 1
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Message, request_id: str, status: int, took: float) -> None:
        # Any path can be asked for; only the service's own become labels.
        path = getattr(scope.get("route"), "path", "other")
        requests.labels(path, status or GONE).inc()
        latency.labels(path).observe(took)
        line = {"request_id": request_id, "method": scope["method"], "path": path}
        log("request", **line, status=status or GONE, ms=round(took * 1e3, 3))


def _request_id(scope: Message) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _place(error: Exception) -> str:
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return f"{innermost.filename}:{innermost.lineno}"


def exposed(
    versions: Mapping[str, int], refusals: Mapping[str, bool], waiting: int, queued: float
) -> bytes:
    """All metrics in Prometheus' text: what each alias serves now, and what waits for how long."""
    version.clear()
    for alias, number in versions.items():
        version.labels(alias).set(number)
    for alias, is_refused in refusals.items():
        refused.labels(alias).set(is_refused)
    outbox_bytes.set(waiting)
    job_wait.set(queued)
    return generate_latest()


def log(event: str, **fields: Any) -> None:
    """Write one line of JSON to stdout; a request does not fail because nobody can read it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError):
        sys.stdout.write(orjson.dumps({"time": stamp, "event": event, **fields}).decode() + "\n")


class Lines(logging.Handler):
    """Libraries' warnings as such lines, without what they fill in: it may be anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of one warning."""
        log(record.levelname.lower(), logger=record.name, message=str(record.msg))


def begin() -> None:
    """Write libraries' warnings as such lines, and each line at once."""
    logging.basicConfig(handlers=[Lines()])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
