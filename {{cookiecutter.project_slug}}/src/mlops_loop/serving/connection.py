"""Limits of a connection: uvicorn alone waits for ever, and keeps whatever a client sends."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 1 << 16
MAX_PIPELINED = 8  # requests that are sent before the response to the first


class TimeoutProtocol(HttpToolsProtocol):
    """Aborts a connection whose request does not arrive, or whose response is not read, in time.

    The time is `timeout_keep_alive`. The body is limited where it is read.
    """

    _head_bytes = 0
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Parse more of a request; aborts the connection where it exceeds the limits."""
        self._start_timer()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.pipeline) > MAX_PIPELINED:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Stop the timer: reading the body has a limit of its own."""
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body, which does not count as head."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timer at the end of a request."""
        self._head_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Start the timer while the client does not read its response."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """Stop it when the client reads."""
        super().resume_writing()
        self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop it at the end of the connection."""
        super().connection_lost(exc)
        self._stop_timer()

    def _start_timer(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._deadline and not self.flow.write_paused:
            self._deadline.cancel()
            self._deadline = None
