"""What passes through a server: counters, and the hooks by which others see it pass.

A model calls the four hooks; the base class counts. Whoever wants more (a log line, a live display)
subclasses `Traffic`, calls ``super()`` and keeps it short: hooks run on the server's own threads,
several at once where the model has several.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter
from typing import Any, TypeAlias

Address: TypeAlias = tuple[Any, ...]
"""A socket address: ``(host, port)``, followed by two more numbers for IPv6."""


class Reason(enum.StrEnum):
    """Why a session ended."""

    PEER_CLOSED = "peer closed"
    RESET = "reset by peer"
    STOPPED = "server stopped"
    ERROR = "error"


class Traffic:
    """Counters of one server, and its hooks.

    Attributes:
        connects: Sessions begun.
        disconnects: Sessions ended, by `Reason`.
        bytes_in: Bytes received.
        bytes_out: Bytes sent back.
        messages: Receives that brought something. TCP keeps no boundaries: what a client sent in
            ten calls may arrive as one.

    Thread-safe: five workers count here, and ``+=`` is no single step.
    """

    def __init__(self) -> None:
        """Start with every counter at zero."""
        self.connects = 0
        self.disconnects: Counter[Reason] = Counter()
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages = 0
        self._lock = threading.Lock()

    def connected(self, peer: Address) -> None:
        """Note that a session with `peer` has begun."""
        with self._lock:
            self.connects += 1

    def received(self, peer: Address, count: int) -> None:
        """Note that `count` bytes came from `peer`."""
        with self._lock:
            self.bytes_in += count
            self.messages += 1

    def sent(self, peer: Address, count: int) -> None:
        """Note that the system has taken `count` bytes for `peer`."""
        with self._lock:
            self.bytes_out += count

    def disconnected(self, peer: Address, reason: Reason) -> None:
        """Note that the session with `peer` has ended; nothing of it is left."""
        with self._lock:
            self.disconnects[reason] += 1
