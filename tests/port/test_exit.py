"""The end of a program that used the package: bounded time and no word, whatever it left open."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import proactor
from proactor import MessageQueue

SOURCE = Path(proactor.__file__).parents[1]

USE = """
import socket, threading
from proactor import *

def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return OverlappedSocket.adopt(server), client

port = CompletionPort(4)
ours, peer = pair()
port.attach(ours, "key")
ours.recv(bytearray(8), Overlapped())
peer.sendall(b"hello")
assert port.get(10).result() == 5
"""

CLOSE = "ours.close(); peer.close(); port.close()\n"

ENDS = {
    "all closed": CLOSE,
    # Nothing is closed, and an operation, a packet, a routine and an APC are left.
    "nothing closed": """
ours.recv(bytearray(8), Overlapped())
port.post("left")
other, other_peer = pair()
other.recv(bytearray(8), Overlapped(routine=print))
other_peer.sendall(b"left")
queue_user_apc(threading.current_thread(), print, "left")
event = Event()
queue = MessageQueue()
async_select(other, queue, WM_USER, FD_READ)
""",
    "daemon threads wait": """
ours.recv(bytearray(8), Overlapped())
event = Event()
for wait in (port.get, sleep_ex, event.wait, lambda: ours.recv(bytearray(8))):
    threading.Thread(target=wait, daemon=True).start()
""",
    "daemon threads are busy": """
ours.close(); peer.close()
def relay():
    while True:
        port.get()
        port.post("round")
for _ in range(4):
    port.post("round")
    threading.Thread(target=relay, daemon=True).start()
""",
    "by an exception": CLOSE + "raise SystemExit(7)\n",
}


def run(end: str) -> subprocess.Popen[str]:
    path = [str(SOURCE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", USE + ENDS[end]],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def desktop() -> Iterator[None]:
    """Have a window: Wine begins a desktop with the first one, which inherits that one's pipes."""
    with MessageQueue():
        yield


@pytest.mark.parametrize("end", ENDS)
def test_a_program_ends_in_bounded_time_and_without_a_word(end: str) -> None:
    # Method: several at a time, since what goes wrong at exit goes wrong now and then.
    programs = [run(end) for _ in range(4)]
    try:
        for program in programs:
            said, _ = program.communicate(timeout=10)
            assert said == ""
            assert program.returncode == (7 if end == "by an exception" else 0)
    finally:
        for program in programs:
            program.kill()
            program.communicate()
