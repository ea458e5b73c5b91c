"""Posts to our port from four threads, taken by ``--workers`` threads with `get_many`."""

from __future__ import annotations

from benchmarks.peers.posting import Posting, parse, report
from proactor import CompletionPort, PortClosed
from proactor.engines import choose


def main() -> None:
    """Measure, and print the engine's own counters beside the figures."""
    workers, seconds = parse()
    port = CompletionPort()

    def take(taken: list[int], slot: int) -> None:
        get_many = port.get_many
        try:
            while True:
                taken[slot] += len(get_many())
        except PortClosed:
            return

    figures = Posting(lambda: port.post("key"), take, port.close, workers).measure(seconds)
    counters, posted = choose.current().statistics(), port.statistics().posted
    wakes = counters.get("wakes_sent", counters.get("wakes"))  # Natively, and in Python.
    if wakes is not None:
        figures["wakes_a_packet"] = wakes / posted
    report(figures, posted=posted, engine=counters)


if __name__ == "__main__":
    main()
