"""``make soak``: minutes of mixed load on a port server, on each native engine; it must stay flat.

Clients connect, echo messages of random sizes, close, half-close, reset and leave with echoes on
their way (`tests.stress.crowd`); others send and never read, and are cancelled, closed or reset by
the server. A line every ten seconds, a verdict at the end, and status 1 if anything is wrong.

    python -m tests.soak [MINUTES [ENGINE ...]]
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time

from tests.differential.engines import native_engines
from tests.soak.server import VICTIM
from tests.soak.watch import Sample, Watched, complaints
from tests.stress.crowd import Crowd

CLIENTS = 60
STALLED = 6
LINE_EVERY = 10.0
SAMPLE_EVERY = 0.5


def stall(address: tuple[str, int], stop: threading.Event) -> None:
    """Be one client after another that sends and never reads, until the server ends each."""
    dice = random.Random(address[1])
    while not stop.is_set():
        with socket.create_connection(address, timeout=5) as client:
            client.settimeout(0.5)
            try:
                client.send(bytes([VICTIM]) + dice.randbytes(dice.randint(0, 2000)))
                while not stop.is_set():
                    client.send(dice.randbytes(30_000))
            except OSError:
                continue  # It is full and stays so, or the server has ended it.


def watch(server: Watched, seconds: float, samples: list[Sample]) -> None:
    """Sample `server` for `seconds`, and print a line now and then."""
    began = time.monotonic()
    next_line = LINE_EVERY
    while (at := time.monotonic() - began) < seconds:
        samples.append(server.sample(at))
        if at >= next_line:
            next_line += LINE_EVERY
            show(samples[-1])
        time.sleep(SAMPLE_EVERY)
    show(samples[-1])


def show(sample: Sample) -> None:
    """Print one line."""
    counts = sample.counts
    print(
        f"{sample.at:6.0f} s  {counts['served']:8d} clients  {counts['messages']:9d} messages  "
        f"{counts['cancels']:5d} cancelled  {counts['resets']:5d} reset  "
        f"{counts['sessions']:4d} here  {sample.resident:7d} KiB  {sample.descriptors:4d} fds",
        flush=True,
    )


def settled(server: Watched, at: float) -> Sample:
    """Wait until the last client has been taken leave of, and look."""
    deadline = time.monotonic() + 10
    while True:
        sample = server.sample(at)
        counts = sample.counts
        quiet = not counts["sessions"] and counts["started"] - counts["indicated"] == 8
        if quiet or time.monotonic() > deadline:
            return sample
        time.sleep(0.05)


def soak(engine: str, seconds: float) -> list[str]:
    """Soak one engine; return what is wrong."""
    server, stop = Watched(engine), threading.Event()
    samples: list[Sample] = []
    before = server.sample(0.0)
    crowd = Crowd(server.address, CLIENTS, seed=1)
    threads = [threading.Thread(target=stall, args=(server.address, stop)) for _ in range(STALLED)]
    threads.append(threading.Thread(target=watch, args=(server, seconds, samples)))
    for thread in threads:
        thread.start()
    crowd.run(seconds)
    threads[-1].join()
    stop.set()
    for thread in threads:
        thread.join()
    idle = settled(server, seconds)
    show(idle)
    found = complaints(samples, idle, before, server.end())
    return found + [f"a client: {fault}" for fault in crowd.faults[:5]]


def main() -> int:
    """Soak what is asked for; return the exit status."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    engines = sys.argv[2:] or list(native_engines())
    if not engines:
        print("LEFT OUT: no native engine can be opened on this machine")
    wrong = False
    for engine in engines:
        print(f"== {engine}, {minutes:g} minutes", flush=True)
        found = soak(engine, minutes * 60)
        wrong = wrong or bool(found)
        print(f"{engine}: " + ("; ".join(found) if found else "flat, and nothing is left"))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
