"""A thread that was handed a packet and wakes when its slot is another one's already.

The same is tested of the engines in C by tests/native/reactor/test_hands.c.
"""

from __future__ import annotations

import time

import pytest

from proactor import CompletionPacket, CompletionPort
from proactor.engines.userspace.threads import ThreadRecord
from proactor.packets import PacketBatch


@pytest.mark.engine("selectors")
@pytest.mark.parametrize(("concurrency", "takes"), [(1, [0]), (2, [0, 2])])
def test_it_takes_that_packet_and_others_only_if_there_is_a_slot(concurrency, takes) -> None:
    # Method: the waits of two threads are played, since no thread can be kept from waking.
    with CompletionPort(concurrency) as port:
        inner, batch = port._port, PacketBatch()
        older, newer = ThreadRecord(), ThreadRecord()
        with inner._dispatcher.lock:
            inner._waiters.append(newer)
            inner._push(CompletionPacket(0))
            inner._push(CompletionPacket(1))
            inner._waiters.append(older)
            inner.release_stalled(time.monotonic() + 1)
            inner._push(CompletionPacket(2))

            inner._fill(batch, newer, 8)

            assert (newer.handed, older.handed.key) == (None, 1)
            assert [packet.key for packet in batch] == takes
            assert list(inner._runners) == [older, newer][:concurrency]
