"""Load on an HTTP service, from a process of its own.

Without a rate connections ask again as soon as they are answered, which finds the throughput; with
one they arrive at fixed times, whether or not earlier ones are answered: a latency counts from the
time at which its request was due, so that a service that stands still cannot hide it.
"""

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What to ask, how and for how long."""

    port: int
    path: str
    body: str
    seconds: float
    connections: int
    rate: float = 0.0

    @property
    def request(self) -> bytes:
        """The bytes of one request."""
        body = self.body.encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> None:
        """Send a request and read its answer; raises RuntimeError unless it is a 200."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await self.reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head.decode()}{answer.decode()}")


async def closed(plan: Plan) -> list[float]:
    """The latency of every request."""
    latencies: list[float] = []
    until = time.perf_counter() + plan.seconds

    async def ask_again() -> None:
        connection = await Connection.open(plan.port)
        while (start := time.perf_counter()) < until:
            await connection.ask(plan.request)
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(ask_again() for _ in range(plan.connections)))
    return latencies


async def steady(plan: Plan) -> list[float]:
    """The latency of every request, from the time at which it was due."""
    free: deque[Connection] = deque()
    start = time.perf_counter() + 0.1

    async def ask(due: float) -> float:
        await asyncio.sleep(due - time.perf_counter())
        connection = free.pop() if free else await Connection.open(plan.port)
        await connection.ask(plan.request)
        free.append(connection)
        return time.perf_counter() - due

    count = int(plan.rate * plan.seconds)
    return await asyncio.gather(*(ask(start + n / plan.rate) for n in range(count)))


def percentile(latencies: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return sorted(latencies)[int(share * (len(latencies) - 1))] * 1e3


def measure(plan: Plan) -> dict[str, float]:
    """Requests per second, and percentiles of their latency in milliseconds."""
    latencies = asyncio.run((steady if plan.rate else closed)(plan))
    percentiles = {f"p{share}": percentile(latencies, share / 100) for share in (50, 99)}
    return {"per second": len(latencies) / plan.seconds, **percentiles}


if __name__ == "__main__":
    print(json.dumps(measure(Plan(**json.loads(sys.argv[1])))))
