"""The synchronous calls, which wait alertably, as Winsock's do.

One that may block is an operation of its own, with an event that nobody else sees, and a wait for
it: so APCs run meanwhile, Ctrl-C ends it, and so does closing the socket. The kernel does a
blocking call in the same way. One that must not block, that has a time limit, or that the kernel
does not know overlapped, is Winsock's call without an OVERLAPPED.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
import os
import socket
import threading
from ctypes import byref, c_int, c_ubyte
from ctypes.wintypes import DWORD
from typing import Any, Final, Protocol

from proactor import errors
from proactor.engines.python.iocp import addresses, winapi
from proactor.engines.python.iocp.buffers import wsabufs
from proactor.engines.python.iocp.calling import raise_escaped
from proactor.engines.python.iocp.finish import take
from proactor.engines.python.iocp.in_flight import SOCKADDR_STORAGE_SIZE, FileObject
from proactor.engines.python.iocp.start import extensions, transmit_parts
from proactor.engines.python.iocp.waits import IocpEvent, wait
from proactor.overlapped import Operation, OperationKind

_ENDING_TAKES: Final = 1.0
"""Seconds that an interrupted call waits for its operation to end."""


class PerformingSocket(Protocol):
    """What a synchronous call needs of its socket: see `IocpSocket`."""

    sock: socket.socket
    family: int
    file: FileObject
    facade_type: type[Any]

    def open_handle(self) -> int:
        """Return the handle, or refuse."""

    def check_bound(self) -> None:
        """Refuse to receive where nothing can come."""

    def start(self, operation: Operation) -> int | None:
        """Start an overlapped operation."""

    def cancel(self, operation: Operation | None, *, own_thread_only: bool) -> bool:
        """Request its end."""


def perform(sock: PerformingSocket, operation: Operation) -> int:
    """Do `operation` on `sock`, and return the bytes; see the contract."""
    handle = sock.open_handle()
    if _can_be_overlapped(sock, handle, operation):
        return _perform_blocking(sock, operation)
    return _CALLS[operation.kind](sock, handle, operation)


def _can_be_overlapped(sock: PerformingSocket, handle: int, operation: Operation) -> bool:
    kind, file = operation.kind, sock.file
    if kind is OperationKind.CONNECT or not (file.is_blocking and file.is_overlapped):
        return False
    if kind is OperationKind.RECV and operation.flags:
        return False  # To peek, and to wait for all, Winsock wants a call without an OVERLAPPED.
    option = _TIME_LIMITS.get(kind)
    return option is None or not _has_time_limit(handle, option)


class _PrivateEvent:
    """What stands for an `Event` in the operation of a synchronous call."""

    def __init__(self) -> None:
        self.engine_event = IocpEvent(manual_reset=True, signaled=False)


_local = threading.local()


def _perform_blocking(sock: PerformingSocket, operation: Operation) -> int:
    # An APC that runs in the wait below may come here as well: it needs an event of its own.
    event: _PrivateEvent = getattr(_local, "event", None) or _PrivateEvent()
    _local.event = None
    operation.event, operation.suppress_packet = event, True
    count = sock.start(operation)
    if count is None:
        _wait_for(sock, operation, event.engine_event)
        count = operation.transferred
        error = operation.error(at_port=False)
        if error is not None:
            raise error
    _local.event = event
    return count


def _wait_for(sock: PerformingSocket, operation: Operation, event: IocpEvent) -> None:
    try:
        while not wait([event], wait_all=False, timeout=None, alertable=True).is_signaled:
            pass
    except BaseException:
        sock.cancel(operation, own_thread_only=False)
        # If it does not end, it stays in flight, and its memory stays where it is.
        if wait([event], wait_all=False, timeout=_ENDING_TAKES, alertable=False).is_signaled:
            take(operation)
        raise
    take(operation)


_TIME_LIMITS: Final = {
    OperationKind.RECV: socket.SO_RCVTIMEO,
    OperationKind.RECV_FROM: socket.SO_RCVTIMEO,
    OperationKind.SEND: socket.SO_SNDTIMEO,
    OperationKind.SEND_TO: socket.SO_SNDTIMEO,
}


def _has_time_limit(handle: int, option: int) -> bool:
    milliseconds, size = c_int(), c_int(4)
    winapi.getsockopt(handle, socket.SOL_SOCKET, option, byref(milliseconds), byref(size))
    return milliseconds.value != 0


def _recv(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    buffers, received, flags = wsabufs(operation.views), DWORD(), DWORD(operation.flags)
    count = len(buffers)
    code = winapi.WSARecv(handle, _at(buffers), count, byref(received), byref(flags), None, None)
    _check(code, sock, operation)
    return received.value


def _send(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    buffers, sent = wsabufs(operation.views), DWORD()
    count, flags = len(buffers), operation.flags
    code = winapi.WSASend(handle, _at(buffers), count, byref(sent), flags, None, None)
    _check(code, sock, operation)
    return sent.value


def _recv_from(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    sock.check_bound()
    buffers, received, flags = wsabufs(operation.views), DWORD(), DWORD(operation.flags)
    name, name_length = (c_ubyte * SOCKADDR_STORAGE_SIZE)(), c_int(SOCKADDR_STORAGE_SIZE)
    code = winapi.WSARecvFrom(
        handle,
        _at(buffers),
        len(buffers),
        byref(received),
        byref(flags),
        name,
        byref(name_length),
        None,
        None,
    )
    _check(code, sock, operation)
    operation.peer = addresses.decode(bytes(name))
    return received.value


def _send_to(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    buffers, sent = wsabufs(operation.views), DWORD()
    name = addresses.encode(sock.family, operation.address)
    code = winapi.WSASendTo(
        handle,
        _at(buffers),
        len(buffers),
        byref(sent),
        operation.flags,
        name,
        len(name),
        None,
        None,
    )
    _check(code, sock, operation)
    return sent.value


def _accept(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    name, name_length = (c_ubyte * SOCKADDR_STORAGE_SIZE)(), c_int(SOCKADDR_STORAGE_SIZE)
    accepted = winapi.accept(handle, name, byref(name_length))
    _check(accepted == winapi.INVALID_SOCKET, sock, operation)
    plain = socket.socket(sock.family, sock.sock.type, sock.sock.proto, fileno=accepted)
    operation.acceptor = sock.facade_type.adopt(plain)
    operation.acceptor.engine_socket.inherit_selection(sock)
    return 0


def _connect(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    name = addresses.encode(sock.family, operation.address)
    _check(winapi.connect(handle, name, len(name)), sock, operation)
    return 0


def _disconnect(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    done = extensions().DisconnectEx(handle, None, operation.flags, 0)
    _check(not done, sock, operation)
    return 0


def _transmit_file(sock: PerformingSocket, handle: int, operation: Operation) -> int:
    file, around, kept = transmit_parts(operation)
    length = sum(map(len, operation.views))
    if operation.file is not None:
        # Without an OVERLAPPED Windows sends from where the file pointer is.
        descriptor = operation.file.fileno()
        start = os.lseek(descriptor, operation.offset, os.SEEK_SET)
        to_end = max(0, os.fstat(descriptor).st_size - start)
        length += min(operation.count, to_end) if operation.count else to_end
    done = extensions().TransmitFile(handle, file, operation.count, 0, None, byref(around), 0)
    del kept
    _check(not done, sock, operation)
    return length


_CALLS: Final = {
    OperationKind.RECV: _recv,
    OperationKind.SEND: _send,
    OperationKind.RECV_FROM: _recv_from,
    OperationKind.SEND_TO: _send_to,
    OperationKind.ACCEPT: _accept,
    OperationKind.CONNECT: _connect,
    OperationKind.DISCONNECT: _disconnect,
    OperationKind.TRANSMIT_FILE: _transmit_file,
}


def _at(array: ctypes.Array[Any]) -> int:
    return ctypes.addressof(array)


def _check(failed: object, sock: PerformingSocket, operation: Operation) -> None:
    error = winapi.last_error() if failed else 0
    raise_escaped()
    if failed:
        raise errors.refused(error, f"{operation.kind.value} on {sock!r}")
