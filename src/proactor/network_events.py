"""Readiness by event: ``WSAEventSelect`` and ``WSAEnumNetworkEvents``.

An event is recorded once and not again until its *re-enabling* call: receiving for FD_READ,
accepting for FD_ACCEPT, a send that would block for FD_WRITE. FD_CONNECT and FD_CLOSE come once.
After the re-enabling call it is reported again at once if it is still true.

On a system that tells no edges of readiness (macOS, the BSDs) three things come late or not at all:
more data before the re-enabling call, a close behind unread data, and out-of-band data.
"""

from __future__ import annotations

from proactor.engines.contract import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    NetworkEvents,
)
from proactor.events import Event
from proactor.sockets import OverlappedSocket, engine_socket_of

__all__ = [
    "FD_ACCEPT",
    "FD_ALL_EVENTS",
    "FD_CLOSE",
    "FD_CONNECT",
    "FD_OOB",
    "FD_READ",
    "FD_WRITE",
    "NetworkEvents",
    "enum_network_events",
    "event_select",
]


def event_select(sock: OverlappedSocket, event: Event | None, mask: int) -> None:
    """Signal `event` when one of the FD_ bits in `mask` happens on `sock`.

    The socket becomes non-blocking and stays so until the selection is cancelled with
    ``(None, 0)`` and ``setblocking(True)`` is called. A new selection replaces the older one,
    also one by `async_select`. A socket accepted from it inherits the selection.

    Raises:
        InvalidParameter: A bit is unknown, or there are bits and no event (10022).
        SocketClosed: `sock` is closed.
    """
    chosen = engine_socket_of(sock, "event_select")
    chosen.event_select(None if event is None else event.engine_event, mask)


def enum_network_events(sock: OverlappedSocket, event: Event | None = None) -> NetworkEvents:
    """Take the recorded events of `sock`, clear the record and reset `event`, in one step.

    Returns:
        The mask, and a dictionary from each set bit to its Winsock error (0: none).
    """
    chosen = engine_socket_of(sock, "enum_network_events")
    return chosen.enum_network_events(None if event is None else event.engine_event)
