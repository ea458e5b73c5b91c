"""A stream that only the engine keeps: its last turn ends although nobody has it any more."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import socket, proactor

class Echo(proactor.Session):
    def on_received(self, received):
        self.send(received)

with proactor.Server(Echo, port=0) as server:
    for _ in range(10):
        with socket.create_connection(server.address, timeout=10) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
    assert server.drain(10)
print("ended")
"""


def test_sessions_that_nobody_keeps_end_without_a_look_at_freed_memory():
    # Method: in its development mode Python overwrites what it frees, so that a look crashes.
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM], capture_output=True, text=True, timeout=40
    )

    assert (result.returncode, result.stdout) == (0, "ended\n"), result.stderr
