"""Other processes, as a test sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import psutil


def at_rest(process: psutil.Process) -> Callable[[], bool]:
    """Return a question: has the main thread slept without a break at the last ten of them?

    One look would not do: it also sleeps for a moment where it waits for a lock.
    """
    looks: deque[int] = deque(maxlen=10)

    def question() -> bool:
        looks.append(process.num_ctx_switches().voluntary)
        is_asleep = process.status() == psutil.STATUS_SLEEPING
        return is_asleep and len(looks) == looks.maxlen and len(set(looks)) == 1

    return question
