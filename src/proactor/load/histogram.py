"""Latencies in buckets of about 1.5 %, with the percentiles of them.

The buckets are those of `core/histogram.h`: 64 for each power of two nanoseconds, so that one table
of fixed size holds a microsecond and a minute. Not thread-safe: its owner records and reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

FINE: Final = 64
_FINE_BITS: Final = 6
BUCKETS: Final = FINE * 58


class Histogram:
    """How often each latency was seen; all latencies are in nanoseconds, all answers in seconds."""

    __slots__ = ("buckets", "largest", "recorded")

    def __init__(self, buckets: Sequence[int] | None = None, largest: int = 0) -> None:
        """Begin empty, or with the `buckets` of another one, which are copied."""
        self.buckets = list(buckets) if buckets is not None else [0] * BUCKETS
        self.recorded = sum(self.buckets) if buckets is not None else 0
        self.largest = largest

    def record(self, nanoseconds: int) -> None:
        """Count one latency."""
        index = nanoseconds
        if nanoseconds >= FINE:
            power = nanoseconds.bit_length() - 1 - _FINE_BITS
            index = (power + 1) * FINE + (nanoseconds >> power) - FINE
        self.buckets[min(index, BUCKETS - 1)] += 1
        self.recorded += 1
        if nanoseconds > self.largest:
            self.largest = nanoseconds

    def quantile(self, part: float) -> float:
        """Return the latency that `part` (0 to 1) of all are not above, in seconds; 0 if empty."""
        wanted = part * self.recorded
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if count and seen >= wanted:
                return min(_middle(index), self.largest) / 1e9
        return self.largest / 1e9

    @property
    def mean(self) -> float:
        """The mean of all, in seconds, as exact as the buckets are; 0 if empty."""
        total = sum(_middle(index) * count for index, count in enumerate(self.buckets) if count)
        return total / self.recorded / 1e9 if self.recorded else 0.0

    @property
    def maximum(self) -> float:
        """The largest, exactly, in seconds."""
        return self.largest / 1e9

    def since(self, older: Histogram) -> Histogram:
        """Return what was recorded after `older`, an earlier state; its largest is not known."""
        pairs = zip(self.buckets, older.buckets, strict=True)
        return Histogram([new - old for new, old in pairs], self.largest)


def _middle(index: int) -> float:
    if index < FINE:
        return float(index)
    power = index // FINE - 1
    return float((index % FINE + FINE) << power) + (1 << power) / 2
