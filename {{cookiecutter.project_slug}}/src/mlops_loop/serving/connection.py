"""What a connection may cost: uvicorn alone waits for ever, and keeps whatever a client sends."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 1 << 16
MOST_PIPELINED = 8  # requests that are sent before the answer to the first


class Joined:
    """A transport that sends what is written in a row at once: head and body are one packet."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it when whoever writes is done."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what is left and end."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        self._transport.write(b"".join(self._parts))
        self._parts.clear()


class Bounded(HttpToolsProtocol):
    """Ends a connection whose request does not arrive, or whose answer is not read, in time.

    `timeout_keep_alive` is that time. The body's own size and time are limited where it is read.
    """

    _head_bytes = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client is there; its first request is awaited."""
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]
        self._await()

    def data_received(self, data: bytes) -> None:
        """Read on; raises nothing, the connection of who sends too much is ended."""
        self._await()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MOST_HEAD_BYTES or len(self.pipeline) > MOST_PIPELINED:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """The head is there: who reads the body waits for it no longer than it may take."""
        self._arrived()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body, which is not counted here."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._head_bytes = 0
        self._arrived()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        self._await()

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        super().connection_lost(exc)
        self._arrived()

    def _await(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _arrived(self) -> None:
        if self._deadline and not self.flow.write_paused:
            self._deadline.cancel()
            self._deadline = None
