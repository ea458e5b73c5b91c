"""One server under measurement, in a process of its own: a model, or asyncio's protocol echo.

Started as ``python -m proactor.cli.measure_server NAME WORKERS CPU``. It prints its port; then it
answers each line ``cpu`` with the seconds of CPU time that the process has used, and ends when
its standard input does: a server never outlives the measurement.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from proactor.cli.pinning import pin

ASYNCIO: Final = "asyncio"
"""The name of the peer that every model is compared with."""


class _EchoProtocol(asyncio.Protocol):
    """What an asyncio program would write."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a TCP server makes such transports"
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def _serve_asyncio() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_EchoProtocol, "127.0.0.1", 0, backlog=1024)
    stopped = asyncio.Event()
    _answer_questions(
        server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stopped.set)
    )
    await stopped.wait()
    server.close()


def _serve_model(name: str, workers: int) -> None:
    # Not above: the process that measures asyncio must not carry the package's threads.
    from proactor.models import MODELS

    server = MODELS[name]("127.0.0.1", 0, workers=workers)
    _answer_questions(server.address[1], server.stop)
    server.serve()


def _answer_questions(port: int, stop: Callable[[], object]) -> None:
    print(port, flush=True)

    def answer() -> None:
        for _ in sys.stdin:
            print(time.process_time(), flush=True)
        stop()

    threading.Thread(target=answer, name="questions", daemon=True).start()


def main() -> None:
    """Serve what the command line names until the standard input ends."""
    name, workers, cpu = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pin(cpu)
    if name == ASYNCIO:
        asyncio.run(_serve_asyncio())
    else:
        _serve_model(name, workers)


if __name__ == "__main__":
    main()
