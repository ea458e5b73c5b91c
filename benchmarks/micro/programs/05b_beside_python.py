"""5b: the time of an echo by the native core alone, while a thread computes in Python.

The I/O thread and the thread that serves the frames are in C; both are in this process, and so is
the thread that computes and holds the interpreter's lock. The system may put the threads where it
likes, as in life. What it shows is that no byte waits for the lock. What it cannot show is that
a CPU is free: with more threads that compute than CPUs, the scheduler's slices count, not ours,
and the case on one CPU, which has no bound, is that. The last case is for comparison: the frames
are served in Python, so each waits until the thread that computes gives the lock up.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.micro.beside_python import Words, python_main
from benchmarks.micro.building import loadable
from proactor import CompletionPort, OverlappedSocket, Stream
from proactor.framing import Packet, PacketFraming

COMPUTES = "a Python thread computes"
ALONE = "nothing computes"
ONE_CPU = "it computes on the only CPU"
SERVES = "it computes, and Python serves"

ROUNDS = 1500
ROUNDS_IN_PYTHON = 60
"""Each takes some times the interpreter's switch interval, which is 5 ms."""

CASES = {
    COMPUTES: 1000.0,
    ALONE: 0.0,
    ONE_CPU: 0.0,
    SERVES: 0.0,
}
WORDS = Words(
    number="5b",
    name="beside-python",
    title="p99 of an echo of 36 B by the core alone, while a thread computes in Python",
    unit="us",
    parts_unit="us; of a CPU",
    choice="best",
    reason="nothing makes an echo faster than it is, and much makes it slower",
    is_least=False,
    repeats=0,
)


class Computing:
    """A thread that holds the interpreter's lock whenever it can."""

    def __init__(self) -> None:
        """Start it."""
        self.share = 0.0
        self._is_over = False
        self._is_on = threading.Event()
        self._thread = threading.Thread(target=self._compute)
        self._thread.start()
        self._is_on.wait()

    def _compute(self) -> None:
        began, spent = time.monotonic(), time.thread_time()
        self._is_on.set()
        number = 1
        while not self._is_over:
            number = number * 1103515245 + 12345 & 0x7FFFFFFF
        self.share = (time.thread_time() - spent) / (time.monotonic() - began)

    def stop(self) -> None:
        """Stop it; `share` is then the part of a CPU that it had."""
        self._is_over = True
        self._thread.join()


class Echo:
    """A sink that sends back what comes."""

    stream: Stream

    def received(self, item: Packet) -> None:
        """Send it back."""
        self.stream.send(item)

    def told(self, news: object) -> None:
        """Nothing is told of so few bytes."""

    def ended(self, end: object, detail: str) -> None:
        """The program is over."""

    def failed(self, error: BaseException) -> None:
        """Let the client notice: it gets no answer, and the program is given up."""
        raise error


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of one connection over the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


@contextmanager
def served_in_python() -> Iterator[int]:
    """Have a worker in Python serve a stream; yield the client's descriptor."""
    near, far = pair()
    far.settimeout(None)
    port = CompletionPort()
    sink = Echo()

    def work() -> None:
        while not is_over.is_set():
            port.serve()

    is_over = threading.Event()
    sink.stream = port.open_stream(OverlappedSocket.adopt(near), sink, PacketFraming())
    sink.stream.start()
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield far.fileno()
    finally:
        is_over.set()
        port.post(0, None)
        worker.join()
        port.close()
        far.close()


def asked(name: str, rounds: int) -> list[float]:
    """Return the microseconds of each echo."""
    micros = (ctypes.c_double * rounds)()
    # Both calls give the lock up, and have it again once all is asked.
    native = ctypes.CDLL(str(loadable("echoing")))
    if name == SERVES:
        with served_in_python() as client:
            native.ask_all(client, rounds, micros)
    else:
        native.ask_core(rounds, micros)
    return sorted(micros)


def run(name: str, scale: float) -> tuple[float, dict[str, float]]:
    """Measure one case; return the p99 and what goes with it."""
    usual = ROUNDS_IN_PYTHON if name == SERVES else ROUNDS
    rounds = max(10, round(usual * scale))
    loadable("echoing")  # Compiled before anything computes.
    if name == ONE_CPU:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    computing = None if name == ALONE else Computing()
    try:
        micros = asked(name, rounds)
    finally:
        if computing:
            computing.stop()
    p99 = micros[rounds * 99 // 100]
    parts = {"p50": micros[rounds // 2], "p99": p99, "longest": micros[-1]}
    return p99, parts | {"CPU of what computes": computing.share if computing else 0.0}


if __name__ == "__main__":
    sys.exit(python_main(WORDS, CASES, run))
