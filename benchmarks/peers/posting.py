"""Threads that post and threads that take: what a queue between threads carries a second.

A peer gives its queue as three calls. Posters run ahead of takers by a bounded window, as all must
that lives for longer than a benchmark. At the end every posted item was taken, or it fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable

POSTERS = 4
WINDOW = 10_000
BURST = 64
WARMUP = 0.3
PATIENCE = 10.0


class Posting:
    """One measurement: each thread writes its own slot of the counts, the main thread reads.

    Args:
        post: Posts one item.
        take: Takes items until the end, adding up their number in ``taken[slot]``.
        end: Ends every `take`; the queue is empty when it is called.
        workers: How many threads take.
    """

    def __init__(
        self,
        post: Callable[[], object],
        take: Callable[[list[int], int], object],
        end: Callable[[], object],
        workers: int,
    ) -> None:
        """Start nothing yet."""
        self._post, self._take, self._end = post, take, end
        self._posted = [0] * POSTERS
        self._taken = [0] * workers
        self._is_ending = False

    def measure(self, seconds: float) -> dict[str, float]:
        """Return rate and CPU time of `seconds`, after a warm-up.

        Raises:
            SystemExit: Not every posted item was taken.
        """
        takers = [
            threading.Thread(target=self._take, args=(self._taken, slot), daemon=True)
            for slot in range(len(self._taken))
        ]
        posters = [threading.Thread(target=self._post_on, args=(i,)) for i in range(POSTERS)]
        for thread in takers + posters:
            thread.start()
        time.sleep(WARMUP)
        before, cpu, began = sum(self._taken), time.process_time(), time.monotonic()
        time.sleep(seconds)
        items, took = sum(self._taken) - before, time.monotonic() - began
        cpu = time.process_time() - cpu
        self._is_ending = True
        for thread in posters:
            thread.join()
        self._wait_until_empty()
        self._end()
        for thread in takers:
            thread.join(PATIENCE)
        return {"messages": items, "seconds": took, "rate": items / took, "server_cpu": cpu}

    def _wait_until_empty(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while sum(self._taken) != sum(self._posted):
            if time.monotonic() > deadline:
                sys.exit(f"{sum(self._posted)} were posted, {sum(self._taken)} taken")
            time.sleep(0.001)

    def _post_on(self, slot: int) -> None:
        while not self._is_ending:
            for _ in range(BURST):
                self._post()
            self._posted[slot] += BURST
            while sum(self._posted) - sum(self._taken) > WINDOW and not self._is_ending:
                time.sleep(0.0005)


def parse() -> tuple[int, float]:
    """Return the values of ``--workers`` and ``--seconds``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    return given.workers, given.seconds


def report(figures: dict[str, float], **more: object) -> None:
    """Print the figures as one JSON object."""
    print(json.dumps({**figures, **more}))
