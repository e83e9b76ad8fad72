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
    """A load: the request, its rate and duration."""

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


class Connection(asyncio.Protocol):
    """One connection that is kept; asyncio's streams would take longer than the answer."""

    def __init__(self) -> None:
        self._received = b""

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(cls, "127.0.0.1", port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        self._transport = transport

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for its answer; raises RuntimeError unless it is a 200."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)  # type: ignore[attr-defined]
        answer = await self._answered
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())

    def data_received(self, data: bytes) -> None:
        """Note a piece of an answer."""
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if gap and len(body) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            self._answered.set_result(self._received)
            self._received = b""

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody answers any more."""
        if not self._answered.done():
            self._answered.set_exception(error or ConnectionError("closed without an answer"))


async def closed(plan: Plan) -> list[float]:
    """The latency of every request."""
    latencies, request = [], plan.request
    until = time.perf_counter() + plan.seconds

    async def ask_again() -> None:
        connection = await Connection.open(plan.port)
        while (start := time.perf_counter()) < until:
            await connection.ask(request)
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(ask_again() for _ in range(plan.connections)))
    return latencies


async def steady(plan: Plan) -> list[float]:
    """The latency of every request, from the time at which it was due."""
    free, request = deque[Connection](), plan.request
    start = time.perf_counter() + 0.1

    async def ask(due: float) -> float:
        await asyncio.sleep(due - time.perf_counter())
        connection = free.pop() if free else await Connection.open(plan.port)
        await connection.ask(request)
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
