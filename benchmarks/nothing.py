"""A server that answers everything at once: what it takes is the load's and the machine's."""

import asyncio
import os

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Nothing(asyncio.Protocol):
    """Answers each piece that arrives: one request, as small ones do not arrive in pieces."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep who to answer."""
        self.transport = transport

    def data_received(self, _: bytes) -> None:
        """Answer."""
        self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def main() -> None:
    """Listen on PORT."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Nothing, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
