"""What a call is refused with at once, before anything is started.

The kernel would refuse most of these too, but later, with other numbers, or not at all; Winsock's
answers are given here, from the socket's own flags.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import socket
from collections.abc import Callable

from proactor import errors, statuses
from proactor.engines.python.selectors.connections import check_acceptor
from proactor.engines.python.selectors.state import SocketState
from proactor.overlapped import Operation, OperationKind


def refuse(owner: SocketState, operation: Operation) -> None:
    """Raise if `operation` can not be started on `owner`; the socket's lock is held."""
    if owner.closed:
        raise _refusal(statuses.WSAENOTSOCK, operation, "the socket is closed")
    if operation.routine is not None and owner.port is not None:
        raise _refusal(
            statuses.WSAEINVAL,
            operation,
            "the socket is attached to a port; a port and completion routines exclude each other",
        )
    _CHECKS[operation.kind](owner, operation)


def _refusal(number: int, operation: Operation, why: str) -> errors.ProactorError:
    return errors.refused(number, f"{operation.kind.value} refused: {why}")


def _stream_is_usable(owner: SocketState, operation: Operation) -> None:
    if owner.reset:
        raise _refusal(statuses.WSAECONNRESET, operation, "the peer has reset the connection")
    if not owner.connected and not (owner.connecting and owner.refresh_connecting()):
        raise _refusal(statuses.WSAENOTCONN, operation, "the socket is not connected")
    if not owner.connected:
        raise _refusal(statuses.WSAENOTCONN, operation, "the connect has failed")


def _check_recv(owner: SocketState, operation: Operation) -> None:
    if owner.datagram:
        _check_recv_from(owner, operation)
        return
    if owner.reset or not owner.connected:
        _stream_is_usable(owner, operation)
    if owner.receive_shut:
        raise _refusal(statuses.WSAESHUTDOWN, operation, "receiving was shut down on this side")


def _check_send(owner: SocketState, operation: Operation) -> None:
    if owner.datagram:
        if not owner.connected:
            raise _refusal(statuses.WSAENOTCONN, operation, "connect first, or use send_to")
        return
    if owner.reset or not owner.connected:
        _stream_is_usable(owner, operation)
    if owner.send_shut:
        raise _refusal(statuses.WSAESHUTDOWN, operation, "sending was shut down on this side")


def _check_recv_from(owner: SocketState, operation: Operation) -> None:
    if not owner.datagram:
        _check_recv(owner, operation)  # On TCP the address arguments are ignored.
    elif owner.receive_shut:
        raise _refusal(statuses.WSAESHUTDOWN, operation, "receiving was shut down on this side")
    elif not owner.is_bound():
        raise _refusal(statuses.WSAEINVAL, operation, "the socket is not bound: bind it first")


def _check_send_to(owner: SocketState, operation: Operation) -> None:
    if not owner.datagram:
        _check_send(owner, operation)
    elif owner.send_shut:
        raise _refusal(statuses.WSAESHUTDOWN, operation, "sending was shut down on this side")


def _check_accept(owner: SocketState, operation: Operation) -> None:
    if not owner.is_listening():
        raise _refusal(statuses.WSAEINVAL, operation, "the socket does not listen")
    if operation.acceptor is not None:
        check_acceptor(owner, operation.acceptor.engine_socket)


def _check_connect(owner: SocketState, operation: Operation) -> None:
    if owner.datagram and operation.overlapped is None:
        return  # A synchronous connect of a UDP socket sets its peer, as often as you like.
    synchronous = operation.overlapped is None
    if owner.connecting and not owner.refresh_connecting():
        number = statuses.WSAEALREADY if synchronous else statuses.WSAEINVAL
        if synchronous and owner.writes:
            number = statuses.WSAEINVAL  # That one is overlapped: not this call's to wait for.
        raise _refusal(number, operation, "a connect is in progress")
    if owner.connected:
        raise _refusal(statuses.WSAEISCONN, operation, "the socket is connected already")
    if owner.reserved_for is not None or owner.is_listening():
        raise _refusal(statuses.WSAEINVAL, operation, "the socket listens or is being accepted on")
    if not (synchronous or owner.renewed or owner.is_bound()):
        raise _refusal(
            statuses.WSAEINVAL, operation, "an overlapped connect needs a bound socket: bind it"
        )


def _check_disconnect(owner: SocketState, operation: Operation) -> None:
    if owner.datagram or not owner.connected:
        raise _refusal(statuses.WSAENOTCONN, operation, "the socket is not connected")


def _check_transmit_file(owner: SocketState, operation: Operation) -> None:
    if owner.datagram:
        raise _refusal(statuses.WSAENOTCONN, operation, "only a connected stream takes a file")
    _check_send(owner, operation)


_CHECKS: dict[OperationKind, Callable[[SocketState, Operation], None]] = {
    OperationKind.RECV: _check_recv,
    OperationKind.SEND: _check_send,
    OperationKind.RECV_FROM: _check_recv_from,
    OperationKind.SEND_TO: _check_send_to,
    OperationKind.ACCEPT: _check_accept,
    OperationKind.CONNECT: _check_connect,
    OperationKind.DISCONNECT: _check_disconnect,
    OperationKind.TRANSMIT_FILE: _check_transmit_file,
}


def check_shutdown(owner: SocketState, how: int) -> None:
    """Raise if ``shutdown(how)`` is refused; the socket's lock is held."""
    if owner.closed:
        raise errors.refused(statuses.WSAENOTSOCK, "shutdown refused: the socket is closed")
    if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
        raise errors.refused(
            statuses.WSAEINVAL, f"shutdown takes 0 (receive), 1 (send) or 2 (both), not {how!r}"
        )
    if not owner.connected and not owner.datagram:
        raise errors.refused(statuses.WSAENOTCONN, "shutdown refused: the socket is not connected")
