"""A model that serves in a thread, and what a test may ask about it from outside.

`Served` ends what it began and then holds the server to its promise: `serve` has returned, no
session is live, and no thread is left. `RecordingTraffic` lets a test wait for what passes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proactor.models import MODELS, Address, EchoServer, Reason, Traffic
from tests.support.sockets import LIMIT, plain_client, read_exactly
from tests.support.threads import Running

ALL_MODELS = list(MODELS)


class RecordingTraffic(Traffic):
    """Traffic that can be waited for, and that remembers who came and went."""

    def __init__(self) -> None:
        """Remember nobody yet."""
        super().__init__()
        self._changed = threading.Condition()
        self.arrivals: list[Address] = []
        self.departures: list[tuple[Address, Reason]] = []

    def connected(self, peer: Address) -> None:
        super().connected(peer)
        with self._changed:
            self.arrivals.append(peer)
            self._changed.notify_all()

    def received(self, peer: Address, count: int) -> None:
        super().received(peer, count)
        with self._changed:
            self._changed.notify_all()

    def sent(self, peer: Address, count: int) -> None:
        super().sent(peer, count)
        with self._changed:
            self._changed.notify_all()

    def disconnected(self, peer: Address, reason: Reason) -> None:
        super().disconnected(peer, reason)
        with self._changed:
            self.departures.append((peer, reason))
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout: float = LIMIT) -> bool:
        """Wait until `condition` holds; it is asked again whenever something passes."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def wait_until_quiet(self, seconds: float = 0.2) -> None:
        """Return when nothing has passed for `seconds`."""
        with self._changed:
            while self._changed.wait(seconds):
                pass


class Served:
    """One server that serves in a thread, for a ``with`` block."""

    def __init__(self, model: str, host: str = "127.0.0.1") -> None:
        """Make the server; the block starts it."""
        self.traffic = RecordingTraffic()
        self._threads_before = set(threading.enumerate())
        self.server: EchoServer = MODELS[model](host, 0, traffic=self.traffic)
        self._running: Running[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.server.address

    @property
    def sessions(self) -> int:
        """How many sessions are live."""
        return self.server.sessions

    def client(self) -> socket.socket:
        """Return a connected client; the caller closes it."""
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        return plain_client(self.address, family)

    def wait_for_sessions(self, count: int) -> None:
        """Wait until exactly `count` sessions are live."""
        came = self.traffic.wait_for(lambda: self.server.sessions == count)
        assert came, f"{self.server.sessions} sessions, not {count}"

    def wait_for_departures(self, count: int) -> list[Reason]:
        """Wait until `count` sessions have ended since the start; return their reasons."""
        came = self.traffic.wait_for(lambda: len(self.traffic.departures) >= count)
        assert came, f"{len(self.traffic.departures)} sessions have ended, not {count}"
        return [reason for _, reason in self.traffic.departures]

    def stop(self, timeout: float = LIMIT) -> float:
        """Stop the server and wait for `serve` to return; return how many seconds it took."""
        assert self._running is not None, "stop() before the block has begun"
        started = time.perf_counter()
        self.server.stop()
        self._running.result(timeout)
        return time.perf_counter() - started

    def __enter__(self) -> Served:
        self._running = Running(self.server.serve)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        assert self.server.sessions == 0
        left = [
            thread.name
            for thread in set(threading.enumerate()) - self._threads_before
            # The engine's own thread is one a process, and stays.
            if not thread.name.startswith("proactor") and not thread.name.startswith("test ")
        ]
        assert not left, f"threads left behind: {left}"


def echo(client: socket.socket, message: bytes) -> bytes:
    """Send `message` and return as many bytes as come back for it."""
    client.sendall(message)
    return read_exactly(client, len(message))


def close_waits(port: int) -> int:
    """Return how many of the server's connections the peer has closed and we have not."""
    close_wait, count = "08", 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            _, local, _, state = line.split()[:4]
            if int(local.rpartition(":")[2], 16) == port and state == close_wait:
                count += 1
    return count


def processor_seconds(window: float) -> float:
    """Return the processor time that this process uses while the test does nothing for `window`."""
    before = time.process_time()
    threading.Event().wait(window)
    return time.process_time() - before
