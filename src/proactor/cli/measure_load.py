"""The load of a measurement, in a process of its own: clients that send, await the echo, repeat.

Started as ``python -m proactor.cli.measure_load PORT CONNECTIONS SIZE SECONDS CPU``. It connects,
warms up, prints ``ready``, waits for a line on its standard input, runs, and prints one JSON
object. A closed loop: each client has one message in flight, and every reply is compared with
what was sent. It must cost less than any server it drives, hence one thread, buffers made
beforehand and no object for a message; its own CPU time is reported, so that this can be checked.
"""

from __future__ import annotations

import gc
import json
import selectors
import socket
import sys
import time
from typing import Any, Final

from proactor.cli.pinning import pin

PATIENCE: Final = 5.0
"""Seconds without any reply after which the server counts as stalled."""

WARM_UP: Final = 0.2
"""Seconds of load before the measurement, at most."""


class LoadError(Exception):
    """The server did not do what an echo server does."""


class _Client:
    """One connection with at most one message in flight."""

    def __init__(self, number: int, port: int, size: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        # Two messages that differ, so that neither another client's nor an old reply passes.
        texts = [f"<client {number} {word}>".encode() for word in ("tick", "tock")]
        self.messages = [(text * (size // len(text) + 1))[:size] for text in texts]
        self.buffer = bytearray(size)
        self.whole = self.rest = memoryview(self.buffer)
        self.sent_at = 0.0

    def send(self, now: float) -> None:
        """Send the other one of the two messages."""
        self.messages.reverse()
        self.sent_at = now
        count = self.sock.send(self.messages[0])
        if count < len(self.messages[0]):
            self.sock.settimeout(PATIENCE)
            self.sock.sendall(memoryview(self.messages[0])[count:])
            self.sock.setblocking(False)

    def has_reply(self) -> bool:
        """Take what has come; True if the reply is whole, and right."""
        count = self.sock.recv_into(self.rest)
        if count < len(self.rest):
            if count == 0:
                raise LoadError("the server closed a connection")
            self.rest = self.rest[count:]
            return False
        self.rest = self.whole
        if self.buffer != self.messages[0]:
            raise LoadError("a reply differs from what was sent")
        return True


class _Load:
    def __init__(self, port: int, connections: int, size: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.clients = []
        for number in range(connections):
            client = _Client(number, port, size)
            self.clients.append(client)
            self.selector.register(client.sock, selectors.EVENT_READ, client)

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Keep every client busy for `seconds`, then await the last replies.

        Returns:
            How many replies came within the time, and how long each took, also the last ones.
        """
        clock = time.perf_counter
        waits: list[float] = []
        within = 0
        in_flight = len(self.clients)
        deadline = clock() + seconds
        for client in self.clients:
            client.send(clock())
        while in_flight:
            ready = self.selector.select(PATIENCE)
            if not ready:
                raise LoadError(f"no reply for {PATIENCE:.0f} s with {in_flight} in flight")
            for key, _ in ready:
                client = key.data
                if client.has_reply():
                    now = clock()
                    waits.append(now - client.sent_at)
                    if now < deadline:
                        within += 1
                        client.send(now)
                    else:
                        in_flight -= 1
        return within, waits

    def close(self) -> None:
        self.selector.close()
        for client in self.clients:
            client.sock.close()


def _measure(port: int, connections: int, size: int, seconds: float) -> dict[str, Any]:
    load = _Load(port, connections, size)
    try:
        load.run(min(WARM_UP, seconds))
        gc.collect()
        gc.disable()
        print("ready", flush=True)
        sys.stdin.readline()
        cpu_before = time.process_time()
        within, waits = load.run(seconds)
        cpu = time.process_time() - cpu_before
    finally:
        load.close()
    waits.sort()
    return {
        "rate": within / seconds,
        "messages": len(waits),
        "p50": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "load_share": cpu / seconds,
    }


def main() -> None:
    """Run the load that the command line describes and print what came of it."""
    port, connections, size = (int(argument) for argument in sys.argv[1:4])
    seconds, cpu = float(sys.argv[4]), int(sys.argv[5])
    pin(cpu)
    try:
        answer = _measure(port, connections, size, seconds)
    except (LoadError, OSError) as error:
        answer = {"error": str(error) or type(error).__name__}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
