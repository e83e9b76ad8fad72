"""What every way to serve is made of: the versions, the log, and their work beside the answers."""

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
from .predictor import Origin, Predictor
from .router import Router
from .versions import Versions

# One row is too little to share: threads of LightGBM would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Core:
    """Answers records, and writes the log of it into a database."""

    options: Serving
    predictor: Predictor
    shipper: Shipper
    jobs: Jobs
    engine: sql.Engine

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for other versions and drain the log, as long as the block lasts."""
        self.shipper.start()
        beside = self.predictor.router.watch(self.engine), self.predictor.shadow.run()
        tasks = [asyncio.create_task(each) for each in beside]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(self.shipper.stop)


def assemble(paths: Paths, options: Serving) -> Core:
    """The service of a project; raises UserError where it has no model."""
    contract = load_contract(paths.contract)
    has_registry = load_settings(paths).tracking_uri != BAKED
    follower = Follower(paths, options.refresh_seconds) if has_registry else None
    versions = Versions(paths.served, contract, options.aliases, follower)
    router = Router(options, contract, versions, Random())
    engine = database(url(paths))
    outbox = Outbox(paths.root / ".serving" / "outbox", options.outbox_bytes)
    code = os.environ.get("CODE_VERSION") or git(paths.root, "rev-parse", "HEAD") or "none"
    origin = Origin(os.environ.get("ENVIRONMENT") or "local", code)
    predictor = Predictor(contract, options, router, outbox, origin)
    shipper = Shipper(outbox, engine, options.retention_days)
    return Core(options, predictor, shipper, Jobs(engine, options.queue_bytes), engine)


def signalled() -> asyncio.Event:
    """What the first SIGINT or SIGTERM sets; the second ends the process."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        over.set()
        for each in SIGNALS:
            loop.remove_signal_handler(each)

    for each in SIGNALS:
        loop.add_signal_handler(each, end)
    return over
