"""`make stream`: records from stdin, a line of JSON each, answered on stdout in their order.

A line is answered as soon as it is there, and those that come together in one go.
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
from . import errors as refusals
from . import telemetry as observe
from .outbox import OutboxFull
from .params import Serving
from .service import Core, assemble

PIECE_BYTES = 1 << 16
RETRY_SECONDS = 0.5
BLANK = b" \t\r"


def pieces(source: int) -> "asyncio.Queue[bytes]":
    """What comes from a file, the end as nothing, in a queue that holds one piece.

    Read by a thread that nobody waits for: nothing may come for ever.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes](1)
    os.set_blocking(source, True)

    def read() -> None:
        piece = b"all"
        while piece:
            piece = os.read(source, PIECE_BYTES)
            asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()

    def read_on() -> None:
        with suppress(CancelledError):  # the stream has ended
            read()

    Thread(target=read_on, daemon=True).start()
    return queue


async def arrived(source: int, longest: int) -> AsyncIterator[list[bytes]]:
    """The lines that have come, again and again; of one that is too long, a part that is, too."""
    queue, rest = pieces(source), b""
    while piece := await queue.get():
        *whole, rest = (rest + piece).split(b"\n")
        yield [line for line in whole if line.strip(BLANK)]
        rest = rest[: longest + 1]
    yield [rest] if rest.strip(BLANK) else []


async def answer(core: Core, line: bytes) -> tuple[str, bytes]:
    """What became of a line, and the answer or why there is none; waits where the log is full."""
    longest = core.options.max_bytes
    if len(line) > longest:
        return "refused", orjson.dumps({"detail": f"a line holds at most {longest:,} bytes"})
    while True:
        try:
            return "answered", await core.predictor.answer(line, str(uuid.uuid4()))
        except OutboxFull:
            await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            if type(error) not in refusals.STATUS:
                observe.log("stream", problem=type(error).__name__)
            return "refused", orjson.dumps({"detail": refusals.detail(error)})


async def stream(core: Core, source: int, target: BinaryIO) -> Counter[str]:
    """Answer every line of `source` in `target`; returns how many were answered and refused."""
    seen: Counter[str] = Counter()
    async with core.running():
        async for lines in arrived(source, core.options.max_bytes):
            answers = await asyncio.gather(*(answer(core, line) for line in lines))
            seen.update(what for what, _ in answers)
            target.writelines(content + b"\n" for _, content in answers)
            target.flush()
    return seen


def main(paths: Paths, options: Serving) -> None:
    """Answer stdin on stdout, and say on stderr how many lines were answered."""
    target = sys.stdout.buffer
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # What the service notes must not come between the answers.
    with redirect_stdout(sys.stderr):
        core = assemble(paths, options)
        try:
            seen = asyncio.run(stream(core, sys.stdin.fileno(), target))
        except (KeyboardInterrupt, BrokenPipeError):
            sys.exit("Interrupted: the last lines may be in the log, and their answers not here.")
        print(f"lines answered: {seen['answered']:,}, refused: {seen['refused']:,}.")
