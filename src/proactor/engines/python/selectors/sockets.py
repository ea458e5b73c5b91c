"""A socket of the reference engine: starts operations, cancels them, closes."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import socket
import struct
from collections.abc import Callable
from typing import Any

from proactor import errors, statuses
from proactor.engines.contract import EngineEvent, EngineMessageQueue, NetworkEvents
from proactor.engines.python.selectors import connections, synchronous
from proactor.engines.python.selectors.edges import EdgeWatch
from proactor.engines.python.selectors.queues import OperationQueues
from proactor.engines.python.selectors.reactor import SelectorReactor
from proactor.engines.python.selectors.refusals import check_shutdown, refuse
from proactor.engines.userspace.blocking import READERS
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.ports import UserspacePort
from proactor.overlapped import Operation, OperationKind

_ALWAYS_PENDS = frozenset({OperationKind.CONNECT, OperationKind.DISCONNECT})


class SelectorsSocket(OperationQueues):
    """See `EngineSocket`."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        reactor: SelectorReactor,
        edges: EdgeWatch,
        sock: socket.socket,
        facade: Any,
        *,
        overlapped: bool,
        on_close: Callable[[], None],
    ) -> None:
        """Take over `sock`; `on_close` is called after it has been closed."""
        super().__init__(dispatcher, reactor, edges, sock, facade)
        self.overlapped = overlapped
        self._on_close = on_close
        self._handles = 1

    # -- starting --

    def start(self, operation: Operation) -> int | None:
        """See `EngineSocket.start`."""
        try:
            operation.thread = self.dispatcher.this_thread()
            with self.lock:
                refuse(self, operation)
                return self._start(operation)
        except BaseException:
            # A warning fails the call and indicates all the same (row A5).
            if operation.status == statuses.STATUS_PENDING or statuses.is_error(operation.status):
                operation.abandon()
            raise

    def _start(self, operation: Operation) -> int | None:
        kind = operation.kind
        if operation.event is not None:
            operation.event.reset()
        self.prepare(operation)
        reads = kind in READERS
        queue = self.reads if reads else self.writes
        # Only behind an empty queue: an attempt out of turn would take another one's bytes.
        done = self.attempt(operation) if not queue else False
        if done:
            if kind not in _ALWAYS_PENDS:
                return self._completed_at_once(operation)
            self.complete(operation)
            return None
        self._bind_to_thread(operation)
        if done is False:
            self.queue(operation)
        return None

    def _completed_at_once(self, operation: Operation) -> int:
        if operation.status == statuses.STATUS_SUCCESS:
            self.complete(operation, at_once=True)
            return operation.transferred
        if statuses.is_error(operation.status):
            self.give_acceptor_back(operation)
            if self.reset:
                self.fail_outstanding()
        else:
            self.complete(operation, at_once=True)
        error = operation.error(at_port=False)
        assert error is not None, "a status that is not success has an exception"
        raise error

    def _bind_to_thread(self, operation: Operation) -> None:
        # Only what a port without an event serves outlives the thread that issued it.
        if self.port is None or operation.event is not None or operation.routine is not None:
            operation.thread.mortal[operation] = self.cancel_with_thread

    def cancel_with_thread(self, operation: Operation) -> None:
        """The thread that issued `operation` has ended: cancel it, unless a port serves it now."""
        with self.lock:
            if self.port is None or operation.event is not None or operation.routine is not None:
                self._cancel(operation)

    # -- ending --

    def has_outstanding(self) -> bool:
        """See `EngineSocket.has_outstanding`."""
        with self.lock:
            return bool(self.reads or self.writes or self.awaiting)

    def cancel(self, operation: Operation | None, *, own_thread_only: bool) -> bool:
        """See `EngineSocket.cancel`."""
        caller = self.dispatcher.this_thread()
        with self.lock:
            doomed = [operation] if operation is not None else self._outstanding()
            if own_thread_only:
                doomed = [one for one in doomed if one.thread is caller]
            return any([self._cancel(one) for one in doomed])

    def _outstanding(self) -> list[Operation]:
        queued = [one for one in (*self.reads, *self.writes) if one.home is self]
        # What has neither an overlapped nor a waiting thread is the engine's own: the rest of a
        # synchronous send, or a FIN. Those outlive a cancel, and even the close.
        user = [one for one in queued if one.overlapped is not None or one.event is not None]
        return [*user, *self.awaiting]

    def _cancel(self, operation: Operation) -> bool:
        """End `operation` if it is still queued, here or on the connection it waits on."""
        connection = self.awaiting.pop(operation, None)
        if isinstance(connection, SelectorsSocket):
            return connection.drop_first_data(operation)
        for queue in (self.reads, self.writes):
            if operation in queue:
                queue.remove(operation)
                self._end(operation)
                return True
        return False

    def _end(self, operation: Operation) -> None:
        operation.status = statuses.STATUS_CANCELLED
        operation.transferred = 0
        self.complete(operation)

    def close(self, *, reset: bool = False) -> None:
        """See `EngineSocket.close`."""
        if self.dispatcher.dead or sys.is_finalizing():
            # A child closes its copy and leaves the parent's queues alone; at the end of the
            # interpreter a daemon thread may hold a lock for ever.
            self.sock.close()
            return
        reserved = self.reserved_for
        if reserved is not None:
            listener, accept = reserved
            assert isinstance(listener, SelectorsSocket), "a listener is one of these"
            listener.cancel(accept, own_thread_only=False)
        with self.lock:
            self._handles -= 1
            if self.closed or self._handles > 0:
                return
            self.closed = True
            self.notices.forget()
            if reset:
                self._linger_none()
            for operation in self._outstanding():
                self._cancel(operation)
            # Windows resets a connection that is closed with data unread, and drops what is unsent.
            if reset or (self.writes and self._has_unread()):
                self.writes.clear()
            self._rearm(0)
            # What a synchronous non-blocking send took is delivered before the descriptor goes.
            if not self.writes:
                self._close_descriptor()
        self._on_close()

    def _has_unread(self) -> bool:
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _linger_none(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shutdown(self, how: int) -> None:
        """See `EngineSocket.shutdown`."""
        self.dispatcher.this_thread()
        with self.lock:
            check_shutdown(self, how)
            if how != socket.SHUT_WR:
                # Only a flag: Linux would end a receive that is pending, Windows lets it be.
                self.receive_shut = True
            if how != socket.SHUT_RD and not self.send_shut:
                self.send_shut = True
                self._send_fin()

    def _send_fin(self) -> None:
        operation = Operation(OperationKind.DISCONNECT, None, [])
        operation.attempt = connections.attempt_disconnect
        if self.writes:
            self.writes.append(operation)  # FIN follows what is queued.
        else:
            self.attempt(operation)

    def drop_first_data(self, operation: Operation) -> bool:
        """Cancel an accept that waits here for first data; its connection goes with it."""
        with self.lock:
            if operation not in self.reads:
                return False
            self.reads.remove(operation)
            self._end(operation)
            return True

    # -- the rest --

    def perform(self, operation: Operation) -> int:
        """See `EngineSocket.perform`."""
        return synchronous.perform(self, operation)

    def attach_port(self, port: UserspacePort, key: Any) -> None:
        """See `AttachableSocket.attach_port`."""
        self.dispatcher.this_thread()
        with self.lock:
            if self.closed:
                raise errors.refused(statuses.WSAENOTSOCK, "attach refused: the socket is closed")
            if not self.overlapped:
                raise errors.refused(
                    statuses.ERROR_INVALID_PARAMETER,
                    "attach refused: the socket was made with overlapped=False",
                )
            if self.port is not None:
                raise errors.refused(
                    statuses.ERROR_INVALID_PARAMETER,
                    "attach refused: the socket has a port already, for life",
                )
            self.port, self.key = port, key

    def setblocking(self, flag: bool) -> None:
        """See `EngineSocket.setblocking`."""
        if flag and self.notices.are_selected:
            raise errors.refused(
                statuses.WSAEINVAL,
                "setblocking(True) while network events are selected: cancel them with "
                "event_select(sock, None, 0) first",
            )
        self.blocking = flag

    def set_completion_modes(self, *, skip_on_success: bool) -> None:
        """See `EngineSocket.set_completion_modes`."""
        if not self.overlapped:
            raise errors.refused(
                statuses.ERROR_INVALID_PARAMETER,
                "completion modes need an overlapped socket; this one has overlapped=False",
            )
        self._skip_on_success = self._skip_on_success or skip_on_success

    def socket_error(self) -> int:
        """See `EngineSocket.socket_error`."""
        self.dispatcher.this_thread()
        with self.lock:
            if self.connecting:
                self.refresh_connecting()
            number = self.connect_errno
            return statuses.wsa_number(statuses.from_errno(number)) if number else 0

    def event_select(self, event: EngineEvent | None, mask: int) -> None:
        """See `EngineSocket.event_select`."""
        self.notices.select_event(event, mask)

    def async_select(self, queue: EngineMessageQueue, message: int, mask: int) -> None:
        """See `EngineSocket.async_select`."""
        self.notices.select_messages(queue, message, mask)

    def enum_network_events(self, event: EngineEvent | None) -> NetworkEvents:
        """See `EngineSocket.enum_network_events`."""
        return self.notices.enumerate(event)

    def duplicate(self) -> SelectorsSocket:
        """See `EngineSocket.duplicate`: both handles are this object, which counts them."""
        self.dispatcher.this_thread()
        with self.lock:
            self._handles += 1
            return self

    def __repr__(self) -> str:
        """Return the descriptor and the state, for logs."""
        return f"<SelectorsSocket {self.sock.fileno()}{' closed' if self.closed else ''}>"
