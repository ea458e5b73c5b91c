"""Thousands of sessions at once: what the design promises of their end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from proactor import DisconnectReason, Packet, Server, Session
from tests.server.serving import FRAMING
from tests.support.system import allow_descriptors

COUNT = 5000
BODY = bytes(1000)
PACKETS = 5


@pytest.mark.stress
@pytest.mark.skipif(sys.platform == "win32", reason="raises POSIX limits")
def test_five_thousand_sessions_end_within_two_seconds_and_lose_nothing():
    if not allow_descriptors(COUNT + 200):
        pytest.skip(f"RLIMIT_NOFILE does not allow {COUNT} connections here")
    all_spoke = threading.Semaphore(0)

    class Player(Session):
        framing = FRAMING

        def on_packet(self, packet):
            for _ in range(PACKETS):
                assert self.send(Packet(1, BODY))
            all_spoke.release()

    with Server(Player, port=0, workers=5, max_sessions=COUNT) as server:
        words = [sys.executable, "-m", "tests.stress.readers", str(server.address[1]), str(COUNT)]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as readers:
            try:
                for _ in range(COUNT):
                    assert all_spoke.acquire(timeout=30)
                assert readers.stdout.readline() == "connected\n"
                readers.stdin.write("read\n")
                readers.stdin.flush()

                began = time.monotonic()
                assert server.drain(20.0)
                took = time.monotonic() - began

                told = json.loads(readers.stdout.readline())
            finally:
                readers.kill()
    each = PACKETS * len(FRAMING.encode(Packet(1, BODY)))
    assert told == {"ended": {"fin": COUNT}, "got": [each]}
    assert server.statistics().ended == {DisconnectReason.DRAINING: COUNT}
    assert took < 2.0
