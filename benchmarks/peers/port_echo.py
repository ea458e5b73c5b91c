"""Our port driven from Python: `get_many` in a loop, one receive and one send a message.

    python -m benchmarks.peers.port_echo [--workers N] [--buffer BYTES] [--skip-on-success]

Nothing but the public calls, and no more around them than an echo needs. A session has one
operation in flight at a time, so the worker that took its packet is alone with it and needs no
lock. With ``--skip-on-success`` a call that completes at once queues no packet and is gone on from
in place (FILE_SKIP_COMPLETION_PORT_ON_SUCCESS), as a server that is after speed does on Windows.
"""

from __future__ import annotations

import argparse
import socket
import threading

from benchmarks.peers.serving import announce
from proactor import CompletionPacket, CompletionPort, OperationKind, Overlapped, OverlappedSocket

ACCEPTS_IN_FLIGHT = 64
MESSAGES_A_TURN = 16


class Session:
    """One client, the buffer that it is received into and sent from, and its one operation."""

    __slots__ = ("overlapped", "socket", "view")

    def __init__(self, sock: OverlappedSocket, size: int) -> None:
        """Receive up to `size` bytes at a time."""
        self.socket = sock
        self.view = memoryview(bytearray(size))
        self.overlapped = Overlapped()


class PortEcho:
    """An echo server on one port, its listener attached to it like every connection."""

    def __init__(self, *, buffer: int, skip_on_success: bool) -> None:
        """Listen on a free port of the loopback address."""
        self.port = CompletionPort()
        self._buffer = buffer
        self._skip_on_success = skip_on_success
        self._go_on = self._until_pending if skip_on_success else self._receive
        self.listener = OverlappedSocket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.port.attach(self.listener)

    def work(self) -> None:
        """Take packets and go on from them until a packet without key and overlapped comes."""
        get_many, serve = self.port.get_many, self._serve
        while True:
            for packet in get_many():
                if packet.key is not None:
                    serve(packet)
                elif packet.overlapped is not None:
                    self._welcome(packet)
                else:
                    self.port.post()  # For the next worker: one packet ends them all.
                    return

    def accept(self, overlapped: Overlapped) -> None:
        """Start an accept; its packet has no key."""
        self.listener.accept(overlapped)

    def _welcome(self, packet: CompletionPacket) -> None:
        if packet.error is not None:
            return  # The listener is closed, or this client has gone; the others still accept.
        sock: OverlappedSocket = packet.overlapped.accepted
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = Session(sock, self._buffer)
        self.port.attach(sock, session)
        if self._skip_on_success:
            sock.set_completion_modes(skip_on_success=True)
        self.accept(packet.overlapped)
        self._go_on_or_close(session)

    def _serve(self, packet: CompletionPacket) -> None:
        session: Session = packet.key
        if packet.error is not None:
            session.socket.close()
            return
        try:
            if session.overlapped.kind is OperationKind.RECV:
                self._received(session, packet.transferred)
            else:
                self._go_on(session)
        except OSError:
            session.socket.close()

    def _receive(self, session: Session) -> None:
        session.socket.recv(session.view, session.overlapped)

    def _received(self, session: Session, count: int) -> None:
        if not count:
            session.socket.close()
            return
        sent = session.socket.send(session.view[:count], session.overlapped)
        if self._skip_on_success and sent is not None:
            self._until_pending(session)

    def _until_pending(self, session: Session) -> None:
        """Receive and send until a call is pending, or until it is the others' turn."""
        sock, view, overlapped = session.socket, session.view, session.overlapped
        for _ in range(MESSAGES_A_TURN):
            count = sock.recv(view, overlapped)
            if count is None:
                return
            if not count:
                sock.close()
                return
            if sock.send(view[:count], overlapped) is None:
                return
        # As if the packet of the last send had come: it goes on with a receive.
        self.port.post(session, overlapped)

    def _go_on_or_close(self, session: Session) -> None:
        try:
            self._go_on(session)
        except OSError:
            session.socket.close()


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--buffer", type=int, default=16 * 1024)
    parser.add_argument("--skip-on-success", action="store_true")
    options = parser.parse_args()
    echo = PortEcho(buffer=options.buffer, skip_on_success=options.skip_on_success)
    for _ in range(ACCEPTS_IN_FLIGHT):
        echo.accept(Overlapped())
    announce(echo.listener.getsockname()[1], echo.port.post)
    others = [threading.Thread(target=echo.work, daemon=True) for _ in range(options.workers - 1)]
    for thread in others:
        thread.start()
    echo.work()  # The main thread is a worker too: with one there is no other thread.
    for thread in others:
        thread.join()


if __name__ == "__main__":
    main()
