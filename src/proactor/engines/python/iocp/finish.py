"""From a completion to a result: what the kernel wrote becomes the fields of the `Operation`.

Whoever learns that an operation is complete comes here: the port with its packet, the completion
routine, a wait on its event, or the user who asks the overlapped how it stands. `take` ends the
flight; it does so once, whoever comes first.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("the iocp engine runs on Windows only")

import ctypes
import socket
from typing import Final

from proactor import statuses
from proactor.engines.python.iocp import addresses, winapi
from proactor.engines.python.iocp.in_flight import OverlappedEx, table
from proactor.overlapped import Operation, OperationKind

_KEPT_AFTER_CLOSE: Final = frozenset(
    {
        statuses.STATUS_SUCCESS,
        statuses.STATUS_BUFFER_OVERFLOW,
        statuses.STATUS_CANCELLED,
        statuses.STATUS_CONNECTION_ABORTED,
        statuses.STATUS_CONNECTION_RESET,
        statuses.STATUS_LOCAL_DISCONNECT,
    }
)

# A status that `statuses` does not know counts as one of these that Windows gives the same number.
_STATUS_OF_WIN32: Final = {
    statuses.win32_number(status): status
    for status in (
        statuses.STATUS_CANCELLED,
        statuses.STATUS_CONNECTION_RESET,
        statuses.STATUS_CONNECTION_ABORTED,
        statuses.STATUS_CONNECTION_REFUSED,
        statuses.STATUS_IO_TIMEOUT,
        statuses.STATUS_NETWORK_UNREACHABLE,
        statuses.STATUS_HOST_UNREACHABLE,
        statuses.STATUS_PORT_UNREACHABLE,
        statuses.STATUS_INSUFFICIENT_RESOURCES,
    )
}


def take(operation: Operation, transferred: int | None = None, flags: int = 0) -> bool:
    """Take the indication of `operation`: fill in its result, and forget it.

    Args:
        operation: One that the kernel has completed.
        transferred: The bytes, where the indication names them.
        flags: The flags, where the indication names them.

    Returns:
        False if another thread has taken it before.
    """
    structure: OverlappedEx | None = operation.engine_state
    if structure is None:
        return False
    with structure.lock:
        if operation.engine_state is not structure:
            return False
        _publish(operation, structure, transferred, flags)
        table.leave(operation)
    if operation.routine is None:
        operation.release()
    return True


def observe(operation: Operation) -> None:
    """Publish the result of `operation` if the kernel has completed it without a call to us.

    Where the result itself is the indication (no port, no routine) it is taken as well.
    """
    structure: OverlappedEx | None = operation.engine_state
    if structure is None or structure.is_starting or operation.overlapped is None:
        return
    port = structure.file.port
    if port is not None and port.is_closed:
        port.drain()
    if structure.status == statuses.STATUS_PENDING:
        return
    with structure.lock:
        if operation.engine_state is not structure:
            return
        if operation.routine is not None:
            # A routine is lost with the thread that it would have run in.
            thread = operation.thread
            if thread is not None and not thread.is_alive() and take(operation):
                operation.release()
        elif structure.file.port is None or operation.suppress_packet:
            # Asked only now: with no port after the completion there was none at it.
            take(operation)
        elif operation.event is not None:
            # The packet is still to come: it takes the operation.
            _publish(operation, structure, None, 0)


def _publish(
    operation: Operation, structure: OverlappedEx, transferred: int | None, flags: int
) -> None:
    if structure.is_published:
        return
    structure.is_published = True
    operation.transferred = structure.InternalHigh if transferred is None else transferred
    operation.flags = flags
    operation.status = _status_of(operation, structure)
    kind = operation.kind
    if kind is OperationKind.ACCEPT:
        _finish_accept(operation, structure)
    elif kind is OperationKind.RECV_FROM:
        operation.peer = addresses.decode(bytes(structure.name))
    elif kind is OperationKind.CONNECT and operation.status == statuses.STATUS_SUCCESS:
        winapi.setsockopt(
            structure.handle, socket.SOL_SOCKET, winapi.SO_UPDATE_CONNECT_CONTEXT, None, 0
        )
    operation.publish()


def _status_of(operation: Operation, structure: OverlappedEx) -> int:
    status = structure.status
    if status < 0x80000000:
        return statuses.STATUS_SUCCESS
    if status in _KEPT_AFTER_CLOSE:
        return status
    # Which status a close gives varies with the system; who closed does not.
    acceptor = operation.acceptor
    if structure.file.open_handles == 0 or (
        acceptor is not None and acceptor.engine_socket.is_closed
    ):
        return statuses.STATUS_CANCELLED
    if statuses.win32_number(status) != statuses.ERROR_GEN_FAILURE:
        return status
    return _STATUS_OF_WIN32.get(winapi.RtlNtStatusToDosError(status), status)


def _finish_accept(operation: Operation, structure: OverlappedEx) -> None:
    acceptor = operation.acceptor
    if operation.status != statuses.STATUS_SUCCESS:
        if structure.made_acceptor:
            acceptor.close()
        return
    acceptor.engine_socket.update_accept_context(structure.handle)
    received = ctypes.string_at(structure.keep, operation.transferred)
    for view in operation.views:
        part, received = received[: len(view)], received[len(view) :]
        view[: len(part)] = part
