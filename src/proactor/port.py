"""The completion port: one central queue of finished operations that any worker may take from.

A port also serves streams (`proactor.streams`), whose receives and sends are sorted out here: the
first stream of a port gives it a desk, and without one a port pays a single test for them. This
module owns the public face and its argument checks; the queue itself is the engine's, and on
Windows the kernel's. Contracts: CreateIoCompletionPort, GetQueuedCompletionStatus(Ex),
PostQueuedCompletionStatus.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proactor import errors, statuses
from proactor.clock import deadline_after, seconds_left
from proactor.engines import choose
from proactor.engines.contract import EnginePort, PortStatistics
from proactor.engines.stream_contract import StreamLimits, StreamSink
from proactor.framing import Framing, RawFraming
from proactor.packets import CompletionPacket, PacketBatch
from proactor.sockets import OverlappedSocket, engine_socket_of, give_up
from proactor.strands.desk import StreamDesk
from proactor.streams import Stream, engine_streams_of, open_reference_stream, refuse_what_is_busy

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
        self._desk: StreamDesk | None = None
        self._desk_lock = threading.Lock()

    @property
    def engine_port(self) -> EnginePort:
        """The engine's side of the port."""
        return self._port

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
        batch = self.get_many(1, timeout)
        return batch[0] if batch else None

    def get_many(
        self, limit: int = 64, timeout: float | None = None, *, alertable: bool = False
    ) -> PacketBatch:
        """Take up to `limit` packets in order: those that are queued, it does not wait for more.

        A turn of a stream comes out as ``CompletionPacket(key=sink, overlapped=stream,
        transferred=inbox_bytes)``: take its frames with ``stream.take()``. The turn is this
        thread's until it comes back to the port, or ends it with ``stream.end_turn()``.

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
            raise _bad_limit(limit)
        desk = self._desk
        if desk is not None:
            return desk.get_many(limit, timeout, alertable)
        deadline = None if timeout is None else deadline_after(timeout)
        batch = self._port.get_many(limit, timeout, alertable)
        desk = self._desk
        if desk is None:
            return batch
        # The first stream was opened during the wait: the packet may be a stream's.
        return desk.get_many(limit, seconds_left(deadline), alertable, batch)

    def post(self, key: Any = None, overlapped: Any = None, transferred: Any = 0) -> None:
        """Queue a packet of your own behind those that are queued.

        The three values are opaque, and are delivered untouched.

        Raises:
            PortClosed: The port is closed (6).
        """
        self._port.post(CompletionPacket(key, overlapped, transferred))

    # -- streams --

    def open_stream(
        self,
        sock: OverlappedSocket,
        sink: StreamSink,
        framing: Framing | None = None,
        limits: StreamLimits | None = None,
    ) -> Stream:
        """Take a connection over, to be served in turns: one worker at a time, in order.

        The stream receives, cuts what comes into frames, and calls `sink` in the threads that are
        in `serve`; it queues what is sent and sends it gathered. It begins with ``start()``.

        Args:
            sock: A connected TCP socket without operations in flight that is attached to no port.
                It is closed *as an object*: the connection belongs to the stream.
            sink: Whom the stream serves; see `StreamSink`.
            framing: Where a frame ends. None is `RawFraming`: bytes as they come.
            limits: What the stream may hold. None is ``StreamLimits()``.

        Raises:
            ProactorError: `sock` is not connected (10057).
            InvalidParameter: It is attached to a port, has operations in flight, or was made with
                ``overlapped=False`` (87).
            SocketClosed: It is closed (10038).
            PortClosed: This port is closed.
            TypeError: An argument is of another type.

        After an error `sock` is as it was.
        """
        framing = RawFraming() if framing is None else framing
        limits = StreamLimits() if limits is None else limits
        _check_type("framing", framing, Framing, "PacketFraming(), or another one")
        _check_type("limits", limits, StreamLimits, "StreamLimits(...)")
        engine_socket = engine_socket_of(sock, "open_stream")
        engine = engine_streams_of(self._port)
        if engine is None:
            return open_reference_stream(self._desk_of_streams(), sock, sink, framing, limits)
        refuse_what_is_busy(sock)
        stream = engine.open_stream(engine_socket, sink, framing, limits)
        give_up(sock)
        return stream

    def _desk_of_streams(self) -> StreamDesk:
        with self._desk_lock:
            if self._desk is None:
                self._desk = StreamDesk(self._port)
            return self._desk

    def serve(self, limit: int = 64, timeout: float | None = None) -> PacketBatch:
        """Run the turns of streams that are due, and take the packets that belong to none.

        Like `get_many`, but the sinks of streams are called inside, one after another. When the
        calling thread comes (back) here, its turns end, and what they queued is sent.

        Args:
            limit: The most packets to take at once, 1 or more.
            timeout: Seconds to wait for something to do; None waits for ever.

        Returns:
            The other packets: posted ones, accepts, operations of sockets that are no streams.
            Empty on time-out, and also earlier, after turns.

        Raises:
            InvalidParameter: `limit` is less than 1 (87).
            PortClosed: The port was closed before (6) or during (735) the wait.
        """
        if limit < 1:
            raise _bad_limit(limit)
        desk = self._desk
        if desk is not None:
            return desk.serve(limit, timeout)
        engine = engine_streams_of(self._port)
        if engine is not None:
            return engine.serve(limit, timeout)
        return self._desk_of_streams().serve(limit, timeout)

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

        Attached sockets stay open; what they complete from now on indicates nowhere. Streams end:
        their connections are closed, what they hold is dropped, and their sinks are not called
        any more. Closing twice does nothing.
        """
        self._port.close()
        if self._desk is not None:
            self._desk.close()

    def statistics(self) -> PortStatistics:
        """Return a snapshot of the port's counters; also of a closed one."""
        return self._port.statistics()

    def __enter__(self) -> CompletionPort:
        """Return the port."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the port."""
        self.close()


def _bad_limit(limit: int) -> errors.ProactorError:
    return errors.refused(statuses.ERROR_INVALID_PARAMETER, f"limit is 1 or more, not {limit}")


def _check_type(name: str, value: object, wanted: type, remedy: str) -> None:
    if not isinstance(value, wanted):
        raise TypeError(
            f"open_stream: {name} is a {wanted.__name__}, not {type(value).__name__}: give {remedy}"
        )
