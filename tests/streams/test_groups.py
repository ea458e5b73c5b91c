"""Groups: one frame to many streams; who refused it is said, who has ended falls out."""

from __future__ import annotations

import threading

import pytest

from proactor import FixedFraming, Packet, PacketFraming, StreamGroup, StreamLimits
from tests.streams.serving import Recorder
from tests.support.sockets import read_exactly, read_to_end
from tests.support.streams import eventually


@pytest.fixture
def group(served):
    return StreamGroup(served.port)


def test_a_frame_goes_to_every_member(group, connected):
    members = [connected(Recorder()) for _ in range(20)]
    for stream, _ in members:
        group.add(stream)
        group.add(stream)

    refused = group.broadcast_frame(PacketFraming().encode(Packet(7, b"all")))

    assert refused == []
    assert len(group) == 20
    for _, peer in members:
        assert read_exactly(peer, 7) == b"\x07\x00\x07\x00all"


def test_the_excluded_member_gets_nothing(group, connected):
    (one, one_peer), (two, two_peer) = connected(Recorder()), connected(Recorder())
    group.add(one)
    group.add(two)

    group.broadcast_frame(b"hello", exclude=one)
    one.close()

    assert read_exactly(two_peer, 5) == b"hello"
    assert read_to_end(one_peer) == b""


def test_a_member_that_left_gets_nothing(group, connected):
    stream, peer = connected(Recorder())
    group.add(stream)
    assert stream in group

    group.discard(stream)
    group.discard(stream)
    group.broadcast_frame(b"hello")
    stream.close()

    assert stream not in group and len(group) == 0
    assert read_to_end(peer) == b""


def test_members_whose_cap_refuses_are_returned_and_delay_nobody(group, connected):
    limits = StreamLimits(send_bytes=100_000, send_high=50_000, send_low=1)
    slow, _ = connected(Recorder(), limits=limits, small_buffers=True)
    quick, quick_peer = connected(Recorder())
    while slow.send_frame(bytes(10_000)):
        pass
    group.add(slow)
    group.add(quick)

    assert group.broadcast_frame(bytes(10_000)) == [slow]

    assert read_exactly(quick_peer, 10_000) == bytes(10_000)
    assert slow in group


def test_members_that_end_fall_out(group, connected):
    sink = Recorder()
    stream, _ = connected(sink)
    other, other_peer = connected(Recorder())
    group.add(stream)
    group.add(other)

    stream.abort()
    sink.wait_for_end()

    assert group.broadcast_frame(b"x") == []
    assert eventually(lambda: len(group) == 1)
    assert stream not in group and other in group
    assert read_exactly(other_peer, 1) == b"x"
    group.add(stream)
    assert len(group) == 1


def test_a_member_that_is_closing_is_no_refusal(group, connected):
    stream, _ = connected(Recorder())
    group.add(stream)
    stream.close()

    assert group.broadcast_frame(b"x") == []


def test_the_latest_of_a_key_wins_in_a_broadcast_too(group, connected):
    stream, peer = connected(Recorder(), FixedFraming(4), small_buffers=True)
    group.add(stream)
    while stream.queued_bytes == 0:
        assert stream.send_frame(bytes(64 * 1024))

    group.broadcast_frame(b"old1", key="state")
    group.broadcast_frame(b"new1", key="state")
    stream.close()

    assert read_to_end(peer).lstrip(b"\0") == b"new1"


def test_broadcasts_while_members_come_and_go(group, connected):
    members = [connected(Recorder()) for _ in range(10)]
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for stream, _ in members[5:]:
                group.add(stream)
            for stream, _ in members[5:]:
                group.discard(stream)

    for stream, _ in members[:5]:
        group.add(stream)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    for i in range(200):
        assert group.broadcast_frame(b"%04d" % i) == []
    stop.set()
    thread.join()

    for _, peer in members[:5]:
        assert read_exactly(peer, 800) == b"".join(b"%04d" % i for i in range(200))
