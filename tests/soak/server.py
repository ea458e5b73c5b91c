"""The server of a soak, in a process of its own: an echo on a port that also cancels and closes.

Most sessions only echo. One whose first byte is `VICTIM` is the soak's own: after a moment its
operations are cancelled, or it is closed or reset while they are in flight. Each line on the
standard input is answered by a line of JSON that counts; the end of the input ends the server.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
from typing import Any

from proactor import CompletionPort, OperationKind, Overlapped, OverlappedSocket, WorkerPool

VICTIM = 0xFF
_BUFFER = 8192


class Session:
    """One client: a receive, then the send of what it brought."""

    def __init__(self, sock: OverlappedSocket) -> None:
        """Take over `sock`, which is attached."""
        self.sock = sock
        self.buffer = bytearray(_BUFFER)
        self.overlapped = Overlapped(self)
        self.is_new = True


class Server:
    """Accepts, echoes, plagues its victims, and counts."""

    def __init__(self) -> None:
        """Listen, with some accepts in flight."""
        self.port = CompletionPort(4)
        self.listener = OverlappedSocket.adopt(socket.create_server(("127.0.0.1", 0), backlog=512))
        self.port.attach(self.listener)
        self.lock = threading.Lock()
        self.sessions: set[Session] = set()
        self.victims: list[Session] = []
        self.counts = dict.fromkeys(
            ("started", "indicated", "served", "messages", "cancels", "resets", "closes"), 0
        )
        for _ in range(8):
            self._start(lambda o: self.listener.accept(o), Overlapped())

    def count(self, name: str, by: int = 1) -> None:
        """Count."""
        with self.lock:
            self.counts[name] += by

    def _start(self, call: Any, overlapped: Overlapped) -> bool:
        self.count("started")
        try:
            call(overlapped)
        except OSError:
            self.count("started", -1)  # A call that is refused indicates nothing.
            return False
        return True

    def serve(self, packet: Any) -> None:
        """Handle one packet."""
        self.count("indicated")
        overlapped = packet.overlapped
        if overlapped.kind is OperationKind.ACCEPT:
            self._accepted(packet)
            return
        session: Session = overlapped.owner
        if packet.error is not None or not packet.transferred:
            self._end(session)
        elif overlapped.kind is OperationKind.SEND:
            self._receive(session)
        else:
            self._echo(session, packet.transferred)

    def _accepted(self, packet: Any) -> None:
        accepted = packet.overlapped.accepted
        self._start(lambda o: self.listener.accept(o), packet.overlapped)
        if accepted is None:
            return
        session = Session(accepted)
        with self.lock:
            self.sessions.add(session)
            self.counts["served"] += 1
        self.port.attach(accepted)
        self._receive(session)

    def _receive(self, session: Session) -> None:
        if not self._start(lambda o: session.sock.recv(session.buffer, o), session.overlapped):
            self._end(session)

    def _echo(self, session: Session, count: int) -> None:
        if session.is_new and session.buffer[0] == VICTIM:
            with self.lock:
                self.victims.append(session)
        session.is_new = False
        self.count("messages")
        view = memoryview(session.buffer)[:count]
        if not self._start(lambda o: session.sock.send(view, o), session.overlapped):
            self._end(session)

    def _end(self, session: Session) -> None:
        session.sock.close()
        with self.lock:
            self.sessions.discard(session)

    def plague(self, stop: threading.Event) -> None:
        """Cancel, close and reset victims, until `stop`."""
        dice = random.Random(7)
        while not stop.wait(0.02):
            with self.lock:
                victims, self.victims = self.victims, []
            for session in victims:
                what = dice.choice(("cancels", "resets", "closes"))
                self.count(what)
                if what == "cancels":
                    session.sock.cancel()  # What is in flight ends, and the session with it.
                elif what == "resets":
                    session.sock.abort()
                else:
                    session.sock.close()
                if what != "cancels":
                    self._end(session)
                elif session in self.sessions:
                    self.victims.append(session)  # Nothing was in flight: once more.

    def report(self) -> str:
        """Return the counters as a line of JSON."""
        with self.lock:
            return json.dumps({**self.counts, "sessions": len(self.sessions)})


def main() -> None:
    """Serve until the input ends."""
    server, stop = Server(), threading.Event()
    plague = threading.Thread(target=server.plague, args=(stop,))
    plague.start()
    with WorkerPool(server.port, server.serve, count=4):
        print(server.listener.getsockname()[1], flush=True)
        for _ in sys.stdin:
            print(server.report(), flush=True)
    stop.set()
    plague.join()
    server.listener.close()
    server.port.close()


if __name__ == "__main__":
    main()
