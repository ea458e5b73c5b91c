"""The completion port: one central queue of finished operations that any worker may take from.

This module owns the public face and its argument checks; the queue itself is the engine's, and on
Windows the kernel's. Contracts: CreateIoCompletionPort, GetQueuedCompletionStatus(Ex),
PostQueuedCompletionStatus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proactor import errors, statuses
from proactor.engines import choose
from proactor.engines.contract import PortStatistics
from proactor.packets import CompletionPacket, PacketBatch
from proactor.sockets import OverlappedSocket, engine_socket_of

DEFAULT_STALL_TIMEOUT = 0.005
"""Seconds after which a worker that has not come back counts as blocked while packets wait."""


def default_concurrency() -> int:
    """Return the concurrency value of 0: 1 with a GIL, the number of CPUs without one."""
    gil_is_on = getattr(sys, "_is_gil_enabled", lambda: True)()
    return 1 if gil_is_on else (os.cpu_count() or 1)


class CompletionPort:
    """A queue of completion packets, FIFO, that releases its waiting threads LIFO.

    Args:
        concurrency: How many threads that took packets may run at once; the others wait although
            packets are queued. 0 means 1 on an interpreter with a GIL and the number of CPUs
            without one. More worker threads than this is right: they replace those that block.
        stall_timeout: Seconds after which a thread that took packets and has not come back
            counts as blocked while packets wait (Windows sees a thread block in any call; an
            engine without a kernel port cannot). None for the strict rule. Ignored on Windows.

    Thread-safe, all of it. A `with` block closes the port at its end. Closing is not how to stop
    workers: post one packet for each instead (`WorkerPool` does).
    """

    def __init__(
        self, concurrency: int = 0, *, stall_timeout: float | None = DEFAULT_STALL_TIMEOUT
    ) -> None:
        """Make an empty port."""
        if concurrency < 0:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                f"a port's concurrency is 0 (the default) or more, not {concurrency}",
            )
        if stall_timeout is not None and not stall_timeout > 0:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                f"stall_timeout is a positive number of seconds or None, not {stall_timeout!r}",
            )
        self.concurrency = concurrency or default_concurrency()
        self._port = choose.current().open_port(self.concurrency, stall_timeout)

    def attach(self, sock: OverlappedSocket, key: Any = None) -> None:
        """Associate `sock` with this port, for as long as the socket lives.

        Every later operation on it that has no routine, and every one that is pending now and has
        none, ends in a packet with `key`. The port keeps `key` alive as long as the socket.

        Raises:
            InvalidParameter: `sock` has a port already, or was made with ``overlapped=False``
                (87); the first association goes on working.
            SocketClosed: `sock` is closed (10038).
            PortClosed: This port is closed.
            TypeError: `sock` is no `OverlappedSocket`.
        """
        self._port.attach(engine_socket_of(sock, "attach"), key)

    def get(self, timeout: float | None = None) -> CompletionPacket | None:
        """Take the oldest packet; wait up to `timeout` seconds for one (None: for ever).

        Returns:
            The packet, whatever its operation's outcome (look at ``packet.error``), or None on
            time-out. A time-out is also possible while packets are queued, if as many threads as
            the concurrency value are running.

        Raises:
            PortClosed: The port was closed before (6) or during (735) the wait.
        """
        batch = self._port.get_many(1, timeout, False)
        return batch[0] if batch else None

    def get_many(
        self, limit: int = 64, timeout: float | None = None, *, alertable: bool = False
    ) -> PacketBatch:
        """Take up to `limit` packets in order: those that are queued, it does not wait for more.

        Args:
            limit: The most packets to take, 1 or more.
            timeout: Seconds to wait for the first packet; None waits for ever.
            alertable: Let APCs of this thread end the wait: they run, and the batch is empty with
                ``woken_by_apc`` set. In a thread that last used this port, a queued packet wins
                and the APC stays queued; in another thread a queued APC wins.

        Raises:
            InvalidParameter: `limit` is less than 1 (87).
            PortClosed: The port was closed before (6) or during (735) the wait.
        """
        if limit < 1:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER, f"limit is 1 or more, not {limit}"
            )
        return self._port.get_many(limit, timeout, alertable)

    def post(self, key: Any = None, overlapped: Any = None, transferred: Any = 0) -> None:
        """Queue a packet of your own behind those that are queued.

        The three values are opaque, and are delivered untouched.

        Raises:
            PortClosed: The port is closed (6).
        """
        self._port.post(CompletionPacket(key, overlapped, transferred))

    @contextmanager
    def blocking(self) -> Iterator[None]:
        """Count the calling worker as blocked for this block: another may run in its place.

        For a database call, a lock, a sleep. Afterwards the worker runs on at once, even if more
        than the concurrency value then run, and no other is released until fewer do. Does nothing
        in a thread that took no packet from this port. On Windows the kernel sees it by itself.
        """
        self._port.begin_blocking()
        try:
            yield
        finally:
            self._port.end_blocking()

    def close(self) -> None:
        """Close the port: waiting threads raise `PortClosed`, queued packets are lost.

        Attached sockets stay open; what they complete from now on indicates nowhere. Closing
        twice does nothing.
        """
        self._port.close()

    def statistics(self) -> PortStatistics:
        """Return a snapshot of the port's counters; also of a closed one."""
        return self._port.statistics()

    def __enter__(self) -> CompletionPort:
        """Return the port."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the port."""
        self.close()
