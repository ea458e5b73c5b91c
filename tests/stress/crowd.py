"""A crowd of clients in one loop: each connects, sends, and leaves in its own way, at random."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import time
from collections import Counter

from tests.support.sockets import LIMIT, reset

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
ENDINGS = ["close", "half-close", "half-close", "reset", "leave"]


class Visitor:
    """One client, from its connect to its end.

    What it sends bears its number in every message, so that an echo of somebody else's bytes, or of
    bytes out of order, shows.

    Attributes:
        fault: What went wrong; "" if nothing did.
        is_done: True once its socket is closed.
    """

    def __init__(self, number: int, dice: random.Random, address: tuple[str, int]) -> None:
        """Begin to connect."""
        self.ending = dice.choice(ENDINGS)
        self.fault = ""
        self.is_done = False
        # How many bytes it sends ahead of their echo. With 1, a message is many small turns.
        self._window = dice.choice([1, 300, 2_000, 10_000, 1 << 20])
        longest = 30 if self._window == 1 else 3_000
        self._stream = b"".join(
            struct.pack(">II", number, turn) + dice.randbytes(dice.randint(1, longest))
            for turn in range(dice.randint(1, 6))
        )
        # "reset" and "leave" go in the middle, with an echo on its way; the others stay to the end.
        self._patience = dice.randint(0, len(self._stream))
        self._sent = 0
        self._received = bytearray()
        self._has_shut_down = False
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(address)

    @property
    def interest(self) -> int:
        """What its socket is to be polled for."""
        return READ | WRITE if self._may_send() else READ

    def _may_send(self) -> bool:
        ahead = self._sent - len(self._received)
        return self._sent < len(self._stream) and ahead < self._window

    def take_turn(self, ready: int) -> None:
        """Go on as far as the socket lets it."""
        try:
            if ready & WRITE and self._may_send():
                limit = len(self._received) + self._window
                self._sent += self.sock.send(self._stream[self._sent : limit])
            if ready & READ:
                self._read()
            if not self.is_done:
                self._consider_leaving()
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(f"{self.ending}: {error!r} after {len(self._received)} bytes")

    def _read(self) -> None:
        came = self.sock.recv(1 << 16)
        at = len(self._received)
        if came != self._stream[at : at + len(came)]:
            self._end(f"wrong echo at {at}")
        elif came:
            self._received += came
        elif self._has_shut_down and at == len(self._stream):
            self._end()
        else:
            self._end(f"{self.ending}: the server ended after {at} of {len(self._stream)} bytes")

    def _consider_leaving(self) -> None:
        if self.ending == "reset" and len(self._received) >= self._patience:
            reset(self.sock)
            self.is_done = True
        elif (self.ending == "leave" and len(self._received) >= self._patience) or (
            self.ending == "close" and len(self._received) == len(self._stream)
        ):
            self._end()
        elif self._is_to_shut_down():
            self._has_shut_down = True
            self.sock.shutdown(socket.SHUT_WR)

    def _is_to_shut_down(self) -> bool:
        has_sent_all = self._sent == len(self._stream)
        return self.ending == "half-close" and has_sent_all and not self._has_shut_down

    def _end(self, fault: str = "") -> None:
        self.fault = fault
        self.is_done = True
        self.sock.close()

    def give_up(self) -> None:
        """Close, and say how far it has come."""
        self._end(
            f"{self.ending}: stuck, {self._sent} sent and {len(self._received)} back "
            f"of {len(self._stream)}"
        )


class Crowd:
    """`size` clients at a time, for some seconds.

    Attributes:
        endings: How many clients have left in which way.
        faults: What went wrong, as text.
    """

    def __init__(self, address: tuple[str, int], size: int, seed: int) -> None:
        """Prepare a crowd; `run` lets it in."""
        self.endings: Counter[str] = Counter()
        self.faults: list[str] = []
        self._address = address
        self._size = size
        self._dice = random.Random(seed)
        self._admitted = 0
        self._poll = selectors.DefaultSelector()

    def run(self, seconds: float) -> None:
        """Let clients in for `seconds`, then let those who are there finish."""
        closing_time = time.monotonic() + seconds
        with contextlib.closing(self._poll):
            for _ in range(self._size):
                self._admit()
            while self._poll.get_map():
                is_open = time.monotonic() < closing_time
                ready = self._poll.select(LIMIT)
                if not ready or time.monotonic() > closing_time + 4 * LIMIT:
                    self._turn_out()
                for key, mask in ready:
                    self._serve(key.data, mask, is_open)

    def _admit(self) -> None:
        visitor = Visitor(self._admitted, self._dice, self._address)
        self._admitted += 1
        self._poll.register(visitor.sock, WRITE | READ, visitor)

    def _serve(self, visitor: Visitor, ready: int, is_open: bool) -> None:
        descriptor = visitor.sock.fileno()
        if descriptor < 0:
            return
        key = self._poll.get_key(descriptor)
        visitor.take_turn(ready)
        if visitor.is_done:
            self._leave(visitor, descriptor)
            if is_open:
                self._admit()
        elif visitor.interest != key.events:
            self._poll.modify(descriptor, visitor.interest, visitor)

    def _leave(self, visitor: Visitor, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self.endings[visitor.ending] += 1
        if visitor.fault:
            self.faults.append(visitor.fault)

    def _turn_out(self) -> None:
        for key in list(self._poll.get_map().values()):
            key.data.give_up()
            self._leave(key.data, key.fd)
