"""`make work`: answers the jobs of the queue, one after the other, as the service would."""

import asyncio
import os
from contextlib import suppress

import orjson
from prometheus_client import start_http_server
from sqlalchemy.exc import SQLAlchemyError

from ..project import Paths
from . import errors as refusals
from . import telemetry as observe
from .jobs import Job
from .outbox import OutboxFull
from .params import Serving
from .prediction_log import DONE, FAILED
from .service import Core, assemble, signalled

POLL_SECONDS = 0.2


async def work(core: Core) -> None:
    """Answer jobs until a signal comes; the one that is begun is ended."""
    over = signalled()
    async with core.running():
        while not over.is_set():
            if not await take_one(core):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), POLL_SECONDS)


async def take_one(core: Core) -> bool:
    """Answer the oldest job; whether there was one, and space and a database to keep its answer."""
    try:
        job = await core.jobs.aside(core.jobs.take)
        return job is not None and await finish(core, job)
    except SQLAlchemyError as error:
        observe.log("work", problem=type(error).__name__)
        return False


async def finish(core: Core, job: Job) -> bool:
    """Answer a job and keep what came out, or give it back where the log is full."""
    try:
        outcome = await core.predictor.answer(job.content, job.id, job.key, job.explained)
        status = DONE
    except OutboxFull:
        await core.jobs.aside(core.jobs.give_back, job)
        return False
    except Exception as error:
        observe.log("work", job=job.id, problem=type(error).__name__)
        status, outcome = FAILED, orjson.dumps(refusals.detail(error))
    await core.jobs.aside(core.jobs.finish, job, status, outcome)
    observe.log("work", job=job.id, status=status)
    return True


def main(paths: Paths, options: Serving) -> None:
    """Work until a signal ends it; counters are at METRICS_PORT, where one is given."""
    core = assemble(paths, options)
    observe.begin()
    if port := os.environ.get("METRICS_PORT"):
        start_http_server(int(port))
    asyncio.run(work(core))
