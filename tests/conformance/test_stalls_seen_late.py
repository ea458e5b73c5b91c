"""Row A10: a worker that is blocked already when a packet comes is counted as blocked, too."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from proactor import CompletionPort, Overlapped
from tests.support.packets import take, wait_for_waiters
from tests.support.sockets import LIMIT
from tests.support.system import under_wine


@pytest.mark.skipif(under_wine(), reason="row 9: Wine releases the oldest thread first")
def test_a_packet_that_is_posted_long_after_a_worker_blocked_reaches_another(
    tcp_pair, opened, in_thread
):
    # Goal: whoever looks after stalled workers may be waiting for a socket meanwhile.
    server, _ = tcp_pair
    port = opened(CompletionPort(concurrency=1))
    port.attach(server, "socket")
    server.recv(bytearray(10), Overlapped())  # Armed, and nothing comes.
    gate = threading.Event()

    def block():
        assert take(port).key == "first"
        gate.wait(LIMIT)

    other = in_thread(take, port)
    wait_for_waiters(port, 1)
    blocked = in_thread(block)
    wait_for_waiters(port, 2)
    port.post("first")  # For the newer of the two.
    # Longer than anybody looks at what is stalled while no packet waits.
    assert not gate.wait(0.3)
    port.post("second")

    assert other.result().key == "second"
    gate.set()
    blocked.result()


PROGRAM = """
import threading, proactor
port, gate, taken = proactor.CompletionPort(1), threading.Event(), threading.Event()
def block():
    port.get()
    taken.set()
    gate.wait(10)
port.post("first")
port.post("second")
threading.Thread(target=block, daemon=True).start()
taken.wait()
assert not gate.wait(0.05)
print(port.get(5).key)
"""


def test_a_worker_that_comes_to_a_full_port_gets_the_packet_that_waits():
    # Goal: when it was posted nobody waited, so that nobody looks after stalled workers yet.
    # Method: a process of its own, in which nothing has ever been looked after.
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30
    )
    assert (ran.stdout, ran.stderr) == ("second\n", "")
