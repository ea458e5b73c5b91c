"""The connection below a stream: its state, and the sending half.

One gathered send is in flight at most. The socket queues no packet for what completes at once, so
the usual send costs no packet.

Rule: `_lock` guards the state, and is held neither in a call of the sink nor in one of the socket.
"""

from __future__ import annotations

import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proactor.engines.stream_contract import Address, StreamEnd, StreamLimits, StreamSink
from proactor.framing import Framing
from proactor.sockets import OverlappedSocket
from proactor.strands.desk import StreamDesk, StreamOverlapped, here
from proactor.strands.send_queue import SendQueue

if TYPE_CHECKING:
    from typing_extensions import Buffer

IDLE, QUEUED, RUNNING, ENDED = range(4)
"""Where a stream is between its turns; QUEUED: a packet, or the desk, will bring it a turn."""

_ids = itertools.count(1)


class StreamConnection(ABC):
    """What is received and sent; who runs the turns is above."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_calls",
        "_decoder",
        "_detail",
        "_dirty",
        "_dropping",
        "_end",
        "_fin_sent",
        "_finishing",
        "_frames_a_turn",
        "_framing",
        "_inbox",
        "_inbox_bytes",
        "_inbox_high",
        "_inbox_low",
        "_is_full",
        "_lock",
        "_paused",
        "_peer_fin",
        "_poison",
        "_queue",
        "_receiving",
        "_refusing",
        "_sending",
        "_sending_by",
        "_small_receives",
        "_socket",
        "_started",
        "_state",
        "_stopped",
        "_totals",
        "_winding_up",
        "desk",
        "id",
        "last_received",
        "last_sent",
        "local",
        "peer",
        "receiving_by",
        "sink",
    )

    def __init__(
        self,
        desk: StreamDesk,
        sock: OverlappedSocket,
        sink: StreamSink,
        framing: Framing,
        limits: StreamLimits,
    ) -> None:
        """Make a stream over `sock`, which must be connected; `CompletionPort` attaches it."""
        self.id = next(_ids)
        self.sink: Any = sink
        self.peer: Address = sock.getpeername()
        self.local: Address = sock.getsockname()
        self.desk = desk
        self._socket = sock
        self._lock = threading.Lock()
        self._framing = framing
        self._decoder = framing.decoder()
        self._queue = SendQueue(limits)
        self._inbox: deque[Any] = deque()
        self._inbox_bytes = 0
        self._inbox_high, self._inbox_low = limits.inbox_high, limits.inbox_low
        self._frames_a_turn = limits.frames_a_turn
        self._calls: deque[Callable[[], object]] = deque()
        self._buffer = bytearray()
        self._small_receives = 0
        self.receiving_by, self._sending_by = StreamOverlapped(), StreamOverlapped()
        self._totals = [0, 0, 0, 0]  # Bytes and frames received, bytes and packets sent.
        self._state = IDLE
        self._started = self._receiving = self._sending = self._dirty = False
        self._paused = self._is_full = False
        self._stopped = False  # Deliver nothing now: paused, or closed here.
        self._refusing = False  # Take nothing more to send.
        self._dropping = False  # Throw away what comes: closed here.
        self._winding_up = False  # There is something that leads to the end.
        self._peer_fin = self._fin_sent = False
        self._poison: str | None = None
        self._finishing: StreamEnd | None = None
        self._end: StreamEnd | None = None
        self._detail = ""
        self.last_received = self.last_sent = time.monotonic()

    @property
    def inbox_bytes(self) -> int:
        """See `EngineStream`."""
        return self._inbox_bytes

    @property
    def has_ended(self) -> bool:
        """Whether `ended` was called, or the port is closed."""
        return self._state == ENDED

    # -- what is above --

    @abstractmethod
    def run_turn(self) -> None:
        """See `Strand.run_turn`."""

    @abstractmethod
    def begin_given_turn(self) -> bool:
        """See `Strand.begin_given_turn`."""

    @abstractmethod
    def end_given_turn(self) -> None:
        """See `Strand.end_given_turn`."""

    @abstractmethod
    def abandon(self) -> None:
        """See `Strand.abandon`."""

    @abstractmethod
    def has_received(self, count: int, error: OSError | None) -> bool:
        """See `Strand.has_received`."""

    @abstractmethod
    def _receive_if_wanted(self) -> None:
        """Receive, if a receive is wanted and none is in flight."""

    @abstractmethod
    def _claim_turn(self) -> bool:
        """Say whether the caller owes the stream a turn; the lock is held."""

    @abstractmethod
    def _broken(self, error: OSError) -> None:
        """A receive or a send has failed."""

    @abstractmethod
    def _advance(self) -> None:
        """Take the next steps of a polite end."""

    @abstractmethod
    def _go_on(self) -> None:
        """Something has happened outside a turn: take the steps to the end, owe a turn."""

    # -- sending --

    def send(self, item: Any, key: Any = None) -> bool:
        """See `EngineStream.send`."""
        return self.send_frame(self._framing.encode(item), key)

    def send_frame(self, frame: Buffer, key: Any = None) -> bool:
        """See `EngineStream.send_frame`."""
        if type(frame) is not bytes:
            frame = bytes(memoryview(frame))  # What the caller may change is copied.
        desk = here.desk
        if desk is not None and desk.is_closed:
            desk = None
        with self._lock:
            if self._refusing or not self._queue.push(frame, key):
                return False
            if desk is not None and not self._dirty:
                self._dirty = True
                desk.dirty.append(self)
        if desk is None:
            self.send_now()
        return True

    def drop_oldest(self, needed_bytes: int, needed_packets: int = 1) -> int:
        """See `EngineStream.drop_oldest`."""
        with self._lock:
            count = self._queue.drop_oldest(needed_bytes, needed_packets)
        if count:
            self._go_on()
        return count

    def flush(self) -> None:
        """See `EngineStream.flush`."""
        self.send_now()

    def send_now(self) -> None:
        """Send what is queued, and go on with what that makes possible."""
        self._dirty = False
        self._send_all()
        if self._queue.news or self._winding_up:
            self._go_on()

    def _send_all(self) -> None:
        """Send what is queued, unless a send is in flight: its packet sends the rest."""
        queue = self._queue
        while True:
            with self._lock:
                if self._sending or self._end is not None or not queue.waiting:
                    return
                self._sending = True
                buffers = queue.begin()
            try:
                count = self._socket.send(buffers, self._sending_by)
            except OSError as error:
                self._sending = False
                self._broken(error)
                return
            if count is None:
                return
            with self._lock:
                self._count_sent()

    def has_sent(self, error: OSError | None) -> None:
        """The send has ended that was in flight."""
        if error is None:
            with self._lock:
                self._count_sent()
        else:
            self._sending = False
            self._broken(error)
        self.send_now()

    def _count_sent(self) -> None:
        self._sending = False
        queue, totals = self._queue, self._totals
        totals[2] += queue.begun_bytes
        totals[3] += queue.begun_packets
        queue.sent()
        self.last_sent = time.monotonic()
