"""`make stream`: predicts records of stdin, a line of JSON each, on stdout, in their order.

A line is predicted as soon as it arrives; lines that arrive together are predicted together.
"""

import asyncio
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError
from contextlib import redirect_stdout, suppress
from threading import Thread
from typing import BinaryIO

import orjson

from ..project import Paths
from . import telemetry
from .params import Serving
from .prediction_log import OutboxFull
from .predictor import FAILURES, describe
from .service import Service, assemble

PIECE_BYTES = 1 << 16
RETRY_SECONDS = 0.5


async def read_lines(source: int, longest: int) -> AsyncIterator[list[bytes]]:
    """Yield the lines that arrived together, a longer one cut, but still too long.

    A daemon thread reads, because a read that never returns must not hold up the end.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes](1)
    os.set_blocking(source, True)

    def read() -> None:
        with suppress(CancelledError):  # the stream has ended
            while piece := os.read(source, PIECE_BYTES):
                asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(b""), loop).result()

    Thread(target=read, daemon=True).start()
    rest = b""
    while piece := await queue.get():
        *lines, rest = (rest + piece).split(b"\n")
        yield [line for line in lines if line.strip()]
        rest = rest[: longest + 1]
    yield [rest] if rest.strip() else []


async def predict_line(core: Service, line: bytes) -> tuple[str, bytes]:
    """Return "predicted" or "refused", and the line's JSON; wait while the log is full."""
    if len(line) > (longest := core.options.max_bytes):
        return "refused", orjson.dumps({"detail": f"a line holds at most {longest:,} bytes"})
    while True:
        try:
            return "predicted", await core.predictor.predict(line, str(uuid.uuid4()))
        except OutboxFull:
            await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            if type(error) not in FAILURES:
                telemetry.log("stream", problem=type(error).__name__)
            return "refused", orjson.dumps({"detail": describe(error)})


async def stream(core: Service, source: int, target: BinaryIO) -> Counter[str]:
    """Predict every line of `source` in `target`; returns the number predicted and refused."""
    counts: Counter[str] = Counter()
    async with core.running():
        async for lines in read_lines(source, core.options.max_bytes):
            results = await asyncio.gather(*(predict_line(core, line) for line in lines))
            counts.update(state for state, _ in results)
            target.writelines(content + b"\n" for _, content in results)
            target.flush()
    return counts


def main(paths: Paths, options: Serving) -> None:
    """Predict stdin on stdout; the number of lines goes to stderr."""
    target = sys.stdout.buffer
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with redirect_stdout(sys.stderr):  # the service's own lines
        core = assemble(paths, options)
        try:
            counts = asyncio.run(stream(core, sys.stdin.fileno(), target))
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit("Interrupted: the last lines may be in the log without a prediction here.")
        print(f"lines predicted: {counts['predicted']:,}, refused: {counts['refused']:,}.")
