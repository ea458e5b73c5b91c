"""Timers: calls that are due at a time, run by whoever serves the port.

A `TimerQueue` has no thread. The loop that serves a port gives `next_timeout` to its wait and calls
`run_due` afterwards; a timer set by another thread that is due before all others calls
`on_earlier`, which ends that wait (by a posted packet, say).

Cost is what this module is about: idle time-outs are set for every session, nearly never fire, and
are moved with every message. Cancelling marks the timer; its place in the heap is given up when it
comes to the top, or when half of the heap is such places. Postponing stores a number; the place in
the heap, which is then too early, is put right when it comes to the top.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("proactor")

_COMPACT_ABOVE = 64
"""Dead places in the heap that are not worth compacting it for."""


class Timer:
    """One call that is due at a time, or again and again. Made by a `TimerQueue`.

    Attributes:
        deadline: When it is due, on the queue's clock.
        period: Seconds between two calls, None for one call only.
    """

    __slots__ = ("_call", "_place", "_queue", "_spot", "deadline", "period")

    def __init__(
        self,
        queue: TimerQueue,
        deadline: float,
        call: Callable[[], object],
        period: float | None = None,
    ) -> None:
        """Record a timer; use `TimerQueue.call_later` and its kin."""
        self._queue = queue
        self._call: Callable[[], object] | None = call
        self._spot = deadline  # The deadline by which it stands in the heap,
        self._place = -1  # and the number of the entry that is its own.
        self.deadline = deadline
        self.period = period

    @property
    def is_active(self) -> bool:
        """True until it has been called (for a periodic one: for ever) or is cancelled."""
        return self._call is not None

    def cancel(self) -> None:
        """Let it never be called again; a call that is running goes on. Twice does nothing."""
        if self._call is not None:
            self._queue.cancel(self)

    def postpone(self, delay: float) -> None:
        """Let it be due `delay` seconds from now, later or earlier than it was.

        Later costs an attribute; earlier costs a place in the heap. On a timer that has been
        called or is cancelled it does nothing.
        """
        queue = self._queue
        deadline = queue.clock() + delay
        self.deadline = deadline
        if deadline < self._spot:
            queue.move_up(self, deadline)


class TimerQueue:
    """Timers by their deadlines. Thread-safe; the calls run in the thread that calls `run_due`.

    Args:
        on_earlier: Called, in the thread that sets a timer, when that timer is due before all
            others: whoever waits with an older `next_timeout` must look again.
        clock: What time it is, in seconds; ``time.monotonic`` if not given.
    """

    def __init__(
        self,
        on_earlier: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty queue."""
        self.clock = clock
        self._on_earlier = on_earlier
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._dead = 0
        self._lock = threading.Lock()

    def call_at(self, deadline: float, call: Callable[[], object]) -> Timer:
        """Call `call()` at `deadline`, a time of the queue's clock."""
        return self._add(Timer(self, deadline, call))

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        """Call `call()` in `delay` seconds; 0 or less is at the next `run_due`."""
        return self._add(Timer(self, self.clock() + delay, call))

    def call_every(self, period: float, call: Callable[[], object]) -> Timer:
        """Call `call()` every `period` seconds, first after one period, until it is cancelled.

        The deadlines are absolute: a late call does not move the later ones. Those that were
        missed altogether are skipped, not made up for.

        Raises:
            ValueError: `period` is not above 0.
        """
        if not period > 0:
            raise ValueError(f"a period is a number of seconds above 0, not {period!r}")
        return self._add(Timer(self, self.clock() + period, call, period))

    def _add(self, timer: Timer) -> Timer:
        with self._lock:
            is_first = self._push(timer)
        if is_first and self._on_earlier is not None:
            self._on_earlier()
        return timer

    def _push(self, timer: Timer) -> bool:
        """Give `timer` a place; say whether it is the first now. The lock is held."""
        timer._spot = timer.deadline
        timer._place = next(self._order)
        heapq.heappush(self._heap, (timer._spot, timer._place, timer))
        return self._heap[0][2] is timer

    def cancel(self, timer: Timer) -> None:
        """See `Timer.cancel`."""
        with self._lock:
            if timer._call is None:
                return
            timer._call = None
            self._count_dead()

    def _count_dead(self) -> None:
        self._dead += 1
        if self._dead <= _COMPACT_ABOVE or self._dead * 2 <= len(self._heap):
            return
        self._heap = [entry for entry in self._heap if _stands(entry)]
        heapq.heapify(self._heap)
        self._dead = 0

    def move_up(self, timer: Timer, deadline: float) -> None:
        """Give `timer` a second, earlier place; the first one is dead. See `Timer.postpone`."""
        with self._lock:
            if timer._call is None or deadline >= timer._spot:
                return
            timer.deadline = deadline
            is_first = self._push(timer)
            self._count_dead()
        if is_first and self._on_earlier is not None:
            self._on_earlier()

    def __len__(self) -> int:
        """Return the number of timers that are not cancelled."""
        with self._lock:
            return sum(map(_stands, self._heap))

    def next_timeout(self) -> float | None:
        """Return the seconds until a timer may be due, 0 or more; None: there is none.

        It may be too short where timers have been postponed: `run_due` then runs nothing.
        """
        with self._lock:
            self._settle_top()
            if not self._heap:
                return None
            return max(0.0, self._heap[0][0] - self.clock())

    def _settle_top(self) -> None:
        """Take what is dead or postponed off the top; the lock is held."""
        heap = self._heap
        while heap:
            spot, place, timer = heap[0]
            if not _stands(heap[0]):
                heapq.heappop(heap)
                self._dead -= 1
            elif timer.deadline > spot:
                timer._spot = timer.deadline
                # `postpone` takes no lock: it sees the new spot, or its deadline is here.
                timer._spot = min(timer._spot, timer.deadline)
                heapq.heapreplace(heap, (timer._spot, place, timer))
            else:
                return

    def run_due(self, limit: int = 64) -> int:
        """Call what is due, the earliest first; return how many calls were made.

        Args:
            limit: The most calls, so that a burst does not hold up the port; `next_timeout` is
                then 0.

        What a call raises is logged. Another thread may run others at the same time: whoever
        needs them one after another calls this from one thread.
        """
        count = 0
        while count < limit:
            call = self._take_due()
            if call is None:
                break
            count += 1
            try:
                call()
            except Exception:
                logger.exception("the timer %r raised", call)
        return count

    def _take_due(self) -> Callable[[], object] | None:
        now = self.clock()
        with self._lock:
            self._settle_top()
            if not self._heap or self._heap[0][0] > now:
                return None
            timer = heapq.heappop(self._heap)[2]
            call = timer._call
            if timer.period is None:
                timer._call = None
            else:
                missed = (now - timer.deadline) // timer.period
                timer.deadline += timer.period * (missed + 1)
                self._push(timer)
            return call


def _stands(entry: tuple[float, int, Timer]) -> bool:
    """Say whether a place in the heap is that of a timer which is to be called."""
    _, place, timer = entry
    return timer._call is not None and timer._place == place
