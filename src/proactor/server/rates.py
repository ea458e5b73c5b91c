"""Token buckets: how many of something a second, with a burst. Pure arithmetic over a clock."""

from __future__ import annotations

import time
from collections.abc import Callable

_ROUNDING = 1e-6  # What the sums of many short times lose must not refuse a token that is due.


class TokenBucket:
    """`rate` tokens flow in each second, up to `burst`; each event takes some out.

    Args:
        rate: Tokens a second, more than 0.
        burst: The most tokens that gather; it is also what there is at the start. `rate` by
            default: one second's worth.
        clock: Returns seconds; it must not go backwards.

    Not thread-safe: its owner calls it from one turn or under one lock.
    """

    __slots__ = ("_at", "_clock", "_tokens", "burst", "rate")

    def __init__(
        self,
        rate: float,
        burst: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a full bucket."""
        if not rate > 0:
            raise ValueError(f"a rate is a positive number a second, not {rate!r}")
        if burst is not None and not burst >= 1:
            raise ValueError(f"a burst is 1 or more, not {burst!r}")
        self.rate = rate
        self.burst = max(rate, 1.0) if burst is None else burst
        self._clock = clock
        self._tokens = float(self.burst)
        self._at = clock()

    def take(self, count: float = 1.0) -> bool:
        """Take `count` tokens if they are there; say whether they were.

        More than `burst` at once is granted when the bucket is full, and paid off afterwards:
        one large event may be rare, but must not be impossible for ever.
        """
        self._fill()
        if self._tokens + _ROUNDING < min(count, self.burst):
            return False
        self._tokens -= count
        return True

    def owe(self, count: float = 1.0) -> float:
        """Take `count` tokens, there or not; return the seconds until the debt is paid (or 0)."""
        self._fill()
        self._tokens -= count
        return max(0.0, -self._tokens / self.rate)

    def wait(self, count: float = 1.0) -> float:
        """Return how many seconds from now `take(count)` succeeds; 0.0 if it would now."""
        self._fill()
        return max(0.0, (min(count, self.burst) - self._tokens) / self.rate)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
