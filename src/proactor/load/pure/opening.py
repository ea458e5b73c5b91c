"""Sockets of the load: opened without waiting, and ended at once."""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import Any

_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0)}


class SocketOpener:
    """Makes connections to one address."""

    def __init__(self, family: int, address: tuple[Any, ...]) -> None:
        self.family = family
        self.address = address

    def open(self) -> socket.socket:
        """Return a socket that is connecting: it is writable when that has ended.

        Raises:
            OSError: The system refused at once; nothing is left.
        """
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(self.address)
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
        except OSError:
            sock.close()
            raise
        return sock

    @staticmethod
    def reset(sock: socket.socket) -> None:
        """Close `sock` with a reset: nothing of what its peer still does is of use."""
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
