"""Our streams: each connection is served in turns, its sink sends back what it is given.

    python -m benchmarks.peers.stream_echo [--workers N]

The shortest server on the server core's own ground: no session, no policy, one call a frame.
"""

from __future__ import annotations

import argparse
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.peers.serving import announce
from proactor import CompletionPacket, CompletionPort, Overlapped, OverlappedSocket
from proactor.engines.stream_contract import StreamEnd, StreamNews

ACCEPTS_IN_FLIGHT = 64


class Echo:
    """One connection; its `received` is its stream's `send`."""

    __slots__ = ("received",)

    received: Callable[[Any], object]

    def told(self, news: StreamNews) -> None:
        """A peer that does not read is not this server's worry."""

    def ended(self, end: StreamEnd, detail: str) -> None:
        """Nothing is left to do."""

    def failed(self, error: BaseException) -> None:
        """Say so."""
        logging.error("an echo failed: %r", error)


class StreamEcho:
    """A listener on a port, and a stream for each connection."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback address."""
        self.port = CompletionPort()
        self.listener = OverlappedSocket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.port.attach(self.listener)
        for _ in range(ACCEPTS_IN_FLIGHT):
            self.listener.accept(Overlapped())

    def work(self) -> None:
        """Serve until a packet without an overlapped comes."""
        serve = self.port.serve
        while True:
            for packet in serve():
                if packet.overlapped is None:
                    self.port.post()  # For the next worker: one packet ends them all.
                    return
                self.welcome(packet)

    def welcome(self, packet: CompletionPacket) -> None:
        """Open a stream for what was accepted, and accept again."""
        if packet.error is not None:
            return  # The listener is closed, or this client has gone; the others still accept.
        sock: OverlappedSocket = packet.overlapped.accepted
        self.listener.accept(packet.overlapped)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sink = Echo()
        stream = self.port.open_stream(sock, sink)
        sink.received = stream.send
        stream.start()


def serve(echo: StreamEcho, workers: int) -> None:
    """Serve with so many threads until the standard input ends."""
    announce(echo.listener.getsockname()[1], echo.port.post)
    others = [threading.Thread(target=echo.work, daemon=True) for _ in range(workers - 1)]
    for thread in others:
        thread.start()
    echo.work()  # The main thread is a worker too: with one there is no other thread.
    for thread in others:
        thread.join()


def workers_asked_for() -> int:
    """Return the value of ``--workers``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1)
    workers: int = parser.parse_args().workers
    return workers


if __name__ == "__main__":
    serve(StreamEcho(), workers_asked_for())
