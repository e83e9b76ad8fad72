"""Limits of a connection: uvicorn alone waits for ever, and keeps whatever a client sends."""

from asyncio import Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
MAX_PIPELINED = 8  # requests that are sent before the response to the first


class TimeoutProtocol(HttpToolsProtocol):
    """Aborts a connection whose request does not arrive, or whose response is not read, in time.

    The time is `timeout_keep_alive`. The body is limited where it is read.
    """

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start to watch the connection."""
        super().connection_made(transport)
        self._head_bytes, self._progress = 0, self.loop.time()
        self._watch()

    def _watch(self) -> None:
        waits_for_request = self.cycle is None or self.cycle.response_complete
        if not waits_for_request and not self.flow.write_paused:
            self._progress = self.loop.time()
        if self.loop.time() - self._progress > self.timeout_keep_alive:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.loop.call_later(self.timeout_keep_alive / 4, self._watch)

    def data_received(self, data: bytes) -> None:
        """Parse more of a request; aborts the connection where it exceeds the limits."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, which does not count as head."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._head_bytes, self._progress = 0, self.loop.time()
        super().on_message_complete()
