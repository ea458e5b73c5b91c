"""The same with the standard library's fastest queue between threads, which is written in C."""

from __future__ import annotations

import queue

from benchmarks.peers.posting import Posting, parse, report


def main() -> None:
    """Measure."""
    workers, seconds = parse()
    items: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def take(taken: list[int], slot: int) -> None:
        get = items.get
        while get() is not None:
            taken[slot] += 1

    def end() -> None:
        for _ in range(workers):
            items.put(None)

    report(Posting(lambda: items.put("key"), take, end, workers).measure(seconds))


if __name__ == "__main__":
    main()
