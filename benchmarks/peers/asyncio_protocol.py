"""asyncio's echo: a protocol whose ``data_received`` writes, the fastest that asyncio has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.peers.serving import announce

BACKLOG = 4096

CreateServer = Callable[..., Coroutine[Any, Any, asyncio.Server]]


class EchoProtocol(asyncio.Protocol):
    """One client."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport, which each loop makes of a class of its own."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send back what has come."""
        self.transport.write(data)


async def serve(
    create_server: CreateServer | None = None,
    protocol: Callable[[], asyncio.Protocol] = EchoProtocol,
) -> None:
    """Serve on the running loop until the standard input ends."""
    loop = asyncio.get_running_loop()
    create = create_server or loop.create_server
    server = await create(protocol, "127.0.0.1", 0, backlog=BACKLOG)
    ended = asyncio.Event()
    port = server.sockets[0].getsockname()[1]
    announce(port, lambda: loop.call_soon_threadsafe(ended.set))
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
