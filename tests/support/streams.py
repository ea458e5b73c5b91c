"""Getting a stream into a state: readable, full; and waiting for what no event tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from proactor import OverlappedSocket, WouldBlock, select
from tests.support.sockets import LIMIT, pattern
from tests.support.threads import Running

InThread: TypeAlias = Callable[..., Running[Any]]
"""What the fixture `in_thread` is."""

Opened: TypeAlias = Callable[[OverlappedSocket], OverlappedSocket]
"""What the fixture `opened` is, for sockets."""

_CHUNK = 256 * 1024


def until_readable(sock: OverlappedSocket) -> None:
    """Return once `sock` has something to read: data, the end, or a reset."""
    assert select([sock], timeout=LIMIT).read == [sock], f"nothing to read on {sock!r}"


def fill(sock: OverlappedSocket) -> int:
    """Send on the non-blocking `sock` until it would block; return how many bytes it took."""
    sent = 0
    with pytest.raises(WouldBlock):
        while sent < 1 << 30:
            sent += sock.send(pattern(_CHUNK, sent))
    return sent


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for `condition`, which nothing signals; say whether it came true in time."""
    deadline = time.monotonic() + LIMIT
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.005)
    return True
