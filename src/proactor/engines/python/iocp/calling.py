"""Around a call that may wait: its time-out, Ctrl-C, and what a routine inside it raised.

The kernel's waits know nothing of Python's signals, so the main thread, which is the one that runs
signal handlers, waits in slices. Other threads wait once.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Final

from proactor.clock import in_main_thread, seconds_left

_SLICE: Final = 250
_INFINITE: Final = 0xFFFFFFFF

# What ended a routine or an APC and is no `Exception` (a KeyboardInterrupt above all), by thread.
_escaped: Final[dict[int, BaseException]] = {}


def next_slice(deadline: float | None) -> int:
    """Return how many milliseconds the next wait of the kernel may take."""
    left = seconds_left(deadline)
    slice_ = _INFINITE if left is None else min(math.ceil(left * 1000), _INFINITE - 1)
    return min(slice_, _SLICE) if in_main_thread() else slice_


def is_over(deadline: float | None) -> bool:
    """Say whether the whole time is over, now that a slice of it is."""
    return deadline is not None and time.monotonic() >= deadline


def keep_for_the_wait(error: BaseException) -> None:
    """Keep what a routine raised: it can not pass through the kernel's frames."""
    _escaped[threading.get_ident()] = error


def raise_escaped() -> None:
    """Raise, after a wait, what a routine inside it raised."""
    if _escaped:
        error = _escaped.pop(threading.get_ident(), None)
        if error is not None:
            raise error
