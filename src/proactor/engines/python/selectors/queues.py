"""The two queues of a socket of the reference engine: who is attempted when, and what follows.

Receives wait in one queue, sends in the other; only the head of a queue is attempted, which keeps
receives in posting order and sends from interleaving. An operation completes under the socket's
lock, so its indication enters the port in the order of completion.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from proactor import statuses
from proactor.engines.indications import RoutineCall
from proactor.engines.python.selectors import connections
from proactor.engines.python.selectors.attempts import ATTEMPTS, prepare_transmission
from proactor.engines.python.selectors.edges import EdgeWatch
from proactor.engines.python.selectors.notices import Notices
from proactor.engines.python.selectors.reactor import READ, WRITE, SelectorReactor
from proactor.engines.python.selectors.state import SocketState
from proactor.engines.userspace.blocking import READERS
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.overlapped import Operation, OperationKind
from proactor.packets import CompletionPacket

_ATTEMPTS: dict[OperationKind, Any] = ATTEMPTS | {
    OperationKind.ACCEPT: connections.attempt_accept,
    OperationKind.CONNECT: connections.attempt_connect,
    OperationKind.DISCONNECT: connections.attempt_disconnect,
}

_DATAGRAM_ATTEMPTS: dict[OperationKind, Any] = _ATTEMPTS | {
    OperationKind.RECV: ATTEMPTS[OperationKind.RECV_FROM],
    OperationKind.SEND: ATTEMPTS[OperationKind.SEND_TO],
}


class OperationQueues(SocketState):
    """A socket with its operations; everything is guarded by `lock`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        reactor: SelectorReactor,
        edges: EdgeWatch,
        sock: socket.socket,
        facade: Any,
    ) -> None:
        """Take over `sock` with empty queues."""
        super().__init__(dispatcher, sock, facade)
        self.notices = Notices(self, edges)
        self._reactor = reactor
        self._attempts = _DATAGRAM_ATTEMPTS if self.datagram else _ATTEMPTS
        self._armed = 0
        self._skip_on_success = False

    # -- waiting one's turn --

    def queue(self, operation: Operation) -> None:
        """Let `operation` wait its turn, behind those of its direction."""
        if operation.kind in READERS:
            self.queue_read(operation)
        else:
            self.writes.append(operation)
            self._arm(WRITE)

    def prepare(self, operation: Operation) -> None:
        """Fill in how `operation` is attempted here, and note what the call re-enables."""
        kind = operation.kind
        operation.home = self
        operation.attempt = self._attempts[kind]
        also = _PREPARATIONS.get(kind)
        if also is not None:
            also(self, operation)

    def _prepare_receive(self, operation: Operation) -> None:
        if self.notices.are_selected:
            self.notices.reading_again()

    def _prepare_accept(self, operation: Operation) -> None:
        if operation.acceptor is not None:
            operation.acceptor.engine_socket.reserved_for = (self, operation)
        if self.notices.are_selected:
            self.notices.accepting_again()

    def _prepare_connect(self, operation: Operation) -> None:
        self.notices.connecting()

    def _prepare_disconnect(self, operation: Operation) -> None:
        self.send_shut = True

    def attempt(self, operation: Operation) -> bool | None:
        """Attempt `operation`, which is at the head of its queue; see `attempts`."""
        done: bool | None = operation.attempt(self, operation)
        if operation.status == statuses.STATUS_CONNECTION_RESET and not self.datagram:
            self._note_whose_reset(operation)
        return done

    def _note_whose_reset(self, operation: Operation) -> None:
        if operation.kind is OperationKind.ACCEPT and operation.home is self:
            # First data that a client asked to be accepted with: it is gone, the listener is not.
            operation.acceptor.engine_socket.reset = True
        else:
            self.reset = True

    def queue_read(self, operation: Operation) -> None:
        """See `SocketState.queue_read`."""
        self.reads.append(operation)
        self._arm(READ)

    def withdraw(self, operation: Operation) -> None:
        """Forget a synchronous call whose caller waits no longer."""
        with self.lock:
            for queue in (self.reads, self.writes):
                if operation in queue:
                    queue.remove(operation)

    # -- completing --

    def complete(self, operation: Operation, *, at_once: bool = False) -> None:
        """Indicate `operation` exactly once; its status is set and it is in no queue."""
        if operation.acceptor is not None:
            self.give_acceptor_back(operation)
        operation.publish()
        thread = operation.thread
        if thread is not None and thread.mortal:
            thread.mortal.pop(operation, None)
        if operation.overlapped is None:
            if operation.event is not None:
                operation.event.set()
            return
        if operation.routine is not None:
            if not self.dispatcher.queue_apc(thread, RoutineCall(operation)):
                operation.release()  # Its thread has ended: the routine is lost, as on Windows.
            return
        self._indicate(operation, at_once)

    def _indicate(self, operation: Operation, at_once: bool) -> None:
        home: OperationQueues = operation.home
        port, event = home.port, operation.event
        skipped = at_once and home._skip_on_success and operation.status == 0
        if port is None or skipped or operation.suppress_packet:
            # Nobody takes a packet: the overlapped is free before whoever waits for it wakes.
            operation.release()
            if event is not None:
                event.set()
            return
        if event is not None:
            event.set()
        failure = operation.error(at_port=True) if operation.status else None
        port.push_completion(
            CompletionPacket(
                home.key, operation.overlapped, operation.transferred, failure, operation
            )
        )

    def give_acceptor_back(self, operation: Operation) -> None:
        """An accept has ended: its acceptor is free, or connected."""
        acceptor = operation.acceptor
        if acceptor is not None:
            acceptor.engine_socket.reserved_for = None
            if operation.engine_state is connections.MADE_HERE and operation.status:
                acceptor.close()  # The accept failed after all, and nobody else knows of it.

    def serve(self, ready: int) -> None:
        """See `Served.serve`: go on with what waits, then poll for what still does."""
        with self.lock:
            if not self._armed:
                return  # Closed or disarmed since the selector looked.
            idle_reader = not self.reads
            if ready & READ and self.reads:
                self._run(self.reads)
            if ready & WRITE and self.writes:
                self._run(self.writes)
            if self.notices.are_selected:
                self.notices.look_when_ready(ready, idle_reader)
            # READ stays armed a little longer than it is needed: the next receive is usually
            # posted before the next look, and a change costs a system call. WRITE would be ready
            # at once again, so it goes as soon as nothing waits.
            keep = READ if not (ready & READ and idle_reader) else 0
            self._rearm(keep)
            if self.closed and not self.writes:
                self._close_descriptor()

    def _run(self, queue: deque[Operation]) -> None:
        while queue:
            operation = queue[0]
            done = self.attempt(operation)
            if done is False:
                return
            queue.popleft()
            if done:
                self.complete(operation)
            if self.reset:
                self.fail_outstanding()

    def serve_reads(self) -> None:
        """See `SocketState.serve_reads`."""
        self._run(self.reads)

    def fail_outstanding(self) -> None:
        """The peer has reset, which is known by a flag: every operation that waits fails too."""
        doomed = [*self.reads, *self.writes]
        self.reads.clear()
        self.writes.clear()
        for operation in doomed:
            operation.status = statuses.STATUS_CONNECTION_RESET
            operation.transferred = 0
            self.complete(operation)

    def note_reset(self) -> None:
        """See `SocketState.note_reset`."""
        self.reset = True
        self.fail_outstanding()

    # -- arming --

    def _arm(self, interest: int) -> None:
        if interest & ~self._armed:
            self._set_interest(self._armed | interest)

    def disarm(self) -> None:
        """See `SocketState.disarm`."""
        if self._armed:
            self._set_interest(0)

    def _rearm(self, keep: int) -> None:
        wanted = (READ if self.reads else 0) | (WRITE if self.writes else 0)
        if self.notices.are_selected and not self.closed:
            wanted |= self.notices.interest()
        wanted |= self._armed & keep
        if wanted != self._armed:
            self._set_interest(wanted)

    def rearm_for_notices(self) -> None:
        """See `SocketState.rearm_for_notices`."""
        self._rearm(READ)

    def _set_interest(self, interest: int) -> None:
        was_idle = self._armed == 0
        self._reactor.arm(self.sock.fileno(), self._armed, interest, self)
        self._armed = interest
        if was_idle:
            with self.dispatcher.lock:
                self.dispatcher.watch()

    def _close_descriptor(self) -> None:
        self.disarm()
        self.sock.close()


# What a kind needs besides its attempt; a send needs nothing.
_PREPARATIONS: dict[OperationKind, Callable[[OperationQueues, Operation], None]] = {
    OperationKind.RECV: OperationQueues._prepare_receive,
    OperationKind.RECV_FROM: OperationQueues._prepare_receive,
    OperationKind.ACCEPT: OperationQueues._prepare_accept,
    OperationKind.CONNECT: OperationQueues._prepare_connect,
    OperationKind.DISCONNECT: OperationQueues._prepare_disconnect,
    OperationKind.TRANSMIT_FILE: lambda _, operation: prepare_transmission(operation),
}
