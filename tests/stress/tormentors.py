"""Clients that do to a server what the world does: a process of their own, one thread, no mercy.

    python -m tests.stress.tormentors PORT CLIENTS SECONDS SEED

Each packet carries its owner, and a reply to anybody else is counted. Prints one line of JSON.
"""

from __future__ import annotations

import json
import random
import resource
import selectors
import socket
import struct
import sys
import time
from collections import Counter

HEADER = struct.Struct("<HH")
OWNER = struct.Struct("<QI")
ABORTIVE = struct.pack("ii", 1, 0)
PATIENCE = 20.0
"""Seconds that a client waits for the end that it has asked for."""


class Tormentor:
    """One connection, from its connect to its end."""

    def __init__(self, owner: int, port: int, dice: random.Random) -> None:
        self.owner = owner
        self.dice = dice
        self.sent = self.received = self.wrong = 0
        self.ending = ""
        self.stalled_until = 0.0
        self.asked_at = 0.0
        self._unsent = bytearray()
        self._inbox = bytearray()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))

    def act(self, now: float) -> None:
        """Do one thing that a client may do."""
        if self.ending or self._unsent or now < self.stalled_until:
            return
        what = self.dice.choices(
            ("speak", "flood", "stall", "garbage", "half-close", "reset", "close"),
            (60, 4, 8, 1, 3, 2, 2),
        )[0]
        if what == "speak":
            self._say(self.dice.randrange(1, 4))
        elif what == "flood":
            self._say(200)
        elif what == "stall":
            self.stalled_until = now + self.dice.random() * 0.5
        else:
            self._end(what, now)

    def _say(self, count: int) -> None:
        for _ in range(count):
            body = OWNER.pack(self.owner, self.sent) + bytes(self.dice.randrange(0, 64))
            self._unsent += HEADER.pack(HEADER.size + len(body), 7) + body
            self.sent += 1

    def _end(self, what: str, now: float) -> None:
        self.ending, self.asked_at = what, now
        if what == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE)
        elif what == "garbage":
            self._unsent += b"\x01\x00" + self.dice.randbytes(30)  # A size below its own header.
        elif what == "half-close":
            self.sock.shutdown(socket.SHUT_WR)

    @property
    def is_leaving(self) -> bool:
        """True if it just goes, without a word."""
        return self.ending in ("reset", "close")

    def write(self) -> None:
        if self._unsent:
            del self._unsent[: self.sock.send(self._unsent)]

    def read(self) -> bool:
        """Take what came; False at the end."""
        piece = self.sock.recv(65536)
        self._inbox += piece
        while len(self._inbox) >= HEADER.size:
            size, _ = HEADER.unpack_from(self._inbox)
            if len(self._inbox) < size:
                break
            owner, number = OWNER.unpack_from(self._inbox, HEADER.size)
            self.wrong += owner != self.owner or number != self.received
            self.received += 1
            del self._inbox[:size]
        return bool(piece)


class Crowd:
    """So many clients at any time, until the time is up; then each ends."""

    def __init__(self, port: int, count: int, seed: int) -> None:
        self.port, self.count = port, count
        self.dice = random.Random(seed)
        self.tally: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        self._alive: list[Tormentor] = []
        self._owners = 0

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until or self._alive:
            now = time.monotonic()
            while now < until and len(self._alive) < self.count:
                self._connect()
            for one in self.dice.sample(self._alive, min(64, len(self._alive))):
                self._act(one, now, now >= until)
            for key, events in self._selector.select(0.01):
                self._serve(key.data, events)

    def _connect(self) -> None:
        self._owners += 1
        one = Tormentor(self._owners, self.port, random.Random(self.dice.random()))
        self._alive.append(one)
        self._selector.register(one.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, one)

    def _act(self, one: Tormentor, now: float, is_over: bool) -> None:
        try:
            if is_over and not one.ending:
                one._end(one.dice.choice(("half-close", "reset", "close")), now)
            one.act(now)
        except OSError:
            self._gone(one, "died")
            return
        if one.is_leaving or (one.ending and now - one.asked_at > PATIENCE):
            self._gone(one, one.ending if one.is_leaving else f"no end after {one.ending}")
        elif one in self._alive:
            writes = selectors.EVENT_WRITE if one._unsent else 0
            reads = selectors.EVENT_READ if now >= one.stalled_until else 0
            self._selector.modify(one.sock, writes | reads or selectors.EVENT_WRITE, one)

    def _serve(self, one: Tormentor, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                one.write()
                if not one._unsent:
                    self._selector.modify(one.sock, selectors.EVENT_READ, one)
            if events & selectors.EVENT_READ and not one.read():
                whole = one.ending == "half-close" and one.received == one.sent
                self._gone(one, "answered" if whole else f"ended after {one.ending or 'nothing'}")
        except BlockingIOError:
            pass
        except OSError:
            self._gone(one, "broken")

    def _gone(self, one: Tormentor, how: str) -> None:
        self._alive.remove(one)
        self._selector.unregister(one.sock)
        one.sock.close()
        self.tally[how] += 1
        self.tally["wrong"] += one.wrong
        self.tally["received"] += one.received


def main() -> None:
    port, count, seconds, seed = (int(word) for word in sys.argv[1:5])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd(port, count, seed)
    crowd.run(seconds)
    print(json.dumps(crowd.tally))


if __name__ == "__main__":
    main()
