"""The desk sends what a large broadcast has queued in slices: others are served between them."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from proactor import errors
from proactor.packets import CompletionPacket, PacketBatch
from proactor.strands.desk import SLICE, StreamDesk, here


class Queue:
    """An engine's port of one thread: nobody waits at it."""

    def __init__(self) -> None:
        self.packets: deque[CompletionPacket] = deque()
        self.is_closed = False

    def post(self, packet: CompletionPacket) -> None:
        if self.is_closed:
            raise errors.port_closed("cannot post a packet: it is closed", while_waiting=False)
        self.packets.append(packet)

    def get_many(self, limit: int, timeout: float | None, alertable: bool) -> PacketBatch:
        batch = PacketBatch()
        while self.packets and len(batch) < limit:
            batch.append(self.packets.popleft())
        return batch


class Member:
    """A stream with something to send."""

    def __init__(self, sent: list[Member]) -> None:
        self._sent = sent

    def send_now(self) -> None:
        self._sent.append(self)


@pytest.fixture
def queue():
    return Queue()


@pytest.fixture
def desk(queue):
    yield StreamDesk(queue)
    here.desk = None


def broadcast(desk: StreamDesk, sent: list[Member], slices: float) -> list[Any]:
    members = [Member(sent) for _ in range(int(SLICE * slices))]
    desk.dirty.extend(members)
    return members


@pytest.mark.parametrize("way", ["serve", "get_many"])
def test_who_comes_is_served_between_two_slices(desk, queue, way):
    sent: list[Member] = []
    members = broadcast(desk, sent, 2.5)
    queue.post(CompletionPacket("bystander"))
    arguments = (64, 0.0, False) if way == "get_many" else (64, 0.0)

    [packet] = getattr(desk, way)(*arguments)

    assert packet.key == "bystander"
    assert SLICE <= len(sent) <= 2 * SLICE
    while queue.packets:
        assert not getattr(desk, way)(*arguments)
    assert sent == members


def test_a_slice_exactly_leaves_no_packet_behind(desk, queue):
    sent: list[Member] = []
    members = broadcast(desk, sent, 1)

    desk.flush_dirty()

    assert sent == members
    assert not queue.packets


def test_one_packet_is_behind_a_slice_however_often_one_comes(desk, queue):
    broadcast(desk, [], 5)

    desk.flush_dirty()
    desk.flush_dirty()

    assert len(queue.packets) == 1


def test_a_thread_that_takes_the_packet_and_then_holds_a_turn_passes_it_on(desk, queue):
    sent: list[Member] = []
    members = broadcast(desk, sent, 2)
    desk.flush_dirty()
    queue.packets.clear()
    desk._go_on_is_posted = False

    here.desk = desk  # It holds a turn.
    desk.flush_dirty_unless_held()
    here.desk = None

    assert len(queue.packets) == 1
    desk.serve(64, 0.0)
    assert sent == members


def test_the_close_of_the_port_leaves_nothing_queued_for_others(desk, queue):
    sent: list[Member] = []
    members = broadcast(desk, sent, 3.5)
    queue.is_closed = True

    desk.flush_dirty()
    desk.close()

    assert sent == members
