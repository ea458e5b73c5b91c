"""Section 4 of the design, as it stands there, in a process of its own."""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from proactor import Packet
from tests.server.serving import Client
from tests.support.sockets import LIMIT, closed_address
from tests.support.streams import eventually

PROGRAM = """
import proactor

class Player(proactor.Session):
    framing = proactor.PacketFraming()            # u16 size, u16 id, little endian; others are one line away

    def on_connected(self):
        lobby.join(self)

    def on_packet(self, packet):
        lobby.broadcast(packet, exclude=self)

    def on_disconnected(self, reason):
        lobby.leave(self)

lobby = proactor.Room("lobby")
proactor.serve(Player, port=7777, workers=5)
"""  # noqa: E501


class At:
    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)


@pytest.mark.skipif(sys.platform == "win32", reason="ends it with SIGTERM")
def test_the_program_of_the_design_runs_as_it_is_written():
    port = closed_address()[1]
    program = PROGRAM.replace("7777", str(port))  # The only change: one that is free.
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    try:
        assert eventually(lambda: _listens(port))
        clients = [Client(At(port)) for _ in range(3)]
        _speak_until_heard(clients[1], clients[0], 1)
        _speak_until_heard(clients[2], clients[0], 2)
        _speak_until_heard(clients[2], clients[1], 7)
        process.send_signal(signal.SIGTERM)
        for one in clients:
            one.receive_all()
            one.close()
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        _, errors = process.communicate()
    assert errors == ""


def _speak_until_heard(speaker: Client, listener: Client, number: int) -> None:
    """Say it until then: who is not in the lobby yet hears nothing, and there are five workers."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        speaker.send(number, b"all")
        while select.select([listener.sock], [], [], 0.2)[0]:
            if listener.receive() == Packet(number, b"all"):
                return
    raise AssertionError(f"nobody has heard {number}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
