"""What comes: whole frames, in order, one call at a time, to the stream that they belong to."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from proactor import (
    DelimiterFraming,
    FixedFraming,
    LengthFraming,
    Packet,
    PacketFraming,
    RawFraming,
    StreamEnd,
    StreamLimits,
    VarintFraming,
)
from tests.streams.serving import Echo, Recorder, Served
from tests.support.sockets import pattern, read_exactly
from tests.support.streams import eventually


def test_bytes_come_as_they_come(connected):
    sink = Recorder()
    _, peer = connected(sink)

    peer.sendall(b"hello")

    assert sink.wait_for("received") == [b"hello"]
    assert type(sink.items[0]) is bytes


def test_frames_come_whole_and_in_order(connected):
    sink = Recorder()
    framing = PacketFraming()
    _, peer = connected(sink, framing)
    packets = [Packet(i, pattern(i % 40, i)) for i in range(500)]

    peer.sendall(b"".join(map(framing.encode, packets)))

    assert sink.wait_for("received", 500) == packets


@pytest.mark.parametrize(
    ("framing", "bodies"),
    [
        (PacketFraming(), [Packet(1, b"one"), Packet(2), Packet(3, b"three")]),
        (LengthFraming(), [b"one", b"", b"three"]),
        (DelimiterFraming(), [b"one", b"", b"three"]),
        (FixedFraming(3), [b"one", b"two", b"thr"]),
        (VarintFraming(), [b"one", b"", b"three"]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_a_stream_that_is_cut_at_every_byte_gives_the_same_frames(connected, framing, bodies):
    sink = Recorder()
    _, peer = connected(sink, framing)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for byte in b"".join(map(framing.encode, bodies)):
        peer.send(bytes([byte]))

    assert sink.wait_for("received", len(bodies)) == bodies


def test_a_frame_of_many_receives_comes_whole(connected):
    sink = Recorder()
    framing = LengthFraming(8 << 20, length_bytes=4)
    stream, peer = connected(sink, framing)
    body = pattern(5 << 20)

    peer.sendall(framing.encode(body))

    assert sink.wait_for("received") == [body]
    assert stream.statistics().frames_received == 1


def test_a_frame_above_the_inbox_limit_does_not_stop_the_stream(connected):
    sink = Recorder()
    framing = LengthFraming(1 << 20, length_bytes=4)
    _, peer = connected(sink, framing, StreamLimits(inbox_high=1000, inbox_low=100))

    for size in (500_000, 3, 200_000):
        peer.sendall(framing.encode(pattern(size)))

    assert sink.wait_for("received", 3) == [pattern(500_000), pattern(3), pattern(200_000)]


@pytest.mark.parametrize("concurrency", [1, 5])
def test_the_calls_of_one_stream_never_overlap_with_five_workers(opened, concurrency):
    # Method: news, posted calls and frames come from all sides while each call lingers a little.
    served = opened(Served(5, concurrency=concurrency))
    sink = Recorder()
    sink.on_received = lambda _: time.sleep(0.0005)
    stream, peer = served.open(sink, FixedFraming(4), StreamLimits(frames_a_turn=3))
    opened(peer)
    posted: list[int] = []

    def post_many(first: int) -> None:
        for i in range(first, first + 50):
            assert stream.post(lambda i=i: posted.append(i))
            time.sleep(0.0005)

    posters = [threading.Thread(target=post_many, args=(first,)) for first in (0, 1000)]
    for poster in posters:
        poster.start()
    for i in range(200):
        peer.sendall(i.to_bytes(4, "big"))
    for poster in posters:
        poster.join()
    items = sink.wait_for("received", 200)

    assert sink.overlaps == 0
    assert [int.from_bytes(item, "big") for item in items] == list(range(200))
    assert eventually(lambda: len(posted) == 100)
    for first in (0, 1000):
        own = [number for number in posted if first <= number < first + 50]
        assert own == list(range(first, first + 50))
    assert concurrency == 1 or len(sink.threads) > 1, "only one worker served: it shows nothing"


def test_two_streams_are_served_at_the_same_time_by_two_workers(connected):
    # Goal: one stream whose call blocks holds up no other one.
    entered, leave = threading.Event(), threading.Event()
    slow, quick = Recorder(), Recorder()
    slow.on_received = lambda _: (entered.set(), leave.wait(5))
    _, slow_peer = connected(slow)
    _, quick_peer = connected(quick)

    slow_peer.sendall(b"x")
    assert entered.wait(5)
    quick_peer.sendall(b"y")

    assert quick.wait_for("received") == [b"y"]
    leave.set()


def test_each_of_many_streams_gets_its_own(connected):
    framing = PacketFraming()
    streams = []
    for i in range(60):
        sink = Echo()
        streams.append((i, sink, *connected(sink, framing)))
    expected = {}
    for round_ in range(5):
        for i, _, _, peer in streams:
            frame = framing.encode(Packet(i, b"%d of %d" % (round_, i)))
            expected[i] = expected.get(i, b"") + frame
            peer.sendall(frame)

    for i, sink, stream, peer in streams:
        assert read_exactly(peer, len(expected[i])) == expected[i]
        assert [packet.id for packet in sink.wait_for("received", 5)] == [i] * 5
        assert stream.statistics().frames_received == 5


def test_ids_are_never_used_again(connected):
    ids = set()
    for _ in range(20):
        sink = Recorder()
        stream, _ = connected(sink)
        ids.add(stream.id)
        stream.abort()
        sink.wait_for_end()

    assert len(ids) == 20


def test_addresses_are_kept_after_the_end(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    ours, theirs = peer.getpeername(), peer.getsockname()

    stream.abort()
    sink.wait_for_end()

    assert (tuple(stream.local), tuple(stream.peer)) == (ours, theirs)


def test_nothing_is_received_before_start(connected):
    sink = Recorder()
    stream, peer = connected(sink, start=False)
    peer.sendall(b"early")
    time.sleep(0.05)
    assert sink.calls == []

    stream.start()
    stream.start()

    assert sink.wait_for("received") == [b"early"]


def test_sending_works_before_start(connected):
    stream, peer = connected(Recorder(), start=False)

    assert stream.send(b"welcome")

    assert read_exactly(peer, 7) == b"welcome"


def test_the_counters_and_the_clock_tell_of_what_has_come(connected):
    sink = Echo()
    stream, peer = connected(sink, FixedFraming(2))
    opened = stream.last_received
    time.sleep(0.02)

    peer.sendall(b"abcd")
    read_exactly(peer, 4)

    counted = stream.statistics()
    assert (counted.bytes_received, counted.frames_received) == (4, 2)
    assert opened < stream.last_received <= time.monotonic()
    # The peer may have the bytes before they are counted.
    assert eventually(lambda: opened < stream.last_sent <= time.monotonic())
    assert eventually(lambda: stream.statistics().bytes_sent == 4)
    assert stream.statistics().packets_sent == 2


def test_posted_packets_still_come_out_of_serve(served: Served, connected):
    sink = Echo()
    _, peer = connected(sink)

    for i in range(10):
        served.port.post("mine", i)
        peer.sendall(b"x")
        assert read_exactly(peer, 1) == b"x"

    packets = served.wait_for_packets(10)
    assert sorted(packet.overlapped for packet in packets) == list(range(10))  # Two workers.
    assert {packet.key for packet in packets} == {"mine"}


def test_a_raw_stream_of_large_traffic_comes_complete(connected):
    sink = Recorder()
    _, peer = connected(sink, RawFraming())
    body = pattern(4 << 20)

    peer.sendall(body)
    peer.shutdown(socket.SHUT_WR)

    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
    assert b"".join(sink.items) == body
