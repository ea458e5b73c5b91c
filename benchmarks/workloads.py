"""What is measured: the workloads, who is measured with each, and the bars of our own servers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from benchmarks.bars import NATIVE, Bar, Figure, cores, native

__all__ = ["NATIVE", "WORKLOADS", "Bar", "Figure", "Workload"]

Service = Literal["echo", "framed", "fanout", "burn", "posts"]
"""What a server does: send back bytes, or frames; send frames to all; compute first; take posts."""

_CEILINGS: Final = ("c-epoll", "c-uring")
_PEERS: Final = ("asyncio", "uvloop", "aiofastnet")
_CORES: Final = (
    *("session-1@io_uring", "session-1@epoll", "session-1@selectors"),
    *("session-5@io_uring", "session-5@epoll"),
)
"""The server core; with five workers only where the engine is native, since time is short."""
_PORTS: Final = tuple(f"stream-port-1@{engine}" for engine in NATIVE)


@dataclass(frozen=True)
class Workload:
    """Something to measure every server of its kind with.

    Attributes:
        name: Its name on the command line.
        words: What it is.
        service: What the servers do.
        servers: Who is measured if nobody else is asked for: names, or names with an engine.
        connections, size: Of the load; `connections` is 0 where there are no sockets.
        depth: Messages in flight on each connection that sends.
        senders: How many connections send; 0: all.
        workers: Threads that take posted packets; 0 where there are sockets.
        is_idle: Nothing is sent but one message each: the memory is what is measured, once.
        needs_cpus: The server is given every CPU.
        needs_no_gil: Without a free-threaded interpreter there is nothing to be seen.
    """

    name: str
    words: str
    service: Service = "echo"
    servers: tuple[str, ...] = ()
    connections: int = 0
    size: int = 0
    depth: int = 1
    senders: int = 0
    workers: int = 0
    is_idle: bool = False
    needs_cpus: bool = False
    needs_no_gil: bool = False
    bars: tuple[Bar, ...] = ()

    @property
    def has_load(self) -> bool:
        """True if a load talks to a server; False if threads post to a port."""
        return self.service != "posts"

    @property
    def traffic(self) -> str:
        """What the load is told to send."""
        return self.service if self.service in ("framed", "fanout") else "echo"

    def with_connections(self, connections: int) -> Workload:
        """Return the same with another number of connections, without bars, and saying so."""
        if not self.has_load:
            return self
        words = f"{connections:,} connections instead of {self.connections:,}"
        return replace(self, words=words, connections=connections, bars=())


def _fan_out(depth: int, bound: float) -> Workload:
    return Workload(
        f"fanout-{depth}",
        f"one sends frames of 132 B to 500 sessions, {depth} in flight",
        service="fanout",
        servers=("asyncio", "uvloop", *_CORES, *(f"room-1@{engine}" for engine in NATIVE)),
        connections=500,
        size=132,
        depth=depth,
        senders=1,
        bars=cores("rate", "uvloop", bound),
    )


def _posts(workers: int) -> Workload:
    takers = "1 worker" if workers == 1 else f"{workers} workers"
    return Workload(
        f"posts-{workers}",
        f"packets posted by 4 threads, taken by {takers}",
        service="posts",
        servers=("simple-queue", "port@io_uring", "port@epoll", "port@selectors"),
        workers=workers,
        bars=(
            Bar("port", "rate", "", 300_000, NATIVE),
            Bar("port", "wakes_a_packet", "", 0.05, NATIVE),
        ),
    )


WORKLOADS: Final = (
    Workload(
        "echo-1k",
        "100 connections, 1 KiB messages",
        servers=(
            *(*_CEILINGS, *_PEERS, "core-echo", *_CORES, *_PORTS),
            *(*(f"port-1@{engine}" for engine in NATIVE), "completion-port@selectors"),
        ),
        connections=100,
        size=1024,
        bars=(
            *cores("cpu", "C", 1.1),
            *cores("rate", "uvloop", 1.25),
            Bar("session-1", "rate", "asyncio", 0.6, ("selectors",)),
            Bar("stream-port-1", "rate", "uvloop", 1.0, ("io_uring",)),
            Bar("stream-port-1", "rate", "uvloop", 0.95, ("epoll",)),
            Bar("stream-port-1", "cpu", "C", 1.35, ("io_uring",)),
            Bar("core-echo", "cpu", "C", 1.05, NATIVE),
            Bar("completion-port", "rate", "asyncio", 0.6, ("selectors",)),
        ),
    ),
    Workload(
        "echo-64k",
        "100 connections, 64 KiB messages",
        servers=(*_CEILINGS, *_PEERS, *_CORES, *_PORTS),
        connections=100,
        size=65536,
        bars=(
            *cores("cpu", "uvloop", 1.0),
            Bar("stream-port-1", "cpu", "uvloop", 1.0, NATIVE),
        ),
    ),
    Workload(
        "ping-pong",
        "1 connection, 1 KiB messages",
        servers=(*_CEILINGS, *_PEERS, *_CORES, *_PORTS, *(f"stream-port-5@{e}" for e in NATIVE)),
        connections=1,
        size=1024,
        bars=(
            *native("session-1", "p50", "uvloop", 1.1),
            *native("session-5", "p50", "uvloop", 2.0),
            Bar("stream-port-1", "p50", "uvloop", 1.1, NATIVE),
            Bar("stream-port-5", "p50", "uvloop", 2.0, NATIVE),
        ),
    ),
    Workload(
        "echo-10k",
        "10,000 connections, 128 B messages",
        servers=(*_CEILINGS, "asyncio", "uvloop", *_CORES, *_PORTS),
        connections=10_000,
        size=128,
        bars=(*cores("cpu", "C", 1.1), Bar("stream-port-1", "cpu", "C", 1.15, NATIVE)),
    ),
    Workload(
        "framed",
        "100 connections, packets of 36 B, 16 in flight on each",
        service="framed",
        servers=(*_PEERS, "uvloop-gathered", *_CORES),
        connections=100,
        size=36,
        depth=16,
        bars=(*cores("rate", "uvloop", 5.0), *cores("rate", "uvloop-gathered", 1.4)),
    ),
    _fan_out(8, 4.0),
    _fan_out(1, 1.3),
    Workload(
        "idle",
        "10,000 sessions that connect, say one word and wait",
        servers=("c-epoll", "c-uring", "asyncio", "uvloop", *_CORES),
        connections=10_000,
        size=128,
        is_idle=True,
        bars=(
            Bar("session-1", "own_bytes", "", 512, NATIVE),
            Bar("session-5", "own_bytes", "", 512, NATIVE),
        ),
    ),
    Workload(
        "cpu-bound",
        "100 connections, handlers of 50 us of Python, 1 worker and 2",
        service="burn",
        servers=tuple(f"session-{workers}@{engine}" for engine in NATIVE for workers in (1, 2)),
        connections=100,
        size=64,
        needs_cpus=True,
        needs_no_gil=True,
        bars=(Bar("session-2", "rate", "session-1", 1.8, NATIVE),),
    ),
    _posts(1),
    _posts(2),
    _posts(4),
)
