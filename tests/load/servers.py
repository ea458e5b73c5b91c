"""Tiny servers for the load: right ones, and ones that do one certain thing wrong."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable

from tests.support.sockets import LIMIT, plain_listener

Answer = Callable[[int, int, bytes], bytes | None]
"""Called with connection, message (0 is the greeting) and its bytes; None closes the connection."""

HELLO = 0xFFFFFFFF


def echoed(connection: int, message: int, content: bytes) -> bytes:
    return content


class ThreadedServer:
    """A listener on loopback with a thread for each connection."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.listener = plain_listener(family)
        self.listener.settimeout(None)
        self.port: int = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.accepted: list[float] = []
        self.socks: list[socket.socket] = []
        self._accepts = threading.Thread(target=self._accept, daemon=True)
        self._accepts.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted.append(time.monotonic())
            self.socks.append(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(
                target=self._serve_and_close, args=(len(self.threads), sock), daemon=True
            )
            self.threads.append(thread)
            thread.start()

    def _serve_and_close(self, number: int, sock: socket.socket) -> None:
        with sock:
            try:
                self.serve(number, sock)
            except OSError:
                return  # The load resets a connection that it gives up.

    def serve(self, number: int, sock: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End the listener and every connection, and join the threads."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # Ends an accept that waits, on Linux.
        except OSError:
            socket.create_connection(self.listener.getsockname(), LIMIT).close()
        self.listener.close()
        self._accepts.join(LIMIT)
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # It is closed already.
        for thread in self.threads:
            thread.join(LIMIT)


def exactly(sock: socket.socket, count: int) -> bytes:
    """Return `count` bytes, or what came before the end."""
    parts = bytearray()
    while len(parts) < count and (part := sock.recv(count - len(parts))):
        parts += part
    return bytes(parts)


class MessageServer(ThreadedServer):
    """Takes messages of `size` bytes one by one, and sends what `answer` makes of each.

    An answer leaves `part` bytes at a time.
    """

    def __init__(
        self,
        size: int,
        answer: Answer = echoed,
        part: int = 1 << 20,
        family: int = socket.AF_INET,
    ) -> None:
        self.size, self.answer, self.part = size, answer, part
        self.seen: list[int] = []
        super().__init__(family)

    def serve(self, number: int, sock: socket.socket) -> None:
        self.seen.append(0)
        while len(message := exactly(sock, self.size)) == self.size:
            answer = self.answer(number, self.seen[number], message)
            if answer is None:
                return
            self.seen[number] += 1
            for at in range(0, len(answer), self.part):
                sock.sendall(answer[at : at + self.part])


Deliver = Callable[[int, int, int, bytes], list[bytes]]
"""Called with member, sender and number as the load counts them, and the frame: what to send."""


def delivered(member: int, sender: int, number: int, frame: bytes) -> list[bytes]:
    return [frame]


class FanOutServer(ThreadedServer):
    """Sends each frame to every member, itself included, or as `deliver` says.

    A member is known by the sender that its own frames bear. With `first_lets_in` it belongs to the
    group only after its first frame, which nobody gets.
    """

    def __init__(
        self,
        size: int,
        deliver: Deliver = delivered,
        *,
        others_only: bool = False,
        first_lets_in: bool = False,
    ) -> None:
        self.size, self.deliver = size, deliver
        self.others_only, self.first_lets_in = others_only, first_lets_in
        self.members: dict[int, socket.socket] = {}
        self.lock = threading.Lock()
        super().__init__()

    def serve(self, number: int, sock: socket.socket) -> None:
        while len(frame := exactly(sock, self.size)) == self.size:
            count, sender = struct.unpack_from("<II", frame, 4)
            with self.lock:
                is_new = sender not in self.members
                self.members[sender] = sock
                if is_new and self.first_lets_in:
                    continue
                self._send_all(sender, count, frame)

    def _send_all(self, sender: int, count: int, frame: bytes) -> None:
        for member, sock in list(self.members.items()):
            if self.others_only and member == sender:
                continue
            answer = self.deliver(member, sender, count, frame) if count != HELLO else [frame]
            try:
                sock.sendall(b"".join(answer))
            except OSError:
                del self.members[member]  # The load has given it up.
