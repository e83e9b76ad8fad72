"""Request telemetry: an id, one line of JSON for each request, and counters for Prometheus."""

import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from datetime import UTC
from typing import Any

import orjson
from fastapi.responses import JSONResponse
from prometheus_client import Counter, Gauge, Histogram

from ..project import Paths, UserError
from ..tracking import history

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Any, Any], Awaitable[None]]
PROBES = ("/health", "/ready", "/metrics")
BUSY = JSONResponse({"detail": "too many requests at once; try again later"}, 503)
CLIENT_CLOSED = 499  # the client went away before the response, as nginx calls it
REQUEST_ID = re.compile(rb"[\w-]{1,64}")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
VERSION = ("version",)
requests = Counter("http_requests", "Requests by path and status", ("path", "status"))
latency = Histogram("http_request_duration_seconds", "Time to answer", ("path",), buckets=SECONDS)
predictions = Counter("predictions", "Rows predicted", VERSION)
unknown = Counter("unknown_categories", "Values that the contract does not list", ("column",))
imputed = Counter("imputed_values", "Nulls that were imputed", ("column",))
missing = Counter("missing_values", "Values that were null or left out", ("column",))
refusals = Counter("refused", "Requests refused by field and rule", ("field", "rule"))
dropped = Counter("log_dropped", "Predictions that were served but not logged")
scoring = Histogram("scoring_seconds", "Time to score", VERSION, buckets=SECONDS)
unshown = Counter("shadow_dropped", "Rows that the challenger was too slow, or failed, to score")
version = Gauge("model_version", "The version that is served", ("alias",))
refused = Gauge("model_refused", "1 if the registry's version is not served", ("alias",))
outbox_bytes = Gauge("outbox_bytes", "Predictions that wait to be written to the database")
job_wait = Gauge("job_wait_seconds", "How long the oldest job waits for a worker")

CHECK_SECONDS = 30  # between two looks at the history
STATUS = {"healthy": 0, "watch": 1, "act": 2}
monitor_status = Gauge("monitor_status", "Verdict: 0 healthy, 1 watch, 2 act", VERSION)
monitor_checked = Gauge("monitor_checked_timestamp_seconds", "Time of the last check", VERSION)
monitor_figures = {
    "observed": Gauge("monitor_loss_observed", "Mean loss of the last weeks", VERSION),
    "expected": Gauge("monitor_loss_expected", "Loss that their rows let expect", VERSION),
    "observed_over_expected": Gauge("monitor_loss_ratio", "Observed over expected", VERSION),
    "estimate": Gauge("monitor_loss_estimate", "Estimated loss of the last day", VERSION),
    "alarms": Gauge("monitor_alarms", "Alarms of the last week", VERSION),
}


class TelemetryMiddleware:
    """Gives each request an id, counts it, and writes one line when it is answered.

    More than `max_requests` at once are turned away, except probes. A line holds no header, query
    or body: those may be personal. An unexpected error is logged by kind and place, without text.
    """

    def __init__(self, app: Asgi, max_requests: int) -> None:
        self.app, self.max_requests, self.running = app, max_requests, 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        given = dict(scope["headers"]).get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        scope["state"]["request_id"] = request_id

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        self.running += 1
        try:
            if self.running > self.max_requests and scope["path"] not in PROBES:
                await BUSY(scope, receive, respond)
            else:
                await self.app(scope, receive, respond)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename}:{frame.lineno}"
            log("error", request_id=request_id, kind=type(error).__name__, place=place)
            if not status:
                await JSONResponse({"detail": "internal error"}, 500)(scope, receive, respond)
        finally:
            self.running -= 1
            status, took = status or CLIENT_CLOSED, time.perf_counter() - started
            # Any path can be requested; only the service's own become labels.
            path = getattr(scope.get("route"), "path", "other")
            requests.labels(path, status).inc()
            latency.labels(path).observe(took)
            line = {"request_id": request_id, "method": scope["method"], "path": path}
            log("request", **line, status=status, ms=round(took * 1e3, 3))


class LatestCheck:
    """Sets gauges to the latest check of the monitor, which level operations makes."""

    def __init__(self, paths: Paths) -> None:
        self._paths, self._next = paths, 0.0

    def refresh(self) -> None:
        """Set the gauges, unless they were set a moment ago; without a check there are none."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHECK_SECONDS
        with suppress(UserError):  # the history does not answer; the gauges keep their time
            for entry in history.read(self._paths, "check", last=1):
                self.show(entry)

    def show(self, entry: history.Entry) -> None:
        """Set the gauges to a check, and forget those of another version."""
        version = str(entry.version)
        for gauge in (monitor_status, monitor_checked, *monitor_figures.values()):
            gauge.clear()
        monitor_status.labels(version).set(STATUS[entry.content["status"]])
        monitor_checked.labels(version).set(entry.time.replace(tzinfo=UTC).timestamp())
        for name, gauge in monitor_figures.items():
            if (value := entry.content.get(name)) is not None:
                gauge.labels(version).set(value)


def log(event: str, **fields: Any) -> None:
    """Write one line of JSON to stdout; a closed or full stdout fails no request."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError):
        sys.stdout.write(orjson.dumps({"time": stamp, "event": event, **fields}).decode() + "\n")


class JsonHandler(logging.Handler):
    """Warnings of libraries as such lines, without their arguments: those may be personal."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of one warning."""
        log(record.levelname.lower(), logger=record.name, message=str(record.msg))


def begin() -> None:
    """Log warnings of libraries as lines of JSON, and write each line at once."""
    logging.basicConfig(handlers=[JsonHandler()])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
