"""The live sessions of a server, and the sums over those that have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from proactor.server.reasons import DisconnectReason
from proactor.server.session import Session
from proactor.server.tallies import Tally

_TRAFFIC = (
    "bytes_received", "frames_received", "bytes_sent", "packets_sent", "dropped", "replaced",
    "refused",
)  # fmt: skip


class Census:
    """Who is there. Thread-safe.

    Args:
        tally: Counts ``peak_sessions``, the reasons, and the traffic of ended sessions.
    """

    def __init__(self, tally: Tally) -> None:
        """Begin with nobody."""
        self._tally = tally
        self._lock = threading.Lock()
        self._sessions: dict[int, Session] = {}
        self._is_empty = threading.Condition(self._lock)

    def enter(self, session: Session) -> None:
        """Count a session in."""
        with self._lock:
            self._sessions[session.id] = session
            count = len(self._sessions)
        self._tally.raise_to("peak_sessions", count)

    def leave(self, session: Session, reason: DisconnectReason) -> None:
        """Count a session out, and its traffic in."""
        statistics = session.statistics()
        self._tally.add(reason)
        for name in _TRAFFIC:
            self._tally.add(name, getattr(statistics, name))
        with self._lock:
            del self._sessions[session.id]
            if not self._sessions:
                self._is_empty.notify_all()

    def find(self, session_id: int) -> Session | None:
        """Return the live session with this id."""
        return self._sessions.get(session_id)

    def sessions(self) -> list[Session]:
        """Return the live sessions as a list of their own, the oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def wait_until_empty(self, timeout: float) -> bool:
        """Wait for the last session to leave; say whether it has."""
        with self._lock:
            return self._is_empty.wait_for(lambda: not self._sessions, timeout)

    def traffic(self) -> dict[str, int]:
        """Return the sums over all sessions, live and ended, and what is queued now."""
        counts: Any = self._tally.counts()
        sums = {name: counts.get(name, 0) for name in _TRAFFIC}
        sums |= {"queued_bytes": 0, "queued_packets": 0}
        for session in self.sessions():
            statistics = session.statistics()
            for name in _TRAFFIC:
                sums[name] += getattr(statistics, name)
            sums["queued_bytes"] += session.queued_bytes
            sums["queued_packets"] += session.queued_packets
        return sums

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self.sessions())
