"""The bytes queued for sending in all sessions together, kept within a budget.

Each session has its own cap. The budget is for when many are slow at the same time: a session whose
queue goes above its high water is watched, every 0.1 s the watched queues are added up, and if they
are above the budget the longest are reset until the rest is within. So the budget may be exceeded
for a tenth of a second, and costs nothing while nobody is slow.
"""

from __future__ import annotations

import threading
from typing import Any

from proactor.server.reasons import DisconnectReason
from proactor.timers import TimerQueue

PERIOD = 0.1


class SendBudget:
    """Watches the sessions with long queues. Thread-safe.

    Args:
        limit: Bytes in all; None: watch nobody.
        timers: Where the looks are set.
    """

    def __init__(self, limit: int | None, timers: TimerQueue) -> None:
        """Begin with nobody to watch."""
        self._limit = limit
        self._timers = timers
        self._lock = threading.Lock()
        self._heavy: set[Any] = set()
        self._is_looking = False

    def watch(self, session: Any) -> None:
        """Watch a session until its queue is short again, or it has ended."""
        if self._limit is None:
            return
        with self._lock:
            self._heavy.add(session)
            if self._is_looking:
                return
            self._is_looking = True
        self._timers.call_later(PERIOD, self._look)

    def _look(self) -> None:
        assert self._limit is not None, "nobody is watched without a limit"
        with self._lock:
            queued = {session: session.queued_bytes for session in self._heavy}
            self._heavy = {
                session
                for session, count in queued.items()
                if count > session.limits.send_low and session._reason is None
            }
            self._is_looking = bool(self._heavy)
        total = sum(queued.values())
        for session in sorted(queued, key=lambda session: queued[session], reverse=True):
            if total <= self._limit:
                break
            total -= queued[session]
            detail = f"{queued[session]} bytes wait, and more than {self._limit} in all sessions"
            session._cut_off(DisconnectReason.SLOW_CONSUMER, detail)
        if self._is_looking:
            self._timers.call_later(PERIOD, self._look)
