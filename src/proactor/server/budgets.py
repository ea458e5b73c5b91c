"""The bytes queued for sending in all sessions together, kept within a budget.

Each session has a cap of its own. The budget is for when many are slow at the same time: the queues
are added up ten times a second, less often if that takes long, and if they are above the budget the
longest are reset until the rest is within. So it may be exceeded for a moment, and costs no more
than two hundredths of one core; without a budget it costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from proactor.server.reasons import DisconnectReason
from proactor.timers import TimerQueue

PERIOD = 0.1
"""Seconds from one look to the next, at least."""

_SHARE = 50.0  # A look that takes t seconds is followed by the next after 50 t.


class SendBudget:
    """Watches the queues of all sessions, once it has begun.

    Args:
        limit: Bytes in all.
        timers: Where the looks are set.
        sessions: Returns the live sessions.
    """

    def __init__(self, limit: int, timers: TimerQueue, sessions: Callable[[], list[Any]]) -> None:
        """Watch nobody yet."""
        self._limit = limit
        self._timers = timers
        self._sessions = sessions

    def begin(self) -> None:
        """Look from now on."""
        self._timers.call_later(PERIOD, self._look)

    def _look(self) -> None:
        began = time.monotonic()
        queued = [(session.queued_bytes, session) for session in self._sessions()]
        total = sum(count for count, _ in queued)
        if total > self._limit:
            self._cut(queued, total)
        took = time.monotonic() - began
        self._timers.call_later(max(PERIOD, took * _SHARE), self._look)

    def _cut(self, queued: list[tuple[int, Any]], total: int) -> None:
        for count, session in sorted(queued, key=lambda entry: entry[0], reverse=True):
            if total <= self._limit:
                return
            total -= count
            detail = f"{count} bytes wait, and more than {self._limit} in all sessions"
            session._cut_off(DisconnectReason.SLOW_CONSUMER, detail)
