"""The server core under clients that misbehave, and handlers that stall and block now and then.

The clients connect, speak, stall, flood, lie, half-close and reset.
``make stress`` does it for some seconds. ``PROACTOR_TORTURE=2000x60`` asks for 2,000 clients and a
minute.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import psutil
import pytest

from proactor import DisconnectReason, Packet, PacketFraming, Server, Session
from tests.stress.tormentors import OWNER
from tests.support.streams import eventually

CLIENTS, SECONDS = map(int, os.environ.get("PROACTOR_TORTURE", "300x8").split("x"))
FRAMING = PacketFraming(4096)
GROWTH = 64 << 20
"""Bytes that the process may be larger afterwards: the allocator's caches, code that was loaded."""


class Books:
    """What every session enters, and what must balance."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connected: Counter[int] = Counter()
        self.disconnected: Counter[int] = Counter()
        self.reasons: Counter[DisconnectReason] = Counter()
        self.strangers = 0


books = Books()


HESITATION = 0.008
"""Seconds, more than the time after which a worker counts as stalled."""


class Victim(Session):
    """Sends back what it gets; one packet in some hundreds takes long, half of these say so."""

    turns = itertools.count()

    framing = FRAMING

    def on_connected(self) -> None:
        self.owner = None
        with books.lock:
            books.connected[self.id] += 1

    def on_packet(self, packet: Packet) -> None:
        owner, _ = OWNER.unpack_from(packet.body)
        if self.owner is None:
            self.owner = owner
        elif owner != self.owner:
            books.strangers += 1
        turn = next(self.turns) % 500
        if turn == 100:
            time.sleep(HESITATION)
        self.send(packet)
        if turn == 400:
            with self.server.port.blocking():
                time.sleep(HESITATION)

    def on_disconnected(self, reason: DisconnectReason) -> None:
        with books.lock:
            books.disconnected[self.id] += 1
            books.reasons[reason] += 1


@pytest.mark.stress
@pytest.mark.skipif(sys.platform == "win32", reason="its clients use POSIX limits")
def test_the_books_balance_after_torture():
    me = psutil.Process()
    server = Server(Victim, port=0, workers=5)
    server.start()
    with socket.create_connection(server.address) as warm:  # Opens what stays open: a ring, say.
        warm.sendall(FRAMING.encode(Packet(7, OWNER.pack(0, 0))))
        assert warm.recv(100)
    assert eventually(lambda: len(server) == 0)
    descriptors, size = me.num_fds(), me.memory_info().rss

    words = (server.address[1], CLIENTS, SECONDS, 20261125)
    tormentors = subprocess.run(
        [sys.executable, "-m", "tests.stress.tormentors", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
    )

    assert tormentors.returncode == 0, tormentors.stderr
    tally = json.loads(tormentors.stdout)
    assert eventually(lambda: len(server) == 0), f"{len(server)} sessions are left"
    assert tally["wrong"] == 0 and books.strangers == 0
    assert tally["received"] > 1000 and tally["answered"] > 0
    assert not [how for how in tally if how.startswith("no end after")], tally
    assert eventually(lambda: sum(books.disconnected.values()) == sum(books.connected.values()))
    assert set(books.connected.values()) == set(books.disconnected.values()) == {1}
    assert books.connected.keys() == books.disconnected.keys()
    assert books.reasons[DisconnectReason.PROTOCOL_ERROR] > 0
    assert books.reasons[DisconnectReason.RESET] > 0
    gc.collect()
    if sys.platform == "linux":  # What 2,000 sessions had at once is the allocator's to keep, else.
        ctypes.CDLL(None).malloc_trim(0)
    assert eventually(lambda: me.num_fds() <= descriptors), (me.num_fds(), descriptors)
    assert me.memory_info().rss - size < GROWTH
    assert server.drain(5.0)
