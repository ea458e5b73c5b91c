"""An echo server on a port in a process of its own, until its standard input ends.

It prints its port number; and at the end, as JSON, how many faults its C library has dealt it and
what is left.
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import threading
from typing import Any

from proactor import CompletionPort, OperationKind, Overlapped, OverlappedSocket, WorkerPool
from proactor.engines import choose


class Server:
    """Accepts by overlapped accepts; each session echoes, its buffers in three parts."""

    def __init__(self) -> None:
        """Listen, with several accepts in flight."""
        self.port = CompletionPort(4)
        self.sessions = 0
        self.lock = threading.Lock()
        self.errors: list[str] = []
        self.listener = OverlappedSocket.adopt(socket.create_server(("127.0.0.1", 0)))
        self.port.attach(self.listener, self.listener)
        for _ in range(4):
            self.listener.accept(Overlapped())

    def serve(self, packet: Any) -> None:
        """Handle one packet."""
        overlapped = packet.overlapped
        if packet.error is not None:
            self.errors.append(repr(packet.error))
        elif overlapped.kind is OperationKind.ACCEPT:
            self.begin(overlapped.accepted)
            self.listener.accept(overlapped)
        elif overlapped.kind is OperationKind.SEND:
            packet.key.recv(overlapped.owner, overlapped)
        elif packet.transferred:
            packet.key.send(self.received(overlapped.owner, packet.transferred), overlapped)
        else:
            packet.key.close()
            with self.lock:
                self.sessions -= 1

    def begin(self, sock: OverlappedSocket) -> None:
        """Start a session."""
        with self.lock:
            self.sessions += 1
        self.port.attach(sock, sock)
        parts = [bytearray(1000), bytearray(3000), bytearray(4096)]
        sock.recv(parts, Overlapped(parts))

    @staticmethod
    def received(parts: list[bytearray], count: int) -> list[memoryview]:
        """Return the first `count` bytes of `parts`."""
        views = []
        for part in parts:
            views.append(memoryview(part)[:count])
            count -= len(views[-1])
        return views


def main() -> None:
    """Serve until the input ends."""
    server = Server()
    with WorkerPool(server.port, server.serve, count=3):
        print(server.listener.getsockname()[1], flush=True)
        sys.stdin.read()
    faults = getattr(ctypes.CDLL(None), "proactor_faults", int)
    report = {
        "engine": choose.current().name,
        "faults": faults(),
        "errors": server.errors,
        "sessions": server.sessions,
    }
    print(json.dumps(report), flush=True)
    server.listener.close()
    server.port.close()


if __name__ == "__main__":
    main()
