"""The clock of a fixed step: when a tick is due, and what is done with those that were missed.

Deadlines are absolute: tick n is due at the start plus n periods, so lateness never adds up. Ticks
that were missed are caught up, up to a limit; the rest are skipped, and counted. Pure: the caller
gives the time.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TickStatistics:
    """How well a clock was kept.

    Attributes:
        ticks: Ticks that ran.
        skipped: Ticks that were missed by more than the catch-up limit, and never ran.
        overruns: Ticks that took longer than the period.
        latest: Seconds by which the latest tick began late, at most.
        lateness: Seconds by which ticks began late, on average.
    """

    ticks: int
    skipped: int
    overruns: int
    latest: float
    lateness: float


class TickClock:
    """Counts the ticks of one room. Not thread-safe: it belongs to the room's turn.

    Args:
        period: Seconds from one tick to the next.
        catch_up: How many missed ticks run at once, one behind the other, at most.
        now: When the first period begins.
    """

    __slots__ = (
        "_catch_up", "_latest", "_origin", "_overruns", "_skipped", "_sum", "number", "period",
        "ticks",
    )  # fmt: skip

    def __init__(self, period: float, catch_up: int, now: float) -> None:
        """Begin the first period at `now`."""
        if not period > 0:
            raise ValueError(f"a tick comes every so many seconds, more than 0, not {period!r}")
        if catch_up < 1:
            raise ValueError(f"catch_up is 1 or more ticks, not {catch_up!r}")
        self.period = period
        self._catch_up = catch_up
        self._origin = now
        self.number = 0  # Of the last period that is over or skipped.
        self.ticks = 0
        self._skipped = 0
        self._overruns = 0
        self._sum = 0.0
        self._latest = 0.0

    @property
    def deadline(self) -> float:
        """When the next tick is due."""
        return self._origin + (self.number + 1) * self.period

    def begin(self, now: float) -> bool:
        """Say whether a tick is due; if so it counts as begun."""
        late = now - self.deadline
        if late < -1e-6:
            return False
        missed = int(late / self.period)
        if missed >= self._catch_up:
            skipped = missed + 1 - self._catch_up
            self._skipped += skipped
            self.number += skipped
            late -= skipped * self.period
        self.number += 1
        self.ticks += 1
        self._sum += max(0.0, late)
        self._latest = max(self._latest, late)
        return True

    def end(self, took: float) -> None:
        """Note how long the tick took."""
        if took > self.period:
            self._overruns += 1

    def statistics(self) -> TickStatistics:
        """Return a snapshot."""
        average = self._sum / self.ticks if self.ticks else 0.0
        return TickStatistics(self.ticks, self._skipped, self._overruns, self._latest, average)
