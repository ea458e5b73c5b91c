"""What every Python server here does around its loop: many descriptors, a printed port, an end.

A server prints its port and ends when its standard input does, so that none outlives the run that
started it, however that run ends.
"""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable


def announce(port: int, stop: Callable[[], object]) -> None:
    """Print `port`; call `stop`, in a thread of its own, when the standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(port, flush=True)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop()

    threading.Thread(target=wait_for_the_end, name="end of input", daemon=True).start()
