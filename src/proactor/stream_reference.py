"""A stream in plain Python, over overlapped sockets: for every engine that brings none of its own.

One receive and one gathered send are in flight at most. The socket queues no packet for what
completes at once, so the usual send costs no packet, and the packet of a receive *is* the turn.

The receive buffer is the stream's own and follows the traffic: it begins with 2 KiB, so that ten
thousand idle streams cost 20 MB, and grows while receives fill it, to 64 KiB. A zero-byte receive
into a shared buffer would cost an idle stream nothing, but every message one more system call and
one more operation, which is a quarter of what a small message costs in Python.

How it ends is a sequence that `_advance` takes one step further each time something has happened:
deliver what came, send what is queued, FIN, the peer's FIN, close, collect what is in flight, and then
`ended`, in a turn. Whatever breaks the connection goes to `_finish`, which skips to the close.

Rule: `_lock` guards the state, and is held neither in a call of the sink nor in one of the socket.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from proactor.engines.stream_contract import (
    Address,
    StreamEnd,
    StreamLimits,
    StreamSink,
    StreamStatistics,
)
from proactor.framing import Framing, FramingError, broken_off
from proactor.send_queues import SendQueue
from proactor.sockets import OverlappedSocket
from proactor.stream_turns import StreamDesk, StreamOverlapped, here

if TYPE_CHECKING:
    from typing_extensions import Buffer

logger = logging.getLogger("proactor")

SMALLEST_BUFFER = 2 * 1024
LARGEST_BUFFER = 64 * 1024

_SMALL_RECEIVES = 64
"""Receives in a row that would fit the smallest buffer, after which it is taken again."""

_IDLE, _QUEUED, _RUNNING, _ENDED = range(4)

_ids = itertools.count(1)

_RESETS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


class ReferenceStream:
    """See `EngineStream`. Made by `CompletionPort.open_stream`."""

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
        "_view",
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
        self._view = memoryview(self._buffer)
        self._small_receives = 0
        self.receiving_by, self._sending_by = StreamOverlapped(), StreamOverlapped()
        self._totals = [0, 0, 0, 0]  # Bytes and frames received, bytes and packets sent.
        self._state = _IDLE
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

    # -- what a user sees of it --

    @property
    def queued_bytes(self) -> int:
        """See `EngineStream`."""
        return self._queue.bytes

    @property
    def queued_packets(self) -> int:
        """See `EngineStream`."""
        return self._queue.packets

    @property
    def inbox_bytes(self) -> int:
        """See `EngineStream`."""
        return self._inbox_bytes

    @property
    def is_closing(self) -> bool:
        """See `EngineStream`."""
        return self._refusing

    @property
    def has_ended(self) -> bool:
        """Whether `ended` has been called, or the port is closed."""
        return self._state == _ENDED

    def statistics(self) -> StreamStatistics:
        """See `EngineStream.statistics`."""
        with self._lock:
            queue = self._queue
            return StreamStatistics(*self._totals, queue.dropped, queue.replaced, queue.refused)

    # -- sending --

    def send(self, item: Any, key: Any = None) -> bool:
        """See `EngineStream.send`."""
        return self.send_frame(self._framing.encode(item), key)

    def send_frame(self, frame: Buffer, key: Any = None) -> bool:
        """See `EngineStream.send_frame`."""
        if type(frame) is not bytes:
            frame = bytes(frame)  # What the caller may change is copied.
        desk = here.desk
        queue = self._queue
        with self._lock:
            if self._refusing or not queue.push(frame, key):
                return False
            if desk is not None and not self._dirty:
                self._dirty = True
                desk.dirty.append(self)
            due = queue.news and self._claim_turn()
        if due:
            self.desk.post_turn(self)
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
                if self._sending or not queue.has_waiting or self._end is not None:
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

    # -- receiving --

    def start(self) -> None:
        """See `EngineStream.start`."""
        self._started = True
        self._receive_if_wanted()

    def pause(self) -> None:
        """See `EngineStream.pause`."""
        with self._lock:
            self._paused = self._stopped = True

    def resume(self) -> None:
        """See `EngineStream.resume`."""
        with self._lock:
            self._paused = False
            self._stopped = self._dropping
        self._go_on()
        self._receive_if_wanted()

    def _receive_if_wanted(self) -> None:
        with self._lock:
            wanted = self._claim_receive()
        if wanted:
            self._receive()

    def _claim_receive(self) -> bool:
        """Say whether to receive now; the caller then must. The lock is held."""
        if self._receiving or self._peer_fin or self._end is not None or self._poison is not None:
            return False
        if not self._dropping:
            size = self._inbox_bytes
            self._is_full = size > (self._inbox_low if self._is_full else self._inbox_high)
            if self._is_full or self._paused or not self._started:
                return False
        self._receiving = True
        return True

    def _receive(self) -> None:
        """Receive, after `_claim_receive`; what is there at once is no reason for a packet."""
        while True:
            if not self._buffer:
                self._resize(SMALLEST_BUFFER)
            try:
                count = self._socket.recv(self._view, self.receiving_by)
            except OSError as error:
                wanted = self._take_in(0, error)
            else:
                if count is None:
                    return
                wanted = self._take_in(count, None)
            with self._lock:
                due = self._claim_turn()
                wanted = wanted and self._claim_receive()
            if due:
                self.desk.post_turn(self)
            if not wanted:
                return

    def has_received(self, count: int, error: OSError | None) -> bool:
        """The receive has ended that was in flight; say whether the caller owes a turn."""
        if self._take_in(count, error):
            self._receive_if_wanted()
        with self._lock:
            return self._claim_turn()

    def _take_in(self, count: int, error: OSError | None) -> bool:
        """Put what came into the inbox; say whether to receive on, because nothing is whole."""
        items: list[Any] = []
        size = 0
        if count and not self._dropping:
            items, size = self._decode(count)
        with self._lock:
            self._receiving = False
            if count:
                self.last_received = time.monotonic()
                self._totals[0] += count
                self._totals[1] += len(items)
                if not self._dropping:
                    self._inbox.extend(items)
                    self._inbox_bytes += size
            elif error is None:
                self._peer_fin = self._winding_up = True
        if error is not None:
            self._broken(error)
        if self._winding_up:
            self._advance()
        return not items

    def _decode(self, count: int) -> tuple[list[Any], int]:
        decoder = self._decoder
        kept = decoder.pending
        try:
            items = decoder.feed(bytes(self._view[:count]))
        except FramingError as error:
            items = list(error.items)
            self._poisoned(error.reason)
        except Exception as error:  # A user's own decoder: what it cannot read is no frame.
            items = []
            self._poisoned(f"the decoder raised {error!r}")
        else:
            kept -= decoder.pending
        self._adapt_buffer(count)
        return items, max(0, count + kept) if items else 0

    def _poisoned(self, reason: str) -> None:
        self._poison = reason
        self._winding_up = True

    def _adapt_buffer(self, count: int) -> None:
        size = len(self._buffer)
        if count == size:
            self._small_receives = 0
            if size < LARGEST_BUFFER:
                self._resize(min(size * 4, LARGEST_BUFFER))
        elif size > SMALLEST_BUFFER:
            self._small_receives = self._small_receives + 1 if count <= SMALLEST_BUFFER else 0
            if self._small_receives >= _SMALL_RECEIVES:
                self._small_receives = 0
                self._resize(SMALLEST_BUFFER)

    def _resize(self, size: int) -> None:
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)

    def _settle(self, taken: int) -> None:
        """Take the bytes of `taken` frames from the count; the lock is held."""
        left = len(self._inbox)
        if not left:
            self._inbox_bytes = 0
        elif taken:
            self._inbox_bytes = self._inbox_bytes * left // (left + taken)

    # -- turns --

    def post(self, call: Callable[[], object]) -> bool:
        """See `EngineStream.post`."""
        with self._lock:
            if self._state == _ENDED:
                return False
            self._calls.append(call)
            due = self._claim_turn()
        if due:
            self.desk.post_turn(self)
        return True

    def _claim_turn(self) -> bool:
        """Say whether the caller owes the stream a turn; the lock is held."""
        if self._state != _IDLE or not self._has_work():
            return False
        self._state = _QUEUED
        return True

    def _has_work(self) -> bool:
        if self._calls or self._queue.news or (self._inbox and not self._stopped):
            return True
        return self._winding_up and (self._may_end() or self._may_turn_to_the_end())

    def _go_on(self) -> None:
        """Something has happened outside a turn: take the steps to the end, owe a turn."""
        if self._winding_up:
            self._advance()
            self._receive_if_wanted()
        with self._lock:
            due = self._claim_turn()
        if due:
            self.desk.post_turn(self)

    def run_turn(self) -> None:
        """Serve the sink, if the stream is due a turn: it may have had it already."""
        if not self._begin_turn():
            return
        taken = 0
        try:
            if self._calls or self._queue.news:
                self._run_calls()
            taken = self._deliver()
        finally:
            self._end_turn(taken)

    def _begin_turn(self) -> bool:
        with self._lock:
            if self._state != _QUEUED:
                return False
            self._state = _RUNNING
            return True

    def _run_calls(self) -> None:
        with self._lock:
            news = self._queue.take_news()
        if news and not self._dropping:
            self._guarded(self.sink.told, news)
        for _ in range(len(self._calls)):
            self._guarded(self._calls.popleft())

    def _guarded(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Tell the sink what it, or a posted call, raised; Ctrl-C is not the sink's."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        try:
            self.sink.failed(error)
        except Exception:
            logger.exception("stream %d: failed() raised", self.id)

    def _deliver(self) -> int:
        """Give the sink the frames of one turn; return how many they were."""
        inbox = self._inbox
        received = self.sink.received
        for taken in range(self._frames_a_turn):
            if self._stopped or not inbox:
                return taken
            try:
                received(inbox.popleft())
            except BaseException as error:
                self._failed(error)
        return self._frames_a_turn

    def _end_turn(self, taken: int) -> None:
        with self._lock:
            self._settle(taken)
        if self._winding_up and self._wind_up():
            return
        with self._lock:
            wanted = self._claim_receive()
            due = self._has_work()
            self._state = _QUEUED if due else _IDLE
        if wanted:
            self._receive()
        if due:
            self.desk.post_turn(self)

    def begin_given_turn(self) -> bool:
        """Begin a turn of which the frames are taken by `take`; False: there are none."""
        if not self._begin_turn():
            return False
        has_frames = False
        try:
            if self._calls or self._queue.news:
                self._run_calls()
            has_frames = bool(self._inbox) and not self._stopped
        finally:
            if not has_frames:
                self._end_turn(0)
        return has_frames

    def end_given_turn(self) -> None:
        """The holder of the turn is done with it."""
        self._end_turn(0)

    def take(self) -> list[Any]:
        """See `EngineStream.take`."""
        if not here.turns or self not in here.turns:
            raise RuntimeError(
                f"take() on stream {self.id}: this thread holds no turn of it; take frames "
                "between get_many and the next call of the port"
            )
        items: list[Any] = []
        with self._lock:
            while self._inbox and not self._stopped and len(items) < self._frames_a_turn:
                items.append(self._inbox.popleft())
            self._settle(len(items))
        return items

    def end_turn(self) -> None:
        """See `EngineStream.end_turn`."""
        self.desk.end_given_turn(self)

    # -- the end --

    def close(self) -> None:
        """See `EngineStream.close`."""
        with self._lock:
            if self._dropping:
                return
            self._finishing = StreamEnd.CLOSED
            self._refuse_all()
        self._go_on()

    def abort(self, end: StreamEnd = StreamEnd.ABORTED, detail: str = "") -> None:
        """See `EngineStream.abort`."""
        with self._lock:
            if self._state == _ENDED:
                return
            self._refuse_all()
        self._finish(end, detail, reset=True)
        self._go_on()

    def _refuse_all(self) -> None:
        """Nothing is delivered, nothing is taken to send; the lock is held."""
        self._refusing = self._stopped = self._dropping = self._winding_up = True
        self._inbox.clear()
        self._inbox_bytes = 0

    def _broken(self, error: OSError) -> None:
        """A receive or a send has failed; after an end of our own that says nothing."""
        end = StreamEnd.RESET if isinstance(error, _RESETS) else StreamEnd.ERROR
        self._finish(end, str(error), reset=False)

    def _finish(self, end: StreamEnd, detail: str, *, reset: bool) -> None:
        """The connection is over: close the socket. Only the first end counts."""
        with self._lock:
            if self._end is not None:
                return
            self._end, self._detail = end, detail
            self._refusing = self._winding_up = True
            self._queue.clear()
        if reset:
            self._socket.abort()
        else:
            self._socket.close()

    def _may_turn_to_the_end(self) -> bool:
        """All that came is delivered: a turn may take the peer's end for ours. Lock held."""
        if self._end is not None or self._inbox or self._finishing is not None:
            return False
        return self._peer_fin or self._poison is not None

    def _may_end(self) -> bool:
        """Nothing is left but to call `ended`; the lock is held."""
        in_flight = self._receiving or self._sending
        return self._end is not None and not (in_flight or self._inbox or self._calls)

    def _wind_up(self) -> bool:
        """At the end of a turn: go towards the end, and say whether it is reached."""
        poison = None
        with self._lock:
            if self._may_turn_to_the_end():
                poison = self._poison
                self._finishing = StreamEnd.PEER_CLOSED
                self._refusing = True
        if poison is not None:
            self._finish(StreamEnd.PROTOCOL_ERROR, poison, reset=True)
        self._advance()
        with self._lock:
            if self._state == _ENDED or not self._may_end():
                return self._state == _ENDED
            self._state = _ENDED
        self.desk.forget(self)
        assert self._end is not None, "_may_end says so"
        try:
            self.sink.ended(self._end, self._detail)
        except Exception:
            logger.exception("stream %d: ended() raised", self.id)
        return True

    def _advance(self) -> None:
        """Take the next steps of a polite end: send the rest, FIN, the peer's FIN, close."""
        with self._lock:
            finishing = self._finishing
            if finishing is None or self._end is not None:
                return
        self._send_all()
        with self._lock:
            if self._sending or self._queue.packets or self._end is not None:
                return
            over = self._peer_fin
            sends_fin = not (over or self._fin_sent)
            self._fin_sent = self._fin_sent or sends_fin
        if over:
            detail = broken_off(self._decoder) if finishing is StreamEnd.PEER_CLOSED else ""
            self._finish(finishing, detail, reset=False)
            return
        if sends_fin:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._broken(error)

    def abandon(self) -> None:
        """The port is closed: close the socket, call nobody."""
        with self._lock:
            self._state = _ENDED
            self._refuse_all()
            self._end = self._end or StreamEnd.ABORTED
            self._queue.clear()
            self._calls.clear()
        with suppress(OSError):
            self._socket.close()

    def __repr__(self) -> str:
        """Return the number, the peer and the state, for logs."""
        state = "ended" if self._state == _ENDED else "closing" if self._refusing else "open"
        return f"<Stream {self.id} {self.peer} {state}>"
