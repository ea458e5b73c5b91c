"""What a call was refused with, in words: the core decides, from the socket's own flags."""

from __future__ import annotations

from typing import Final

from proactor import errors, statuses
from proactor.overlapped import Operation, OperationKind, Overlapped

_NO_STATUS: Final = 0xC0010000
"""A Winsock number that no NTSTATUS stands for comes from the core with this added."""

_WORDS: Final[dict[int, str]] = {
    statuses.WSAENOTSOCK: "the socket is closed",
    statuses.WSAECONNRESET: "the peer has reset the connection",
    statuses.WSAENOTCONN: "the socket is not connected",
    statuses.WSAEISCONN: "the socket is connected already",
    statuses.WSAEALREADY: "a connect is in progress",
}

_SHUT_DOWN: Final[dict[OperationKind, str]] = {
    OperationKind.RECV: "receiving was shut down on this side",
    OperationKind.RECV_FROM: "receiving was shut down on this side",
}

_INVALID: Final[dict[OperationKind, str]] = {
    OperationKind.ACCEPT: (
        "the socket does not listen, or the acceptor is bound, connected, a UDP socket or in "
        "another accept; give a fresh stream socket, or none"
    ),
    OperationKind.CONNECT: (
        "the socket is not bound (an overlapped connect needs a bind), listens, is being accepted "
        "on, or a connect is in progress"
    ),
    OperationKind.RECV_FROM: "the socket is not bound: bind it first",
    OperationKind.RECV: "the socket is not bound: bind it first",
}


def refusal(operation: Operation | Overlapped, status: int) -> errors.ProactorError:
    """Return the error of a call that the core has refused with `status`."""
    has_none = status >> 16 == _NO_STATUS >> 16
    number = status - _NO_STATUS if has_none else statuses.wsa_number(status)
    kind = operation.kind
    if number == statuses.WSAESHUTDOWN:
        why = _SHUT_DOWN.get(kind, "sending was shut down on this side")
    elif number == statuses.WSAEINVAL:
        why = _INVALID.get(kind, "an argument is invalid")
    elif number == statuses.WSAENOTSOCK and kind is OperationKind.ACCEPT:
        why = "the socket, or the acceptor, is closed"
    else:
        why = _WORDS.get(number, statuses.words(status))
    return errors.refused(number, f"{kind.value} refused: {why}")
