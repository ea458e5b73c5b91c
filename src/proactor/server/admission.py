"""Who may become a session: how many in all, how many from one address.

A place is taken before the session is made and given back when it has ended, under one lock, so
that the caps hold whatever happens at the same time.
"""

from __future__ import annotations

import threading

from proactor.server.reasons import Refusal


class Admission:
    """The places of a server. Thread-safe.

    Args:
        max_sessions: Places in all.
        max_per_address: Places for one host; None for no such limit.
    """

    def __init__(self, max_sessions: int, max_per_address: int | None) -> None:
        """Begin with every place free."""
        self._lock = threading.Lock()
        self._max_sessions = max_sessions
        self._max_per_address = max_per_address
        self._taken = 0
        self._by_host: dict[str, int] = {}

    def enter(self) -> Refusal | None:
        """Take a place; None if there was one. It is given back by `leave`."""
        with self._lock:
            if self._taken >= self._max_sessions:
                return Refusal.FULL
            self._taken += 1
        return None

    def enter_from(self, host: str) -> Refusal | None:
        """Take one of the places of `host`; None if there was one. See `leave_from`."""
        if self._max_per_address is None:
            return None
        with self._lock:
            count = self._by_host.get(host, 0)
            if count >= self._max_per_address:
                return Refusal.ADDRESS_FULL
            self._by_host[host] = count + 1
        return None

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._taken -= 1

    def leave_from(self, host: str) -> None:
        """Give a place of `host` back."""
        if self._max_per_address is None:
            return
        with self._lock:
            count = self._by_host[host] - 1
            if count:
                self._by_host[host] = count
            else:
                del self._by_host[host]  # Hosts come and go: the table must not grow for ever.

    @property
    def taken(self) -> int:
        """How many places are taken."""
        return self._taken
