"""What the reference engine knows of one socket's connection: the flags that Winsock keeps.

The kernel below forgets some of it (a reset is told once, a failed connect's error is cleared by
reading it), so it is kept here. `sockets` adds the queues; attempts, refusals and readiness are
written against this class alone.
"""

from __future__ import annotations

import errno
import os
import socket
import weakref
from collections import deque
from threading import RLock
from typing import Any

from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.overlapped import Operation

# IP_RECVERR and IPV6_RECVERR of Linux: an ICMP answer reaches the next receive, as on Windows.
_RECEIVE_ERRORS = ((socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25))


class SocketState:
    """The descriptor, the queues and the flags of one socket; guarded by `lock`.

    Attributes:
        sock: The descriptor; non-blocking for good.
        facade: The `OverlappedSocket` that the user holds.
        reads, writes: Operations that wait, oldest first.
        port, key: Where packets go; None while not attached.
        blocking: What a *synchronous* call does.
        reset: The peer has reset: sticky, as on Windows.
        receive_shut, send_shut: This side was shut down.
        connect_errno: How the last connect failed; sticky, 0 if it did not.
        renewed: Made fit for another connection: a connect needs no bind, as on Windows.
        unreachable: A datagram met a closed port, and no receive has told so yet.
        reserved_for: The listener and the accept that will make this socket its connection.
        awaiting: Accepts of this listener that wait for first data, with the connection of each.
    """

    def __init__(self, dispatcher: Dispatcher, sock: socket.socket, facade: Any) -> None:
        """Take over `sock`; it becomes non-blocking, whatever `blocking` says."""
        sock.setblocking(False)
        self.dispatcher = dispatcher
        self.sock = sock
        self.facade: weakref.ref[Any] = weakref.ref(facade)
        self.lock = RLock()
        self.reads: deque[Operation] = deque()
        self.writes: deque[Operation] = deque()
        self.port: Any = None
        self.key: Any = None
        self.datagram = sock.type == socket.SOCK_DGRAM
        self.closed = False
        self.blocking = True
        self.renewed = False
        self.unreachable = False
        self.reserved_for: tuple[SocketState, Operation] | None = None
        self.awaiting: dict[Operation, SocketState] = {}
        self._begin_connection(connected=_has_peer(sock))
        if self.datagram:
            _report_unreachable(sock)

    def _begin_connection(self, *, connected: bool) -> None:
        self.connected = connected
        self.connecting = False
        self.connect_errno = 0
        self.reset = False
        self.receive_shut = False
        self.send_shut = False
        self._bound = connected

    # -- the connection --

    def note_connected(self, number: int) -> None:
        """A connect has ended with this errno, 0 for success."""
        self.connecting = False
        self.connected = number in (0, errno.EISCONN)
        self.connect_errno = 0 if self.connected else number
        self._bound = True

    def refresh_connecting(self) -> bool:
        """See whether the connect in progress has ended; note how."""
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0 and not _has_peer(self.sock):
            return False
        self.note_connected(number)
        return True

    def is_bound(self) -> bool:
        """Say whether the socket has a local address."""
        if not self._bound:
            self._bound = self.sock.getsockname()[1] != 0
        return self._bound

    def is_listening(self) -> bool:
        """Say whether the socket listens."""
        if self.datagram or self.connected:
            return False
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def become(self, connection: socket.socket) -> None:
        """Stand for `connection` from now on, under the same descriptor (an accept)."""
        with self.lock:
            _put_in_place(self.sock.fileno(), connection)
            self._begin_connection(connected=True)

    def renew(self) -> None:
        """Stand for a fresh socket from now on, attached to the same port (a re-use).

        Raises:
            OSError: The system has no descriptor left; the old connection stays in place.
        """
        fresh = socket.socket(self.sock.family, self.sock.type, self.sock.proto)
        fresh.setblocking(False)
        self.disarm()
        _put_in_place(self.sock.fileno(), fresh)
        self._begin_connection(connected=False)
        self.renewed = True

    # -- what `sockets` adds --

    def disarm(self) -> None:
        """Stop polling for the descriptor."""
        raise NotImplementedError

    def queue_read(self, operation: Operation) -> None:
        """Let `operation` wait for something to read."""
        raise NotImplementedError

    def serve_reads(self) -> None:
        """Go on with the receives that wait: there is news that the selector does not tell."""
        raise NotImplementedError

    def note_reset(self) -> None:
        """A look at the socket has met the peer's reset, which the kernel tells only once."""
        raise NotImplementedError

    def rearm_for_notices(self) -> None:
        """The selection of network events has changed: poll for what it wants."""
        raise NotImplementedError


def _put_in_place(descriptor: int, replacement: socket.socket) -> None:
    """Let `descriptor` stand for `replacement`, which is closed: the number stays the same."""
    try:
        os.dup2(replacement.fileno(), descriptor, inheritable=False)
    finally:
        replacement.close()


def _has_peer(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _report_unreachable(sock: socket.socket) -> None:
    for level, option in _RECEIVE_ERRORS:
        try:
            sock.setsockopt(level, option, 1)
        except OSError:
            continue  # Not this family, or not Linux: there only a connected socket hears of it.
