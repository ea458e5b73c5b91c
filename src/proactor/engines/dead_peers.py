"""How long a system goes on with a connection whose peer acknowledges nothing: its own option."""

from __future__ import annotations

import math
import socket
import sys
from typing import Protocol

_LINUX_TCP_USER_TIMEOUT = 18  # Milliseconds.
_WINDOWS_TCP_MAXRT = 5  # Seconds.
_MACOS_TCP_RXT_CONNDROPTIME = 0x80  # Seconds.


class HasOptions(Protocol):
    """A socket, as far as it is needed here."""

    def setsockopt(self, level: int, option: int, value: int, /) -> object:
        """Set an option."""


def set_user_timeout(sock: HasOptions, seconds: float) -> bool:
    """Let the system give up a connection when sent bytes are not acknowledged for `seconds`.

    Returns:
        False where the system has no such option: nothing is changed.

    Raises:
        OSError: The socket is closed, or its connection is gone.
    """
    if sys.platform == "linux":
        option, value = _LINUX_TCP_USER_TIMEOUT, math.ceil(seconds * 1000)
    elif sys.platform == "win32":
        option, value = _WINDOWS_TCP_MAXRT, math.ceil(seconds)
    elif sys.platform == "darwin":
        option, value = _MACOS_TCP_RXT_CONNDROPTIME, math.ceil(seconds)
    else:
        return False
    sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return True
