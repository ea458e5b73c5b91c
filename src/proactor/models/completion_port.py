"""The completion port model: the news is a packet in one queue that any worker may take from.

Two sides. The *accepting side* is the thread that called `serve`: it keeps several accepts in
flight, whose packets come to a port of its own, the door. The *workers* loop on the other port,
take a packet, look at the kind of its operation, and start the next one. What limits it: none of
the other models' limits. No thread is tied to a session, and nobody asks who is ready.

The rule that keeps it correct: a session lives exactly as long as it has operations outstanding.
It is counted up before each call, down if the call is refused, and down after each packet was
handled; whoever brings the count to zero ends the session, in `_release` and nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from proactor import (
    CompletionPacket,
    CompletionPort,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    WorkerPool,
)
from proactor.models.echo import (
    STOP_TIMEOUT,
    EchoServer,
    failure_reason,
    finish_sending,
)
from proactor.models.traffic import Address, Reason

ACCEPTS_IN_FLIGHT = 16
BUFFER_SIZE = 16 * 1024
PACKETS_A_TURN = 16

# What the serving thread posts to its own door; an accept's packet has no key.
_STOP = "stop"
_SESSION_ENDED = "session ended"


class _Session:
    """One client, its buffer, and the count of what is outstanding."""

    __slots__ = ("buffer", "lock", "outstanding", "overlapped", "peer", "reason", "socket")

    def __init__(self, sock: OverlappedSocket, peer: Address) -> None:
        self.socket = sock
        self.peer = peer
        self.buffer = bytearray(BUFFER_SIZE)
        # One for both directions: it receives or it sends, never both.
        self.overlapped = Overlapped(owner=self)
        self.reason = Reason.ERROR
        self.lock = threading.Lock()
        self.outstanding = 0


class CompletionPortServer(EchoServer):
    """A thread that accepts, and workers that serve."""

    model = "completion-port"

    def _open(self) -> None:
        self._door = CompletionPort()
        self._port = CompletionPort()
        self._idle_accepts = [Overlapped() for _ in range(ACCEPTS_IN_FLIGHT)]
        self._dispatch: dict[OperationKind, Callable[[_Session, int], None]] = {
            OperationKind.RECV: self._received,
            OperationKind.SEND: self._sent,
        }

    def _wake(self) -> None:
        self._door.post(_STOP)

    def _close(self) -> None:
        self._port.close()
        self._door.close()

    def _run(self) -> None:
        self._door.attach(self.listener)
        pool = WorkerPool(
            self._port, self._serve_packet, self.workers, name="worker", batch=PACKETS_A_TURN
        )
        pool.launch()
        try:
            while not self.is_stopping:
                self._post_accepts()
                self._answer_the_door(self._pause.seconds_left())
        finally:
            self.is_stopping = True
            self._end_all()
            pool.stop()
            pool.join(STOP_TIMEOUT)

    # -- the accepting side --

    def _post_accepts(self) -> None:
        self._pause.end_if_due()
        while self._idle_accepts and not self._pause.is_on:
            try:
                self.listener.accept(self._idle_accepts[-1])
                self._idle_accepts.pop()
            except OSError as error:
                # Either a client has gone, and there is the next one, or a pause has begun.
                self._accept_failed(error)

    def _answer_the_door(self, timeout: float | None) -> bool:
        packet = self._door.get(timeout)
        if packet is None:
            return False
        if packet.key is None:
            accept: Overlapped = packet.overlapped
            sock, accept.accepted = accept.accepted, None
            self._idle_accepts.append(accept)
            if packet.error is not None:
                self._accept_failed(packet.error)
            elif self.is_stopping:
                sock.close()
            else:
                self._welcome(sock)
        return True

    def _welcome(self, sock: OverlappedSocket) -> None:
        peer = self._admit(sock)
        if peer is None:
            return
        session = _Session(sock, peer)
        # Ours, until the first receive is started: a worker may have seen it end before that.
        session.outstanding = 1
        self._enter(session)
        try:
            # Attached first: what is started before goes to no port.
            self._port.attach(sock, session)
            self._start(session, OverlappedSocket.recv, session.buffer)
        finally:
            self._release(session)

    # -- the workers --

    def _serve_packet(self, packet: CompletionPacket) -> None:
        session: _Session = packet.key
        try:
            if packet.error is not None:
                session.reason = failure_reason(packet.error, session.peer)
            else:
                self._dispatch[packet.overlapped.kind](session, packet.transferred)
        except Exception as error:
            session.reason = failure_reason(error, session.peer)
        finally:
            self._release(session)

    def _received(self, session: _Session, count: int) -> None:
        if count == 0:
            session.reason = Reason.PEER_CLOSED
            finish_sending(session.socket)
            return
        self.traffic.received(session.peer, count)
        # Out of the buffer that it came into: nothing is received before this is sent, and so
        # one send is in flight, never two. A view of its own: without a GIL CPython 3.13 loses
        # count of the slices of one that threads share.
        self._start(session, OverlappedSocket.send, memoryview(session.buffer)[:count])

    def _sent(self, session: _Session, count: int) -> None:
        self.traffic.sent(session.peer, count)
        self._start(session, OverlappedSocket.recv, session.buffer)

    # -- the count of what is outstanding --

    def _start(
        self,
        session: _Session,
        call: Callable[[OverlappedSocket, bytearray | memoryview, Overlapped], object],
        buffer: bytearray | memoryview,
    ) -> None:
        """Start an operation. Its packet may be with another worker before `call` returns."""
        with session.lock:
            session.outstanding += 1
        try:
            call(session.socket, buffer, session.overlapped)
        except OSError as error:
            session.reason = failure_reason(error, session.peer)
            self._release(session)

    def _release(self, session: _Session) -> None:
        """Count one down; end the session if it was the last."""
        with session.lock:
            session.outstanding -= 1
            is_last = session.outstanding == 0
        if is_last:
            self._leave(session, session.reason)
            if self.is_stopping:
                self._door.post(_SESSION_ENDED)

    def _end_all(self) -> None:
        """Close everything, then take every packet that this makes: none is left in flight."""
        self.listener.close()
        for session in list(self._sessions):
            session.socket.close()
        deadline = time.monotonic() + STOP_TIMEOUT
        while self._sessions or len(self._idle_accepts) < ACCEPTS_IN_FLIGHT:
            if not self._answer_the_door(max(0.0, deadline - time.monotonic())):
                return
