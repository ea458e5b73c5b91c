"""Taking packets in a test: what must come is waited for, what must not come is waited out."""

from __future__ import annotations

import sys
import time

from proactor import CompletionPacket, CompletionPort
from tests.support.sockets import LIMIT

QUIET = 0.12
"""Seconds for which nothing must happen. Each such wait is paid in full: use few of them."""


def take(port: CompletionPort, limit: float = LIMIT) -> CompletionPacket:
    """Return the next packet, which must come within `limit` seconds."""
    packet = port.get(limit)
    assert packet is not None, f"no packet within {limit} s: {port.statistics()}"
    return packet


def take_count(port: CompletionPort, count: int) -> list[CompletionPacket]:
    """Return the next `count` packets, which must come."""
    return [take(port) for _ in range(count)]


def no_packet(port: CompletionPort, quiet: float = QUIET) -> bool:
    """Return True if no packet comes for `quiet` seconds; else fail and show it."""
    packet = port.get(quiet)
    assert packet is None, f"a packet that must not come: {packet!r}"
    return True


def wait_for_waiters(port: CompletionPort, count: int) -> None:
    """Wait until `count` threads wait at `port`.

    The kernel's port does not tell when they are in its queue: there they are given a moment.
    """
    deadline = time.monotonic() + LIMIT
    while True:
        waiting = port.statistics().waiting
        if waiting is None:
            time.sleep(0.1)
            return
        if waiting == count:
            time.sleep(0.02 if sys.platform == "win32" else 0.0)
            return
        assert time.monotonic() < deadline, f"{waiting} threads wait, not {count}"
        time.sleep(0.001)
