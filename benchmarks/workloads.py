"""What is measured: the workloads, and the bars that our own servers are held to.

A bar is a ratio within one run, or a plain rate. It binds the engines that it names; for the others
the same figure is shown as a distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

Figure = Literal["rate", "cpu", "p50", "wakes_a_packet"]

NATIVE: Final = ("io_uring", "epoll")
"""The engines that must not be slower than others' compiled code."""


@dataclass(frozen=True)
class Bar:
    """One line of what is to be reached.

    Attributes:
        server: Whose figure, without its engine.
        figure: Which figure.
        against: Divided by whose (a server's, or ``C``: the better ceiling); "" for the figure.
        bound: At least this for a rate, at most this for the others.
        engines: Which engines it binds.
    """

    server: str
    figure: Figure
    against: str
    bound: float
    engines: tuple[str, ...]

    def is_met(self, value: float) -> bool:
        """Say whether `value` is on the right side of the bound."""
        return value >= self.bound if self.figure == "rate" else value <= self.bound

    def __str__(self) -> str:
        """Return the bar in words."""
        what = {"cpu": "CPU a message", "wakes_a_packet": "wake-ups a packet"}.get(self.figure)
        side = "at least" if self.figure == "rate" else "at most"
        of = f" x {self.against}" if self.against else " a second" if self.figure == "rate" else ""
        return f"{what or self.figure} {side} {self.bound:,.10g}{of}"


@dataclass(frozen=True)
class Workload:
    """Something to measure every server of its kind with.

    Attributes:
        name: Its name on the command line.
        words: What it is.
        connections, size: Of the load; `connections` is 0 where there are no sockets.
        workers: Threads that take posted packets; 0 where there are sockets.
    """

    name: str
    words: str
    connections: int = 0
    size: int = 0
    workers: int = 0
    bars: tuple[Bar, ...] = field(default=())

    @property
    def is_echo(self) -> bool:
        """True if a load talks to a server; False if threads post to a port."""
        return self.connections > 0


def _posts(workers: int) -> Workload:
    takers = "1 worker" if workers == 1 else f"{workers} workers"
    bars = (
        Bar("port", "rate", "", 300_000, NATIVE),
        Bar("port", "wakes_a_packet", "", 0.05, NATIVE),
    )
    words = f"packets posted by 4 threads, taken by {takers}"
    return Workload(f"posts-{workers}", words, workers=workers, bars=bars)


WORKLOADS: Final = (
    Workload(
        "echo-1k",
        "100 connections, 1 KiB messages",
        connections=100,
        size=1024,
        bars=(
            Bar("port-1", "rate", "uvloop", 1.0, ("io_uring",)),
            Bar("port-1", "rate", "uvloop", 0.95, ("epoll",)),
            Bar("port-1", "cpu", "C", 1.35, ("io_uring",)),
            Bar("completion-port", "rate", "asyncio", 0.6, ("selectors",)),
        ),
    ),
    Workload(
        "echo-64k",
        "100 connections, 64 KiB messages",
        connections=100,
        size=65536,
        bars=(Bar("port-1", "cpu", "uvloop", 1.0, NATIVE),),
    ),
    Workload(
        "ping-pong",
        "1 connection, 1 KiB messages",
        connections=1,
        size=1024,
        bars=(
            Bar("port-1", "p50", "uvloop", 1.1, NATIVE),
            Bar("port-5", "p50", "uvloop", 2.0, NATIVE),
        ),
    ),
    Workload(
        "echo-10k",
        "10,000 connections, 128 B messages",
        connections=10_000,
        size=128,
        bars=(Bar("port-1", "cpu", "C", 1.15, NATIVE),),
    ),
    _posts(1),
    _posts(2),
    _posts(4),
)
