"""Our server core: a session that sends back what it receives.

    python -m benchmarks.peers.session_echo [--workers N] [--burn MICROSECONDS]

With ``--burn`` a handler computes for so long in Python before it replies.
"""

from __future__ import annotations

import time

from benchmarks.peers import sessions
from proactor import Session

CALIBRATION = 0.05
"""Seconds in which the loop is timed."""

size_of_first = 0
"""Of the session that connected first; looking at all would make them larger."""

steps = 0


class Echo(Session):
    """One client."""

    def on_connected(self) -> None:
        """Be measured, if it is the first."""
        global size_of_first
        size_of_first = size_of_first or sessions.size_of(self)

    def on_received(self, received: bytes) -> None:
        """Send it back."""
        self.send(received)


class BurningEcho(Session):
    """One client, whose every message costs a computation."""

    def on_received(self, received: bytes) -> None:
        """Compute, then send it back."""
        burn(steps)
        self.send(received)


def burn(count: int) -> int:
    """Take `count` steps that only Python's own bytecode does."""
    total = 0
    for number in range(count):
        total += number & 1
    return total


def steps_for(seconds: float) -> int:
    """Return how many steps last so long on this machine: the quickest of many tries counts."""
    count, best = 1000, float("inf")
    end = time.perf_counter() + CALIBRATION
    while time.perf_counter() < end:
        began = time.perf_counter()
        burn(count)
        best = min(best, time.perf_counter() - began)
    return max(1, round(count * seconds / best))


def main() -> None:
    """Serve until the standard input ends."""
    global steps
    parser = sessions.parser()
    parser.add_argument("--burn", type=float, default=0.0)
    options = parser.parse_args()
    if options.burn:
        steps = steps_for(options.burn * 1e-6)
    sessions.run(BurningEcho if options.burn else Echo, options.workers)
    if size_of_first:
        sessions.tell_size(size_of_first)


if __name__ == "__main__":
    main()
