"""From an `Operation` to the overlapped call of Windows that does it.

`submit` makes the call. Whatever is prepared for it lies in the operation's OVERLAPPED structure,
in its buffers, or is kept by the structure: see `in_flight`.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
import msvcrt
import socket
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from proactor import errors, statuses
from proactor.engines.python.iocp import addresses, winapi
from proactor.engines.python.iocp.buffers import address_of, joined, length_of, wsabufs
from proactor.engines.python.iocp.in_flight import SOCKADDR_STORAGE_SIZE, OverlappedEx
from proactor.engines.python.iocp.routines import routine_address
from proactor.overlapped import Operation, OperationKind

# AcceptEx wants room for each address and 16 bytes more, behind the first data.
_ADDRESS_ROOM: Final = SOCKADDR_STORAGE_SIZE + 16


def submit(handle: int, family: int, operation: Operation, structure: OverlappedEx) -> bool:
    """Hand `operation` to the kernel.

    Returns:
        True if it completed at once. If not, `winapi.last_error` tells: 997 for pending.

    Raises:
        Exception: The parameters cannot be given to Windows; the kernel has not seen them.
    """
    structure.handle = handle
    prepare = _PREPARE.get(operation.kind)
    if operation.routine is not None and prepare is not None:
        raise errors.refused(
            statuses.WSAEINVAL,
            f"a completion routine for {operation.kind.value}: only receives and sends take one",
        )
    if operation.routine is None and (operation.event is not None or operation.suppress_packet):
        structure.hEvent = _event_of(operation)
    call = _prepare_transfer if prepare is None else prepare
    function, arguments, keep = call(handle, family, operation, structure)
    structure.is_submitted = True
    done = function(*arguments)
    del keep
    return bool(done) if prepare is not None else done == 0


@cache
def extensions() -> winapi.ExtensionFunctions:
    """Return the extension functions of the system's own TCP provider."""
    with socket.socket() as any_socket:
        return winapi.ExtensionFunctions(any_socket.fileno())


@cache
def _event_of_nobody() -> int:
    event: int = winapi.CreateEventW(None, True, False, None)
    return event


def _event_of(operation: Operation) -> int:
    event = operation.event
    handle = _event_of_nobody() if event is None else event.engine_event.open_handle()
    # The low bit tells the kernel to queue no packet for this operation.
    return handle | 1 if operation.suppress_packet else handle


_Call = tuple[Callable[..., Any], tuple[Any, ...], Any]


def _prepare_transfer(
    handle: int, family: int, operation: Operation, structure: OverlappedEx
) -> _Call:
    """WSARecv, WSASend, WSARecvFrom and WSASendTo, which say 0 when they are done."""
    views = operation.views
    if len(views) == 1:
        buffer = structure.first_buffer
        buffer.len = length_of(views[0])
        buffer.buf = address_of(views[0])
        keep, buffers = None, structure.buffer_at
    else:
        keep = wsabufs(views)
        buffers = ctypes.addressof(keep)
    kind = operation.kind
    routine = None if operation.routine is None else routine_address(operation)
    received, address = structure.received_at, structure.address
    head = (handle, buffers, len(views), received)
    if kind is OperationKind.RECV:
        structure.flags = operation.flags
        return winapi.WSARecv, (*head, structure.flags_at, address, routine), keep
    if kind is OperationKind.SEND:
        return winapi.WSASend, (*head, operation.flags, address, routine), keep
    if kind is OperationKind.RECV_FROM:
        structure.flags = operation.flags
        structure.name[0] = structure.name[1] = 0
        structure.name_length = SOCKADDR_STORAGE_SIZE
        name = (structure.name_at, structure.name_length_at)
        return winapi.WSARecvFrom, (*head, structure.flags_at, *name, address, routine), keep
    assert kind is OperationKind.SEND_TO, f"no overlapped call does {kind}"
    to = addresses.encode(family, operation.address)
    ctypes.memmove(structure.name_at, to, len(to))
    name = (structure.name_at, len(to))
    return winapi.WSASendTo, (*head, operation.flags, *name, address, routine), keep


def _prepare_accept(
    handle: int, family: int, operation: Operation, structure: OverlappedEx
) -> _Call:
    room = sum(map(length_of, operation.views))
    structure.keep = output = ctypes.create_string_buffer(room + 2 * _ADDRESS_ROOM)
    acceptor = operation.acceptor.engine_socket.open_handle()
    return (
        extensions().AcceptEx,
        (
            handle,
            acceptor,
            ctypes.addressof(output),
            room,
            _ADDRESS_ROOM,
            _ADDRESS_ROOM,
            structure.received_at,
            structure.address,
        ),
        None,
    )


def _prepare_connect(
    handle: int, family: int, operation: Operation, structure: OverlappedEx
) -> _Call:
    to = addresses.encode(family, operation.address)
    ctypes.memmove(structure.name_at, to, len(to))
    data, length, structure.keep = joined(operation.views)
    arguments = (handle, structure.name_at, len(to), data if length else 0, length)
    return extensions().ConnectEx, (*arguments, structure.received_at, structure.address), None


def _prepare_disconnect(
    handle: int, family: int, operation: Operation, structure: OverlappedEx
) -> _Call:
    return extensions().DisconnectEx, (handle, structure.address, operation.flags, 0), None


def _prepare_transmit_file(
    handle: int, family: int, operation: Operation, structure: OverlappedEx
) -> _Call:
    file, around, keep = transmit_parts(operation)
    structure.keep = (around, keep)
    structure.Offset = operation.offset & 0xFFFFFFFF
    structure.OffsetHigh = operation.offset >> 32
    arguments = (handle, file, operation.count, 0, structure.address, ctypes.addressof(around), 0)
    return extensions().TransmitFile, arguments, None


def transmit_parts(operation: Operation) -> tuple[int | None, winapi.TRANSMIT_FILE_BUFFERS, Any]:
    """Return the file's handle, what goes around the file, and what must be kept for it."""
    head, head_length, head_kept = joined(operation.views[: operation.head_count])
    tail, tail_length, tail_kept = joined(operation.views[operation.head_count :])
    around = winapi.TRANSMIT_FILE_BUFFERS(head, head_length, tail, tail_length)
    file = None if operation.file is None else msvcrt.get_osfhandle(operation.file.fileno())
    return file, around, (head_kept, tail_kept)


# These say TRUE when they are done, and take no completion routine.
_PREPARE: Final[dict[OperationKind, Callable[[int, int, Operation, OverlappedEx], _Call]]] = {
    OperationKind.ACCEPT: _prepare_accept,
    OperationKind.CONNECT: _prepare_connect,
    OperationKind.DISCONNECT: _prepare_disconnect,
    OperationKind.TRANSMIT_FILE: _prepare_transmit_file,
}
