"""`make work`: predicts the jobs of the queue, one after the other, as the service would."""

import asyncio
import os
from contextlib import suppress

import orjson
from prometheus_client import start_http_server
from sqlalchemy.exc import SQLAlchemyError

from ..project import Paths
from . import errors, telemetry
from .outbox import OutboxFull
from .params import Serving
from .prediction_log import DONE, FAILED
from .service import Service, assemble, signalled

POLL_SECONDS = 0.2


async def work(core: Service) -> None:
    """Process jobs until a signal comes; the current one is finished."""
    over = signalled()
    async with core.running():
        while not over.is_set():
            if not await process_next(core):
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), POLL_SECONDS)


async def process_next(core: Service) -> bool:
    """Process the oldest job; returns False where there is none or its outcome cannot be kept."""
    jobs = core.jobs
    try:
        if (job := await jobs.run(jobs.take)) is None:
            return False
        try:
            outcome = await core.predictor.predict(job.content, job.id, job.key, job.explained)
            status = DONE
        except OutboxFull:
            await jobs.run(jobs.give_back, job)
            return False
        except Exception as error:
            telemetry.log("work", job=job.id, problem=type(error).__name__)
            status, outcome = FAILED, orjson.dumps(errors.detail(error))
        await jobs.run(jobs.finish, job, status, outcome)
    except SQLAlchemyError as error:
        telemetry.log("work", problem=type(error).__name__)
        return False
    telemetry.log("work", job=job.id, status=status)
    return True


def main(paths: Paths, options: Serving) -> None:
    """Work until a signal comes; METRICS_PORT, if set, serves the counters."""
    core = assemble(paths, options)
    telemetry.begin()
    if port := os.environ.get("METRICS_PORT"):
        start_http_server(int(port))
    asyncio.run(work(core))
