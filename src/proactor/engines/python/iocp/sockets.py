"""`IocpSocket`: one handle of a socket, and the calls that take it.

A handle's number is used again by the system as soon as it is closed. So every overlapped call is
made under the file object's lock, and so is the decision to close.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import contextlib
import ctypes
import os
import socket
import struct
import weakref
from contextlib import AbstractContextManager
from ctypes.wintypes import DWORD
from typing import Any, Final

from proactor import errors, statuses
from proactor.engines.contract import FD_ALL_EVENTS, EngineEvent, EngineMessageQueue, NetworkEvents
from proactor.engines.python.iocp import perform, routines, start, winapi
from proactor.engines.python.iocp.finish import observe, take
from proactor.engines.python.iocp.in_flight import AssociatedPort, FileObject, OverlappedEx, table
from proactor.engines.python.iocp.waits import IocpEvent
from proactor.engines.python.iocp.window import WindowQueue
from proactor.overlapped import Operation, OperationKind

_RECEIVES: Final = (OperationKind.RECV, OperationKind.RECV_FROM)
IO_KEY: Final = 1
"""The key of every socket, as the kernel sees it; the user's own stays in the file object."""
# SO_LINGER holds two u_short: whether to linger, and for how many seconds.
_RESET: Final = struct.pack("HH", 1, 0)
_IN_THE_BACKGROUND: Final = struct.pack("HH", 0, 0)


class IocpSocket:
    """One handle of a socket; see `EngineSocket` in the contract.

    Args:
        sock: The plain socket, which is closed with this object.
        facade: The public socket that messages name, and its class, which makes accepted ones.
        file: What it shares with its duplicates.
    """

    def __init__(
        self,
        sock: socket.socket,
        facade: tuple[weakref.ref[Any], type[Any]],
        file: FileObject,
    ) -> None:
        """Take over `sock`."""
        self.sock = sock
        self.facade, self.facade_type = facade
        self.file = file
        self.family: int = sock.family
        self.is_closed = False
        self.queue: WindowQueue | None = None
        self._is_bound = False

    def open_handle(self) -> int:
        """Return the handle.

        Raises:
            SocketClosed: This object is closed (10038).
        """
        if self.is_closed:
            raise errors.refused(statuses.WSAENOTSOCK, f"{self!r} is closed")
        return self.sock.fileno()

    # -- operations --

    def start(self, operation: Operation) -> int | None:
        """Start an overlapped operation; see the contract."""
        try:
            structure = table.enter(operation, self.file, observe)
        except BaseException:
            operation.abandon()
            raise
        try:
            if operation.kind is OperationKind.RECV_FROM:
                self.check_bound()
            if operation.kind is OperationKind.ACCEPT and operation.acceptor is None:
                operation.acceptor = self._make_acceptor()
                structure.made_acceptor = True
            with self._held_open():
                done = start.submit(self.open_handle(), self.family, operation, structure)
                error = 0 if done else winapi.last_error()
                # No packet comes for what completed before the socket got its port, and a socket
                # can not get one while the lock is held.
                has_packet = self.file.port is not None and not operation.suppress_packet
        except BaseException:
            if structure.is_submitted:
                structure.is_starting = False  # Interrupted after the call: the kernel has it.
            else:
                self._abandon(operation, structure)
            raise
        if done:
            return self._completed_at_once(operation, structure, has_packet)
        if error == statuses.ERROR_IO_PENDING:
            structure.is_starting = False
            return None
        if error == statuses.WSAEMSGSIZE and operation.kind in _RECEIVES:
            # A truncated datagram is a warning: the call fails and the operation indicates.
            self._completed_at_once(operation, structure, has_packet, is_success=False)
        else:
            self._abandon(operation, structure)
        raise errors.refused(error, f"{operation.kind.value} on {self!r}")

    def _held_open(self) -> AbstractContextManager[object]:
        # A call on a socket that is not overlapped may wait, and must not keep it from closing.
        return self.file.lock if self.file.is_overlapped else contextlib.nullcontext()

    def _completed_at_once(
        self,
        operation: Operation,
        structure: OverlappedEx,
        has_packet: bool,
        *,
        is_success: bool = True,
    ) -> int:
        if operation.kind is OperationKind.TRANSMIT_FILE:
            received = int(structure.InternalHigh)
        else:
            received = int(structure.received)
        structure.is_starting = False
        if is_success and self.file.skip_on_success:
            has_packet = False
        # Otherwise the packet or the routine takes it, if it has not done so already.
        if operation.routine is None and not has_packet:
            take(operation)
        return received

    def _abandon(self, operation: Operation, structure: OverlappedEx) -> None:
        structure.is_starting = False
        made_acceptor = structure.made_acceptor
        with structure.lock:
            table.leave(operation, is_refused=True)
        if operation.routine is not None:
            routines.forget(operation)
        operation.abandon()
        if made_acceptor:
            operation.acceptor.close()
            operation.acceptor = None

    def check_bound(self) -> None:
        """Refuse to receive where nothing can come; not every Winsock does, and it would hang.

        Raises:
            InvalidParameter: The socket has no local address (10022).
        """
        if not self._is_bound:
            self.open_handle()
            with contextlib.suppress(OSError):
                self._is_bound = self.sock.getsockname()[1] != 0
            if not self._is_bound:
                raise errors.refused(statuses.WSAEINVAL, f"{self!r} is not bound: bind it first")

    def _make_acceptor(self) -> Any:
        return self.facade_type.adopt(socket.socket(self.family, socket.SOCK_STREAM))

    def perform(self, operation: Operation) -> int:
        """Do the operation synchronously; see the contract."""
        return perform.perform(self, operation)

    def has_outstanding(self) -> bool:
        """Say whether an operation is not complete; see the contract."""
        with self.file.lock:
            return any(map(_is_pending, list(self.file.in_flight)))

    def cancel(self, operation: Operation | None, *, own_thread_only: bool) -> bool:
        """Request the end of one operation, or of all; see the contract."""
        with self.file.lock:
            if self.is_closed:
                return False
            handle = self.sock.fileno()
            if own_thread_only:
                return bool(winapi.CancelIo(handle))
            if operation is not None:
                return self._cancel_one(handle, operation)
            pending = any(map(_is_pending, list(self.file.in_flight)))
            return pending and _cancelled(handle, 0)

    def _cancel_one(self, handle: int, operation: Operation) -> bool:
        structure: OverlappedEx | None = operation.engine_state
        if structure is None:
            return False
        with structure.lock:
            # While the lock is held nobody else can use the structure for another operation.
            return (
                operation.engine_state is structure
                and _is_pending(operation)
                and _cancelled(handle, structure.address)
            )

    # -- the handle --

    def associate(self, port: AssociatedPort, port_handle: int, key: Any) -> None:
        """Tie the socket to `port` for life: CreateIoCompletionPort.

        Raises:
            InvalidParameter: It has a port already, or no port takes it (87).
            SocketClosed: It is closed (10038).
        """
        file = self.file
        with file.lock:
            handle = self.open_handle()
            is_first = file.port is None
            if is_first:
                # What has completed by now has indicated; what is still pending queues a packet,
                # which another thread may take at once: it must find the key.
                for operation in list(file.in_flight):
                    observe(operation)
                file.key = key
            if not winapi.CreateIoCompletionPort(handle, port_handle, IO_KEY, 0):
                number = winapi.last_error()
                if is_first:
                    file.key = None
                raise errors.refused(
                    number,
                    f"attach {self!r}: it has a port already, or was made with overlapped=False",
                )
            file.port = port

    def close(self, *, reset: bool = False) -> None:
        """Close the handle; see the contract."""
        with self.file.lock:
            if self.is_closed:
                return
            self.is_closed = True
            self.file.open_handles -= 1
            if self.file.in_flight and not self.file.open_handles:
                # Closing cancels too, but not everything on every system while a send is pending.
                winapi.CancelIoEx(self.sock.fileno(), 0)
        # No call that began before holds the lock now, and none can begin: nobody else has the
        # number. The lock is not held meanwhile, for a lingering close takes its time.
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        _close_handle(self.sock.detach())
        port = self.file.port
        if port is not None and port.is_closed:
            port.drain()

    def duplicate(self) -> IocpSocket:
        """Return a second handle to the same file object: WSADuplicateSocket.

        DuplicateHandle makes one too, but Winsock does not know it and refuses to close it.
        """
        with self.file.lock:
            self.open_handle()
            twin = socket.fromshare(self.sock.share(os.getpid()))
            self.file.open_handles += 1
        return IocpSocket(twin, (self.facade, self.facade_type), self.file)

    def shutdown(self, how: int) -> None:
        """Shut down one or both directions; see the contract."""
        self._check(winapi.shutdown(self.open_handle(), how), f"shutdown({how})")

    def setblocking(self, flag: bool) -> None:
        """Choose what a synchronous call does; see the contract."""
        non_blocking = DWORD(not flag)
        self._check(
            winapi.ioctlsocket(self.open_handle(), winapi.FIONBIO, non_blocking),
            f"setblocking({flag})",
        )
        self.file.is_blocking = flag

    def set_completion_modes(self, *, skip_on_success: bool) -> None:
        """Queue no packet for immediate success; see the contract."""
        with self.file.lock:
            handle = self.open_handle()
            if not self.file.is_overlapped:
                number = statuses.ERROR_INVALID_PARAMETER
                raise errors.refused(number, f"completion modes of {self!r}: no port takes it")
            if skip_on_success:
                skip = winapi.FILE_SKIP_COMPLETION_PORT_ON_SUCCESS
                if not winapi.SetFileCompletionNotificationModes(handle, skip):
                    raise errors.refused(winapi.last_error(), f"completion modes of {self!r}")
                self.file.skip_on_success = True

    def socket_error(self) -> int:
        """Return SO_ERROR as a Winsock number."""
        self.open_handle()
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def update_accept_context(self, listener: int) -> None:
        """Make an accepted socket complete: SO_UPDATE_ACCEPT_CONTEXT."""
        with self.file.lock:
            # A socket that is closed, or whose listener is, stays as AcceptEx left it.
            if not self.is_closed:
                option = winapi.SOCKET(listener)
                winapi.setsockopt(
                    self.sock.fileno(),
                    socket.SOL_SOCKET,
                    winapi.SO_UPDATE_ACCEPT_CONTEXT,
                    ctypes.byref(option),
                    ctypes.sizeof(option),
                )

    # -- network events --

    def event_select(self, event: EngineEvent | None, mask: int) -> None:
        """WSAEventSelect; see the contract."""
        assert event is None or isinstance(event, IocpEvent), "an event of another engine"
        self._check_mask(mask, has_target=event is not None)
        handle = None if event is None else event.open_handle()
        with self.file.lock:
            code = winapi.WSAEventSelect(self.open_handle(), handle, mask)
            self._check(code, "event_select")
            self._selected(None)

    def async_select(self, queue: EngineMessageQueue, message: int, mask: int) -> None:
        """WSAAsyncSelect; see the contract."""
        assert isinstance(queue, WindowQueue), "a queue of another engine"
        self._check_mask(mask, has_target=True)
        with self.file.lock:
            window = queue.open_window()
            code = winapi.WSAAsyncSelect(self.open_handle(), window, message, mask)
            self._check(code, "async_select")
            self._selected(queue if mask else None)

    def inherit_selection(self, listener: IocpSocket) -> None:
        """Note what a synchronous accept gave this socket: the selection, the blocking mode."""
        if not listener.file.is_blocking:
            winapi.ioctlsocket(self.open_handle(), winapi.FIONBIO, DWORD(1))
            self.file.is_blocking = False
        self._remember_queue(listener.queue)

    def enum_network_events(self, event: EngineEvent | None) -> NetworkEvents:
        """WSAEnumNetworkEvents; see the contract."""
        assert event is None or isinstance(event, IocpEvent), "an event of another engine"
        found = winapi.WSANETWORKEVENTS()
        handle = None if event is None else event.open_handle()
        code = winapi.WSAEnumNetworkEvents(self.open_handle(), handle, ctypes.byref(found))
        self._check(code, "enum_network_events")
        mask: int = found.lNetworkEvents
        bits = [bit for bit in range(winapi.FD_MAX_EVENTS) if mask >> bit & 1]
        return NetworkEvents(mask, {1 << bit: found.iErrorCode[bit] for bit in bits})

    def _selected(self, queue: WindowQueue | None) -> None:
        # Selecting makes a socket non-blocking, also with an empty mask.
        self.file.is_blocking = False
        self._remember_queue(queue)

    def _remember_queue(self, queue: WindowQueue | None) -> None:
        self.queue = queue
        if queue is not None:
            queue.remember(self.sock.fileno(), self.facade)

    def _check_mask(self, mask: int, *, has_target: bool) -> None:
        if mask & ~FD_ALL_EVENTS or (mask and not has_target):
            raise errors.refused(
                statuses.WSAEINVAL,
                f"select events 0x{mask:X} on {self!r}: an unknown bit, or nobody to be told",
            )

    def _check(self, code: int, tried: str) -> None:
        if code:
            raise errors.refused(winapi.last_error(), f"{tried} on {self!r}")

    def __repr__(self) -> str:
        """Return what the user knows it by."""
        return repr(self.facade() or self.sock)


def _close_handle(handle: int) -> None:
    if winapi.closesocket(handle) and winapi.last_error() == statuses.WSAEWOULDBLOCK:
        # It was told to linger, which Windows refuses to a non-blocking socket; it stays open.
        linger = _IN_THE_BACKGROUND
        winapi.setsockopt(handle, socket.SOL_SOCKET, socket.SO_LINGER, linger, len(linger))
        winapi.closesocket(handle)


def _is_pending(operation: Operation) -> bool:
    structure: OverlappedEx | None = operation.engine_state
    return structure is not None and structure.status == statuses.STATUS_PENDING


def _cancelled(handle: int, address: int) -> bool:
    return bool(winapi.CancelIoEx(handle, address)) or (
        winapi.last_error() != statuses.ERROR_NOT_FOUND
    )
