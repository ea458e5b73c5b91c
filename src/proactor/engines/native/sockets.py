"""A socket of the native engine: the calls that are not worth C, over the core's half."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")


if sys.platform != "linux":
    raise ImportError("the native engine runs on Linux only")

import errno
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

from proactor import errors, statuses
from proactor.engines.contract import EngineEvent, EngineMessageQueue, NetworkEvents
from proactor.engines.native import _engine
from proactor.engines.native.addresses import packed_address
from proactor.engines.native.refusals import refusal
from proactor.engines.native.synchronous import perform
from proactor.engines.python.selectors.notices import Notices
from proactor.overlapped import Operation, OperationKind, Overlapped

_READERS = frozenset({OperationKind.RECV, OperationKind.RECV_FROM})


class NativeSocket(_engine.SocketCore):
    """See `EngineSocket`.

    Network events are looked at by the code of the selectors engine, to which this class shows
    itself as a `SocketState`.

    Attributes:
        blocking: What a *synchronous* call does.
        lock: Guards the selection of network events, and orders calls against them.
    """

    def __init__(
        self,
        core: _engine.EngineCore,
        sock: socket.socket,
        facade: Any,
        connected: bool,
        datagram: bool,
        *,
        overlapped: bool,
        make_notices: Callable[[NativeSocket], Notices],
        on_close: Callable[[], None],
    ) -> None:
        """Take over `sock`; what the base class needs has been given to ``__new__``."""
        self.overlapped = overlapped
        self.datagram = datagram
        self.blocking = True
        self.lock = threading.RLock()
        self.dispatcher = core.dispatcher
        self._make_notices = make_notices
        self._notices: Notices | None = None
        self._on_close = on_close
        self._handles = 1

    # -- ending --

    def has_outstanding(self) -> bool:
        """See `EngineSocket.has_outstanding`."""
        return self.reads or self.writes

    def cancel(self, operation: Operation | None, *, own_thread_only: bool) -> bool:
        """See `EngineSocket.cancel`."""
        self.dispatcher.this_thread()
        if own_thread_only:
            return self.cancel_own()
        return self.cancel_core(operation)

    def cancel_with_thread(self, operation: Operation) -> None:
        """The thread that issued `operation` has ended: cancel it, unless a port serves it now."""
        if self.port is None or operation.event is not None or operation.routine is not None:
            self.cancel_core(operation)

    def close(self, *, reset: bool = False) -> None:
        """See `EngineSocket.close`."""
        if self.dispatcher.dead or sys.is_finalizing():
            # A child closes its copy and leaves the parent's queues alone; at the end of the
            # interpreter a daemon thread may hold a lock for ever.
            self.sock.close()
            return
        with self.lock:
            self._handles -= 1
            if self.closed or self._handles > 0:
                return
            self.is_selected = False
            if self._notices is not None:
                self._notices.forget()
            self.close_core(reset)
        self._on_close()

    def moved(self) -> None:
        """The descriptor belongs to a stream now: this is closed as an object."""
        with self.lock:
            self._handles = 0
            self.detach_core()
        self._on_close()

    def shutdown(self, how: int) -> None:
        """See `EngineSocket.shutdown`."""
        self.dispatcher.this_thread()
        if self.closed:
            raise errors.refused(statuses.WSAENOTSOCK, "shutdown refused: the socket is closed")
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise errors.refused(
                statuses.WSAEINVAL, f"shutdown takes 0 (receive), 1 (send) or 2 (both), not {how!r}"
            )
        number = self.shutdown_core(how)
        if number == errno.ENOTCONN:
            raise errors.refused(
                statuses.WSAENOTCONN, "shutdown refused: the socket is not connected"
            )
        if number:
            raise errors.refused(
                statuses.wsa_number(statuses.from_errno(number)), "shutdown refused by the system"
            )

    # -- the rest --

    def perform(self, operation: Operation) -> int:
        """See `EngineSocket.perform`."""
        return perform(self, operation)

    def setblocking(self, flag: bool) -> None:
        """See `EngineSocket.setblocking`."""
        if flag and self.is_selected:
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
        if skip_on_success:
            self.skip_on_success()

    def socket_error(self) -> int:
        """See `EngineSocket.socket_error`."""
        self.dispatcher.this_thread()
        number = self.connect_error()
        return statuses.wsa_number(statuses.from_errno(number)) if number else 0

    def duplicate(self) -> NativeSocket:
        """See `EngineSocket.duplicate`: both handles are this object, which counts them."""
        self.dispatcher.this_thread()
        with self.lock:
            self._handles += 1
            return self

    def refusal(self, call: Operation | Overlapped, status: int) -> errors.ProactorError:
        """Return the error of `call`, which the core has refused with `status`."""
        return refusal(call, status)

    def pack_address(self, address: Any) -> bytes:
        """Return `address` as the system's structure."""
        return packed_address(self.sock, address)

    # -- network events --

    @property
    def notices(self) -> Notices:
        """What is reported by event or message; made when it is first asked for."""
        with self.lock:
            if self._notices is None:
                self._notices = self._make_notices(self)
            return self._notices

    def event_select(self, event: EngineEvent | None, mask: int) -> None:
        """See `EngineSocket.event_select`."""
        self.dispatcher.this_thread()
        with self.lock:
            self.notices.select_event(event, mask)
            self.is_selected = self.notices.are_selected

    def async_select(self, queue: EngineMessageQueue, message: int, mask: int) -> None:
        """See `EngineSocket.async_select`."""
        self.dispatcher.this_thread()
        with self.lock:
            self.notices.select_messages(queue, message, mask)
            self.is_selected = self.notices.are_selected

    def enum_network_events(self, event: EngineEvent | None) -> NetworkEvents:
        """See `EngineSocket.enum_network_events`."""
        self.dispatcher.this_thread()
        return self.notices.enumerate(event)

    def inherit_selection(self, listener: NativeSocket) -> None:
        """Select what the listener selected (a synchronous accept)."""
        with self.lock:
            self.notices.inherit(listener.notices)
            self.is_selected = self.notices.are_selected

    def re_enable(self, kind: OperationKind) -> None:
        """A call begins that re-enables events; `lock` is held."""
        if kind in _READERS:
            self.notices.reading_again()
        elif kind is OperationKind.ACCEPT:
            self.notices.accepting_again()
        elif kind is OperationKind.CONNECT:
            self.notices.connecting()

    def look(self) -> None:
        """An operation has ended, which may make something true that no edge tells."""
        with self.lock:
            if self.is_selected and not self.closed:
                self.notices.look_when_ready(0, False)

    # -- see `SocketState` --

    @property
    def connected(self) -> bool:
        """See `SocketState`."""
        return bool(self.flags & _engine.CONNECTED)

    @property
    def connecting(self) -> bool:
        """See `SocketState`."""
        return bool(self.flags & _engine.CONNECTING)

    @property
    def reset(self) -> bool:
        """See `SocketState`."""
        return bool(self.flags & _engine.RESET)

    @property
    def reads(self) -> bool:
        """Whether something waits for something to read."""
        return bool(self.flags & _engine.READS_QUEUED)

    @property
    def writes(self) -> bool:
        """Whether something waits for room to write."""
        return bool(self.flags & _engine.WRITES_QUEUED)

    @property
    def connect_errno(self) -> int:
        """See `SocketState`."""
        return self.connect_error()

    def refresh_connecting(self) -> bool:
        """See `SocketState.refresh_connecting`."""
        self.connect_error()
        return not self.connecting

    def is_listening(self) -> bool:
        """See `SocketState.is_listening`."""
        if self.datagram or self.connected:
            return False
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def rearm_for_notices(self) -> None:
        """See `SocketState.rearm_for_notices`: edges are told without it."""

    def __repr__(self) -> str:
        """Return the descriptor and the state, for logs."""
        return f"<NativeSocket {self.sock.fileno()}{' closed' if self.closed else ''}>"


def open_native_socket(
    core: _engine.EngineCore,
    sock: socket.socket,
    facade: Any,
    *,
    overlapped: bool,
    make_notices: Callable[[NativeSocket], Notices],
    on_close: Callable[[], None],
) -> NativeSocket:
    """Take over `sock`, which becomes non-blocking."""
    sock.setblocking(False)
    return NativeSocket(
        core,
        sock,
        weakref.ref(facade),
        _has_peer(sock),
        sock.type == socket.SOCK_DGRAM,
        overlapped=overlapped,
        make_notices=make_notices,
        on_close=on_close,
    )


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
