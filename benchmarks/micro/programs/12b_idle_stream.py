"""12b: what a process grows by for each idle stream that Python opens.

Both ends of all connections are open before, as descriptors. What is measured is
`CompletionPort.open_stream` and `Stream.start`: small objects of Python's are not in malloc's
statistics, so these are the core's bytes; `tracemalloc`, in a process of its own since it takes
memory itself, gives those of Python's objects. Resident memory comes in pages, so that it is more
than both, and includes what malloc keeps for later.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import socket
import sys
import tracemalloc
from pathlib import Path

from benchmarks.micro.beside_python import CannotRun, Words, python_main
from proactor import CompletionPort, EngineUnavailable, OverlappedSocket, Stream
from proactor.engines import choose
from proactor.framing import PacketFraming

STREAMS = 2000
SPARE_DESCRIPTORS = 100
CASES = {"epoll": 512.0, "io_uring": 512.0}
WORDS = Words(
    number="12b",
    name="idle-stream",
    title="the core's memory for each of 2,000 idle streams that Python opened",
    unit="bytes a stream, beside Python's objects",
    parts_unit="bytes a stream",
    choice="best",
    reason="bytes are counted, not sampled, and only other work in the process could add some",
    is_least=False,
    repeats=1,
)


class Silent:
    """A sink whose streams are idle."""

    def received(self, item: object) -> None:
        """Nothing comes."""

    def told(self, news: object) -> None:
        """Nothing is told."""

    def ended(self, end: object, detail: str) -> None:
        """The program is over."""

    def failed(self, error: BaseException) -> None:
        """Nothing is called that could."""


class Statistics(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        *((f"before_{index}", ctypes.c_size_t) for index in range(4)),
        ("mapped", ctypes.c_size_t),
        *((f"between_{index}", ctypes.c_size_t) for index in range(2)),
        ("used", ctypes.c_size_t),
        *((f"after_{index}", ctypes.c_size_t) for index in range(2)),
    ]


def malloc_bytes() -> int:
    """Return what malloc has given out and not got back."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        raise CannotRun("this needs mallinfo2, of glibc 2.33 or later") from None
    mallinfo2.restype = Statistics
    found = mallinfo2()
    return int(found.used) + int(found.mapped)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def near_ends(count: int) -> list[int]:
    """Return one end of each of `count` connections over the loopback; the others stay open."""
    made = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(count):
            socket.create_connection(listener.getsockname()).detach()
            made.append(listener.accept()[0].detach())
    return made


def grown(engine: str, count: int, traced: bool) -> dict[str, float] | str:
    """Open `count` streams; return the growth a stream, or why that cannot be."""
    os.environ[choose.VARIABLE] = engine
    try:
        choose.current()
    except EngineUnavailable as error:
        return str(error)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    before = count // 2
    count = min(count, (allowed - SPARE_DESCRIPTORS) // 2 - before)
    port, sink, framing = CompletionPort(), Silent(), PacketFraming()
    ends = near_ends(before + count)
    kept: list[Stream | None] = [None] * len(ends)

    def open_one(index: int) -> None:
        sock = OverlappedSocket.adopt(socket.socket(fileno=ends[index]))
        stream = port.open_stream(sock, sink, framing)
        stream.start()
        kept[index] = stream

    # What the first stream of a process needs is not a stream's; and there is free memory in the
    # pages of every process that has imported things, which the first streams get.
    for index in range(before):
        open_one(index)
    gc.collect()
    if traced:
        tracemalloc.start()
    python, core, resident = tracemalloc.get_traced_memory()[0], malloc_bytes(), resident_bytes()
    for index in range(before, len(ends)):
        open_one(index)
    core, resident = malloc_bytes() - core, resident_bytes() - resident
    gc.collect()
    python = tracemalloc.get_traced_memory()[0] - python
    growth = {"core": core, "Python": python, "resident": resident}
    return {name: value / count for name, value in growth.items()}


def measured_apart(engine: str, count: int, traced: bool) -> dict[str, float]:
    """Return `grown` of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(grown, (engine, count, traced))
    if isinstance(found, str):
        raise CannotRun(found)
    return found


def run(name: str, scale: float) -> tuple[float, dict[str, float]]:
    """Measure one case; return the core's bytes, and what goes with them."""
    count = max(50, round(STREAMS * min(scale, 1)))
    plain = measured_apart(name, count, traced=False)
    traced = measured_apart(name, count, traced=True)
    parts = {
        "the core": plain["core"],
        "objects of Python": traced["Python"],
        "resident, all of it": plain["resident"],
    }
    return plain["core"], parts


if __name__ == "__main__":
    sys.exit(python_main(WORDS, CASES, run))
