"""`make stream`: records from stdin, a line of JSON each, answered on stdout in their order.

A line is answered as soon as it is there, and those that come together in one go.
"""

import asyncio
import os
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import redirect_stdout, suppress
from threading import Thread
from typing import BinaryIO

import orjson

from ..errors import UserError, run
from ..paths import PROJECT, Paths
from . import observe, refusals
from .core import Core, assemble, run_until_stopped
from .spool import Full

PIECE_BYTES = 1 << 16
RETRY_SECONDS = 0.5


def pieces(source: int) -> "asyncio.Queue[bytes]":
    """What comes from a file, the end as nothing, in a queue that holds one piece.

    Read by a thread that nobody waits for: nothing may come for ever.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes](1)

    def read() -> None:
        piece = b"all"
        while piece:
            piece = os.read(source, PIECE_BYTES)
            asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()

    Thread(target=read, daemon=True).start()
    return queue


async def arrived(source: int, longest: int) -> AsyncIterator[list[bytes]]:
    """The lines that have come, again and again; raises UserError where one is too long."""
    queue, rest = pieces(source), b""
    while piece := await queue.get():
        *whole, rest = (rest + piece).split(b"\n")
        yield [line for line in whole if line.strip()]
        if len(rest) > longest:
            raise UserError(f"a line is longer than {longest:,} bytes (serving.max_bytes).")
    yield [rest] if rest.strip() else []


async def answer(core: Core, line: bytes) -> tuple[str, bytes]:
    """What became of a line, and the answer or why there is none; waits where the log is full."""
    while True:
        try:
            return "answered", await core.predictor.answer(line, str(uuid.uuid4()))
        except Full:
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


def main(paths: Paths = PROJECT) -> None:
    """Answer stdin on stdout, and say on stderr how many lines were answered."""
    target = sys.stdout.buffer
    # What the service notes must not come between the answers.
    with redirect_stdout(sys.stderr), suppress(BrokenPipeError):
        seen = run_until_stopped(stream(assemble(paths), sys.stdin.fileno(), target))
        if seen is not None:
            print(f"{seen['answered']:,} lines answered, {seen['refused']:,} refused.")


if __name__ == "__main__":
    run(main)
