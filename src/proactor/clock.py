"""Monotonic deadlines: a relative time-out is turned into one once, at the public call.

Every wait below a public call takes the time that is left from here, so that a wait which is
woken early and goes on never waits longer than its caller asked for. The main thread, in which
signal handlers run, waits in parts.
"""

from __future__ import annotations

import threading
import time

LONGEST_WAIT = 86400.0
"""The most seconds given to one system call; kernels refuse, or overflow at, far larger ones.

A wait is a loop that looks at its deadline, so a longer time-out, also an infinite one, is met.
"""

LOOKS_AT_SIGNALS = 1.0
"""Seconds after which a wait of the main thread looks whether a signal came.

Python's handlers run there. A signal that comes in the moment between the interpreter's look and
the system call that waits interrupts nothing: without another look Ctrl-C would be lost.
"""


def deadline_after(timeout: float | None) -> float | None:
    """Return the monotonic time `timeout` seconds from now; None (for ever) stays None.

    Raises:
        ValueError: `timeout` is negative or not a number.
    """
    if timeout is None:
        return None
    if not timeout >= 0.0:
        raise ValueError(f"a time-out is a number of seconds, zero or more, not {timeout!r}")
    return time.monotonic() + timeout


def seconds_left(deadline: float | None) -> float | None:
    """Return how many seconds are left, from 0 to `LONGEST_WAIT`; None if there is no deadline."""
    if deadline is None:
        return None
    return min(max(0.0, deadline - time.monotonic()), LONGEST_WAIT)


def in_main_thread() -> bool:
    """Say whether the calling thread is the one that runs signal handlers."""
    return threading.get_ident() == threading.main_thread().ident


def heeding_signals(timeout: float | None) -> float | None:
    """Return how much of `timeout` the calling thread may give to one system call."""
    if not in_main_thread():
        return timeout
    return LOOKS_AT_SIGNALS if timeout is None else min(timeout, LOOKS_AT_SIGNALS)
