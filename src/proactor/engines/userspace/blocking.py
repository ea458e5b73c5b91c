"""The wait of a synchronous call: alertable, and limited by the socket's own time-outs.

Winsock's blocking calls run the APCs of their thread and go on, so this one does too.
"""

from __future__ import annotations

import socket
import struct

from proactor import errors, statuses
from proactor.clock import deadline_after, seconds_left
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.events import wait_for_objects
from proactor.overlapped import Operation, OperationKind

READERS = frozenset({OperationKind.RECV, OperationKind.RECV_FROM, OperationKind.ACCEPT})
"""The kinds that wait for something to read; the others wait for room to write."""


def wait_until_done(dispatcher: Dispatcher, sock: socket.socket, operation: Operation) -> None:
    """Wait for the event of a synchronous `operation` on `sock`.

    Raises:
        TimedOut: SO_RCVTIMEO or SO_SNDTIMEO passed (10060); the caller ends the operation.
    """
    limit = _time_limit(sock, operation)
    deadline = deadline_after(limit)
    while True:
        result = wait_for_objects(
            dispatcher,
            [operation.event],
            wait_all=False,
            timeout=seconds_left(deadline),
            alertable=True,
        )
        if result.is_signaled:
            return
        if deadline is not None and seconds_left(deadline) == 0.0:
            raise errors.refused(
                statuses.WSAETIMEDOUT,
                f"{operation.kind.value}: nothing in {limit} s (SO_RCVTIMEO or SO_SNDTIMEO)",
            )


def _time_limit(sock: socket.socket, operation: Operation) -> float | None:
    """Return SO_RCVTIMEO or SO_SNDTIMEO in seconds; they limit synchronous calls only."""
    option = socket.SO_RCVTIMEO if operation.kind in READERS else socket.SO_SNDTIMEO
    try:
        value = sock.getsockopt(socket.SOL_SOCKET, option, 16)
    except OSError:
        return None  # Closed meanwhile: its end is indicated.
    seconds, micros = struct.unpack("ll", value)
    return seconds + micros / 1e6 or None
