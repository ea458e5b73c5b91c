"""What the differential test has found, one plain test each, on the engine of this process."""

from __future__ import annotations

import time

from proactor import CompletionPort
from tests.support.sockets import LIMIT
from tests.support.streams import InThread


def test_a_look_at_another_port_takes_no_wake_from_the_thread_that_polls(
    in_thread: InThread,
) -> None:
    # Goal: a zero-time-out get in one thread never eats the wake that is meant for the thread that
    # sleeps in the selector. Method: the two meet some dozen times; one of few was enough.
    with CompletionPort(8) as port, CompletionPort(8) as other:
        for turn in range(80):
            waiting = in_thread(port.get, 2 * LIMIT)
            while port.statistics().waiting == 0:
                time.sleep(0)  # Let it come to its wait.
            port.post(turn)
            deadline = time.monotonic() + LIMIT
            while waiting.is_running():
                assert other.get(0) is None
                assert time.monotonic() < deadline, "the waiting thread was handed a packet"
            packet = waiting.result()
            assert packet is not None and packet.key == turn
