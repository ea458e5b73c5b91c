"""Turns: who serves which stream, and when what was queued leaves. The desk of one port.

The desk sorts the packets that come out of the engine's port: a receive or a send of a stream is
the stream's, everything else the caller's. Streams that are due a turn stand in ``ready``, which
all threads of the port share, as does ``dirty``: streams with something to send at the end of a
batch of turns. So nothing is held by a thread that blocks in a handler: behind each batch of more
than one turn a packet is posted, by which the port's own rule for stalled threads brings another
worker, who goes on where the first one stands. A large broadcast leaves in slices, with a packet
behind each, so that what has come meanwhile is received between them.

Rule: no lock is held while a sink is called.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Protocol

from proactor import errors
from proactor.clock import deadline_after, seconds_left
from proactor.engines.contract import EnginePort
from proactor.overlapped import Overlapped
from proactor.packets import CompletionPacket, PacketBatch

FLUSH_AFTER = 0.0005
"""Seconds of handlers after which a batch sends what was queued, so that no first reply is late."""

TURNS_AT_ONCE = 64
"""Turns that one call of `StreamDesk.serve` runs at most."""

SLICE = 256
"""Streams that are flushed before others are served again."""

TURN = object()
"""Key of a packet that a stream posts when it is due a turn; the stream is the ``overlapped``."""

_GO_ON = object()


class StreamOverlapped(Overlapped):
    """The receive, or the send, of a stream, which is the key of its packet."""

    __slots__ = ()


class Strand(Protocol):
    """A stream, as the desk sees it."""

    desk: StreamDesk
    receiving_by: StreamOverlapped
    sink: Any

    @property
    def inbox_bytes(self) -> int:
        """Bytes that wait to be taken."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, or its port is closed."""

    def has_received(self, count: int, error: OSError | None) -> bool:
        """The receive has ended that was in flight; say whether the caller owes a turn."""

    def has_sent(self, error: OSError | None) -> None:
        """The send has ended that was in flight."""

    def send_now(self) -> None:
        """Send what is queued."""

    def run_turn(self) -> None:
        """Serve the sink, if the stream is due a turn: it may have had it already."""

    def begin_given_turn(self) -> bool:
        """Begin a turn of which the frames are taken by `take`; False: there are none."""

    def end_given_turn(self) -> None:
        """The holder of the turn is done with it."""

    def abandon(self) -> None:
        """The port is closed: close the connection, call nobody."""


class _Here(threading.local):
    """What the calling thread is doing.

    Attributes:
        desk: Whose batch of turns it is in, None: in none.
        turns: The turns that `get_many` gave out to it.
    """

    desk: StreamDesk | None = None
    turns: list[Strand] | None = None


here = _Here()


class StreamDesk:
    """Runs the turns of the streams of one port. Thread-safe.

    Attributes:
        port: The engine's port.
        dirty: Streams, also of other ports, that have something to send when the batch ends.
        is_closed: Whether the port is closed: nobody ends a batch here any more.
    """

    def __init__(self, port: EnginePort) -> None:
        """Serve the streams that will be added."""
        self.port = port
        self.dirty: deque[Strand] = deque()
        self._ready: deque[Strand] = deque()
        self._streams: set[Strand] = set()
        self._lock = threading.Lock()
        self.is_closed = False
        self._go_on_is_posted = False

    # -- which streams there are --

    def add(self, stream: Strand) -> None:
        """Keep `stream` alive until it has ended.

        Raises:
            PortClosed: The port is closed.
        """
        with self._lock:
            if self.is_closed:
                raise errors.port_closed(
                    "cannot open a stream on the completion port: it is closed",
                    while_waiting=False,
                )
            self._streams.add(stream)

    def forget(self, stream: Strand) -> None:
        """`stream` has ended, or was never opened."""
        with self._lock:
            self._streams.discard(stream)

    def close(self) -> None:
        """The port is closed: so is every stream, and no sink is called any more."""
        with self._lock:
            self.is_closed = True
            left, self._streams = list(self._streams), set()
        for stream in left:
            stream.abandon()
        self._ready.clear()
        self.flush_dirty()  # Streams of other ports may be among them.

    # -- a thread comes to the port --

    def serve(self, limit: int, timeout: float | None) -> PacketBatch:
        """See `CompletionPort.serve`."""
        self._come_back()
        mine = PacketBatch()
        if self._ready:
            self._run_ready()
            return mine
        for packet in self.port.get_many(limit, timeout, False):
            stream = self._sort(packet, mine)
            if stream is not None:
                self._ready.append(stream)
        if not mine:
            self._run_ready()
        else:
            # Whoever comes first runs the turns: the caller, when it has handled these. What it
            # queues while it does (a room's broadcast, a timer's) leaves when it comes back.
            self._post_go_on()
            here.desk = self
        return mine

    def get_many(
        self,
        limit: int,
        timeout: float | None,
        alertable: bool,
        taken: PacketBatch | None = None,
    ) -> PacketBatch:
        """See `CompletionPort.get_many`: turns come out as packets; `taken` came before."""
        self._come_back()
        deadline = deadline_after(timeout)
        mine = PacketBatch()
        while True:
            self._give_out_ready(limit, mine)
            if mine:
                return mine
            if taken is not None:
                batch, taken = taken, None
            else:
                batch = self.port.get_many(limit, seconds_left(deadline), alertable)
            for packet in batch:
                stream = self._sort(packet, mine)
                if stream is not None:
                    self._give_out(stream, mine)
            self.flush_dirty_unless_held()
            if mine or batch.woken_by_apc or not batch:
                mine.woken_by_apc = batch.woken_by_apc
                return mine

    def _come_back(self) -> None:
        turns = here.turns
        if turns:
            here.turns = [stream for stream in turns if stream.desk is not self]
            for stream in turns:
                if stream.desk is self:
                    stream.end_given_turn()
        if here.desk is self:
            here.desk = None
        self.flush_dirty()

    # -- sorting --

    def _sort(self, packet: CompletionPacket, mine: PacketBatch) -> Strand | None:
        """Let a stream have what is its own, return it if a turn is due; others join `mine`."""
        operation = packet.overlapped
        stream: Strand
        if type(operation) is StreamOverlapped:
            stream = packet.key
            if operation is stream.receiving_by:
                return stream if stream.has_received(packet.transferred, packet.error) else None
            stream.has_sent(packet.error)
        elif packet.key is TURN:
            stream = operation
            return stream
        elif packet.key is _GO_ON:
            self._go_on_is_posted = False
        else:
            mine.append(packet)
        return None

    # -- running turns --

    def _run_ready(self) -> None:
        ready = self._ready
        if not ready:
            self.flush_dirty()
            return
        here.desk = self
        if len(ready) > 1:
            self._post_go_on()
        began = time.monotonic()
        try:
            for _ in range(TURNS_AT_ONCE):
                try:
                    stream = ready.popleft()
                except IndexError:
                    break
                stream.run_turn()
                if self.dirty and time.monotonic() - began > FLUSH_AFTER:
                    self.flush_dirty()
                    began = time.monotonic()
            else:
                if ready:
                    self._post_go_on()
        finally:
            here.desk = None
            self.flush_dirty()

    def _post_go_on(self) -> None:
        """Let another worker do what is left if this one does not come back."""
        if (self._ready or self.dirty) and not self._go_on_is_posted:
            self._go_on_is_posted = True
            self._post(CompletionPacket(_GO_ON))

    def post_turn(self, stream: Strand) -> None:
        """Put `stream` at the end of the port's queue."""
        self._post(CompletionPacket(TURN, stream))

    def _post(self, packet: CompletionPacket) -> None:
        try:
            self.port.post(packet)
        except errors.PortClosed:
            self._go_on_is_posted = False  # `close` ends the streams; nobody is called any more.

    def _give_out_ready(self, limit: int, mine: PacketBatch) -> None:
        while self._ready and len(mine) < limit:
            try:
                stream = self._ready.popleft()
            except IndexError:
                return
            self._give_out(stream, mine)

    def _give_out(self, stream: Strand, mine: PacketBatch) -> None:
        """Begin a turn that the caller of `get_many` holds; no packet if there is no frame."""
        here.desk = self
        try:
            if stream.begin_given_turn():
                # Turns of ports that were closed meanwhile are nobody's.
                here.turns = [held for held in here.turns or () if not held.has_ended]
                here.turns.append(stream)
                mine.append(CompletionPacket(stream.sink, stream, stream.inbox_bytes))
        finally:
            self._leave_batch()

    def end_given_turn(self, stream: Strand) -> None:
        """End one turn of the calling thread before it comes back."""
        turns = here.turns
        if not turns or stream not in turns:
            return
        turns.remove(stream)
        stream.end_given_turn()
        self._leave_batch()
        self.flush_dirty_unless_held()

    def _leave_batch(self) -> None:
        """What the thread sends from now on leaves at once, unless it holds a turn."""
        if not any(stream.desk is self for stream in here.turns or ()):
            here.desk = None

    def flush_dirty_unless_held(self) -> None:
        """Send what turns without a frame have queued, unless the thread holds others."""
        if here.desk is None:
            self.flush_dirty()
        else:
            self._post_go_on()  # Others' may be among it, whose packet this thread has taken.

    def flush_dirty(self) -> None:
        """Send a slice of what was queued in turns; other threads' too, which may be blocked.

        A packet brings a worker for the rest. Where the port is closed none comes, and all leaves.
        """
        dirty, sent = self.dirty, 0
        while dirty:
            if sent >= SLICE and not self.is_closed:
                self._post_go_on()
                return
            try:
                stream = dirty.popleft()
            except IndexError:
                return
            sent += 1
            stream.send_now()
