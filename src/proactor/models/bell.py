"""A socket that another thread can make readable: what wakes a wait that takes only sockets."""

from __future__ import annotations

import contextlib
import socket

from proactor import OverlappedSocket


class Bell:
    """Two connected sockets: one end to wait for, the other to ring. Once rung it goes on ringing.

    `select` and the message queue report sockets and nothing else, so the request to stop comes as
    one. A `with` block is not offered: the server that owns it closes it.
    """

    def __init__(self) -> None:
        """Connect the two ends."""
        heard, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self.socket = OverlappedSocket.adopt(heard)

    def ring(self) -> None:
        """Make `socket` readable, for good. Thread-safe."""
        with contextlib.suppress(BlockingIOError):  # Full of rings: it is readable.
            self._ringer.send(b"\0")

    def close(self) -> None:
        """Close both ends."""
        self.socket.close()
        self._ringer.close()
