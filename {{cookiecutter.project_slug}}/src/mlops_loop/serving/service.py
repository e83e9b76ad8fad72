"""The parts that every way to serve shares: versions, log, jobs and their background work."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import sqlalchemy as sql

from ..data.contract import load_contract
from ..lineage import git
from ..project import Paths, load_settings
from .follow import BAKED, Follower
from .jobs import Jobs
from .outbox import Outbox
from .params import Serving
from .prediction_log import Shipper, database, url
from .predictor import Predictor, ServingContext
from .router import Router
from .versions import Versions

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Service:
    """Predicts, and logs its predictions to a database."""

    options: Serving
    predictor: Predictor
    shipper: Shipper
    jobs: Jobs
    engine: sql.Engine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the versions, score for the shadow and ship the log while the block runs."""
        self.shipper.start()
        work = self.predictor.router.watch(self.engine), self.predictor.shadow.run()
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(self.shipper.stop)


def assemble(paths: Paths, options: Serving) -> Service:
    """Build the service of a project; raises UserError where it has no model."""
    has_registry = load_settings(paths).tracking_uri != BAKED
    follower = Follower(paths, options.refresh_seconds) if has_registry else None
    contract = load_contract(paths.contract)
    versions = Versions(paths.served, contract, options.aliases, follower)
    engine = database(url(paths))
    outbox = Outbox(paths.root / ".serving" / "outbox", options.outbox_bytes)
    code = os.environ.get("CODE_VERSION") or git(paths.root, "rev-parse", "HEAD") or "none"
    context = ServingContext(os.environ.get("ENVIRONMENT") or "local", code)
    router = Router(options, contract, versions, Random())
    predictor = Predictor(contract, options, router, outbox, context)
    shipper = Shipper(outbox, engine, options.retention_days)
    return Service(options, predictor, shipper, Jobs(engine, options.queue_bytes), engine)


def signalled() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second ends the process."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        over.set()
        for each in SIGNALS:
            loop.remove_signal_handler(each)

    for each in SIGNALS:
        loop.add_signal_handler(each, end)
    return over
