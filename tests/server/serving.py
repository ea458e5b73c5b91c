"""What the tests of the server share: a journal that can be waited for, and clients."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from proactor import Packet, PacketFraming, Server, Session
from tests.support.sockets import LIMIT, read_exactly
from tests.support.system import under_wine

FRAMING = PacketFraming()


class Journal:
    """What happened, in order; written by workers, waited for by the test."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self.entries: list[Any] = []

    def add(self, *entry: Any) -> None:
        with self._news:
            self.entries.append(entry[0] if len(entry) == 1 else entry)
            self._news.notify_all()

    def wait(self, condition: Callable[[list[Any]], Any], timeout: float = LIMIT) -> Any:
        """Return what `condition(entries)` returns once that is true."""
        with self._news:
            found = self._news.wait_for(lambda: condition(self.entries), timeout)
            assert found, f"not within {timeout} s; the journal says {self.entries[-20:]}"
            return found

    def wait_for(self, *entry: Any) -> None:
        wanted = entry[0] if len(entry) == 1 else entry
        self.wait(lambda entries: wanted in entries)

    def of(self, kind: str) -> list[Any]:
        return [entry[1] for entry in self.entries if isinstance(entry, tuple) and entry[0] == kind]


class Recorded(Session):
    """A session that writes its life into the journal of its class."""

    framing = FRAMING
    journal: Journal
    made: list[Recorded]

    def on_connected(self) -> None:
        self.made.append(self)
        self.journal.add("connected", self)

    def on_packet(self, packet: Packet) -> None:
        self.journal.add("packet", packet)

    def on_disconnected(self, reason: Any) -> None:
        self.journal.add("disconnected", reason)


def recorded(base: type[Any] = Recorded, **members: Any) -> type[Any]:
    """Return a class of its own for one test, with a journal of its own."""
    return type("Player", (base,), {"journal": Journal(), "made": [], **members})


class Client:
    """A client that speaks packets; every wait of it has a time-out."""

    def __init__(self, server: Server, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(LIMIT)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect(server.address)
        except OSError:
            self.sock.close()
            raise

    def send(self, id: int, body: bytes = b"") -> None:
        self.sock.sendall(FRAMING.encode(Packet(id, body)))

    def receive(self) -> Packet:
        header = read_exactly(self.sock, 4)
        if len(header) < 4:
            raise EOFError(f"the end after {header!r}")
        size, id = int.from_bytes(header[:2], "little"), int.from_bytes(header[2:], "little")
        return Packet(id, read_exactly(self.sock, size - 4))

    def receive_ids(self, count: int) -> list[int]:
        return [self.receive().id for _ in range(count)]

    def receive_all(self) -> list[Packet]:
        """Return every packet until the end."""
        packets = []
        while True:
            try:
                packets.append(self.receive())
            except EOFError:
                return packets

    def is_reset(self) -> bool:
        """Wait for the end; say whether it is a reset. Under Wine the end looks like that, too."""
        try:
            while self.sock.recv(65536):
                pass
        except (ConnectionResetError, ConnectionAbortedError):
            return True
        return under_wine()

    def close(self) -> None:
        self.sock.close()


def is_turned_away(server: Server) -> bool:
    """Connect; say whether the connection is reset."""
    try:
        one = Client(server)
    except ConnectionResetError:  # Before `connect` was back.
        return True
    try:
        return one.is_reset()
    finally:
        one.close()


class Crowd:
    """Many clients in one daemon thread: they connect, read to the end, and close.

    Attributes:
        received: Bytes that came, by client number.
        ended: How many ended by FIN, how many by reset.
    """

    def __init__(self, address: tuple[str, int], count: int, greeting: bytes = b"") -> None:
        self.received: Counter[int] = Counter()
        self.ended: Counter[str] = Counter()
        self._count = count
        self._done = threading.Condition()
        self._selector = selectors.DefaultSelector()
        for number in range(count):
            sock = socket.create_connection(address, LIMIT)
            if greeting:
                sock.sendall(greeting)
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, number)
        self._thread = threading.Thread(target=self._run, name="test crowd", daemon=True)

    def read(self) -> None:
        """Begin to read."""
        self._thread.start()

    def _run(self) -> None:
        deadline = time.monotonic() + 4 * LIMIT
        while self._selector.get_map() and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                self._read_one(key.fileobj, key.data)

    def _read_one(self, sock: Any, number: int) -> None:
        try:
            data = sock.recv(262144)
        except BlockingIOError:
            return
        except ConnectionError:
            self._end(sock, "reset")
            return
        self.received[number] += len(data)
        if not data:
            self._end(sock, "fin")

    def _end(self, sock: Any, how: str) -> None:
        self._selector.unregister(sock)
        sock.close()
        with self._done:
            self.ended[how] += 1
            self._done.notify_all()

    def wait(self, timeout: float = 4 * LIMIT) -> None:
        """Wait until all have ended."""
        with self._done:
            done = self._done.wait_for(lambda: self.ended.total() == self._count, timeout)
        assert done, f"{self.ended} of {self._count}"

    def close(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(LIMIT)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
