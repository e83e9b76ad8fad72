"""The parts that every way to serve shares, and `make work`, which predicts queued jobs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import sqlalchemy as sql
from prometheus_client import start_http_server

from ..database import database
from ..lineage import git
from ..project import Paths, load_settings
from . import telemetry
from .follow import BAKED, Follower
from .jobs import Jobs, process_next
from .log_tables import url
from .params import Serving
from .prediction_log import Outbox, Shipper
from .predictor import Predictor
from .router import Router
from .versions import Versions

POLL_SECONDS = 0.2  # for a job


@dataclass(frozen=True)
class Service:
    """Predicts, and logs its predictions to a database."""

    project: str
    options: Serving
    predictor: Predictor
    shipper: Shipper
    jobs: Jobs
    engine: sql.Engine
    checks: telemetry.LatestCheck

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the versions and ship the log while the block runs."""
        self.shipper.start()
        task = asyncio.create_task(self.predictor.router.watch(self.engine))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.to_thread(self.shipper.stop)


def assemble(paths: Paths, options: Serving) -> Service:
    """Build the service of a project; raises UserError where it has no model."""
    settings = load_settings(paths)
    has_registry = settings.tracking_uri != BAKED
    follower = Follower(paths, options.refresh_seconds) if has_registry else None
    versions = Versions(paths.served, options, follower)
    engine = database(url(paths))
    outbox = Outbox(paths.root / ".serving" / "outbox", options.outbox_bytes)
    code = os.environ.get("CODE_VERSION") or git(paths.root, "rev-parse", "HEAD") or "none"
    context = {"environment": os.environ.get("ENVIRONMENT") or "local", "code_version": code}
    predictor = Predictor(options, Router(options, versions, Random()), outbox, context)
    shipper = Shipper(outbox, engine, options.retention_days)
    jobs = Jobs(engine, options.queue_bytes)
    checks = telemetry.LatestCheck(paths)
    return Service(settings.project, options, predictor, shipper, jobs, engine, checks)


async def work(service: Service) -> None:
    """Predict jobs until a signal comes; the current one is finished."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, over.set)
    async with service.running():
        while not over.is_set():
            if not await process_next(service.jobs, service.predictor):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), POLL_SECONDS)


def main(paths: Paths, options: Serving) -> None:
    """Work until a signal comes; METRICS_PORT, if set, serves the counters."""
    service = assemble(paths, options)
    telemetry.begin()
    if port := os.environ.get("METRICS_PORT"):
        start_http_server(int(port))
    asyncio.run(work(service))
