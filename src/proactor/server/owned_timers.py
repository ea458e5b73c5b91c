"""Timers that belong to a session, a room or a server: they run in its turn, and end with it.

A timer of the queue only says that it is due; the call itself is posted to the owner, so that it
never runs beside the owner's other code. Whatever was cancelled does not run, also if it was due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proactor.timers import Timer, TimerQueue

Post = Callable[[Callable[[], object]], object]
"""Hands a call to the owner's next turn; a false answer means that the owner has ended."""


class OwnedTimer:
    """One call, once or every so often. Made by `call_later` and `call_every` of its owner."""

    __slots__ = ("_arguments", "_call", "_is_posted", "_owner", "_period", "_timer", "is_cancelled")

    def __init__(
        self,
        owner: OwnedTimers,
        call: Callable[..., object],
        arguments: tuple[Any, ...],
        period: float | None,
    ) -> None:
        """Make a timer that is not set yet."""
        self._owner = owner
        self._call = call
        self._arguments = arguments
        self._period = period
        self._timer: Timer | None = None
        self._is_posted = False
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not call any more. From the owner's turn: it is sure not to be called. Repeatable."""
        self.is_cancelled = True
        self._owner.forget(self)
        if self._timer is not None:
            self._timer.cancel()

    def set(self, queue: TimerQueue, delay: float) -> None:
        """Set it. Only its owner calls this."""
        period = self._period
        if period is None:
            self._timer = queue.call_later(delay, self._due)
        else:
            self._timer = queue.call_every(period, self._due)
        if self.is_cancelled:  # By another thread, meanwhile.
            self._timer.cancel()

    def _due(self) -> None:
        # A turn that lasts longer than the period has one call behind it, not many.
        if not self._is_posted and not self.is_cancelled:
            self._is_posted = True
            self._owner.post(self._run)

    def _run(self) -> None:
        self._is_posted = False
        if self.is_cancelled:
            return
        if self._period is None:
            self._owner.forget(self)
        self._call(*self._arguments)


class OwnedTimers:
    """The timers of one owner.

    Args:
        queue: Where they are set; None: they are set by `bind`, which comes later.
        post: How a call gets into the owner's turn.

    Thread-safe.
    """

    __slots__ = ("_is_closed", "_queue", "_set", "_unset", "post")

    def __init__(self, queue: TimerQueue | None, post: Post) -> None:
        """Begin without timers."""
        self.post = post
        self._queue = queue
        self._set: set[OwnedTimer] = set()
        self._unset: list[tuple[OwnedTimer, float]] = []
        self._is_closed = False

    def call_later(
        self, delay: float, call: Callable[..., object], arguments: tuple[Any, ...]
    ) -> OwnedTimer:
        """Call once, `delay` seconds from now. After the owner's end: never."""
        return self._start(OwnedTimer(self, call, arguments, None), delay)

    def call_every(
        self, period: float, call: Callable[..., object], arguments: tuple[Any, ...]
    ) -> OwnedTimer:
        """Call every `period` seconds, the first time after one period."""
        if not period > 0:
            raise ValueError(f"a period is a positive number of seconds, not {period!r}")
        return self._start(OwnedTimer(self, call, arguments, period), period)

    def _start(self, timer: OwnedTimer, delay: float) -> OwnedTimer:
        self._set.add(timer)
        if self._queue is None:
            self._unset.append((timer, delay))
        else:
            timer.set(self._queue, delay)
        if self._is_closed:
            timer.cancel()
        return timer

    def bind(self, queue: TimerQueue) -> None:
        """Set the timers that have waited for a queue."""
        self._queue = queue
        unset, self._unset = self._unset, []
        for timer, delay in unset:
            timer.set(queue, delay)

    def forget(self, timer: OwnedTimer) -> None:
        """Let go of a timer that has run, or is cancelled."""
        self._set.discard(timer)

    def close(self) -> None:
        """Cancel all of them, and those that are yet to be made."""
        self._is_closed = True
        for timer in list(self._set):
            timer.cancel()

    def __len__(self) -> int:
        return len(self._set)
