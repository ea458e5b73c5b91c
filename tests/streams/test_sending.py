"""What is sent: in order, gathered, within a cap, the latest of a key, with news of the marks."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from proactor import (
    FixedFraming,
    InvalidParameter,
    LengthFraming,
    Packet,
    PacketFraming,
    Stream,
    StreamEnd,
    StreamLimits,
    StreamNews,
)
from tests.streams.serving import Echo, Recorder
from tests.support.sockets import pattern, read_exactly, read_to_end
from tests.support.streams import eventually


def block(stream: Stream) -> None:
    """Fill the system's buffers, so that one more packet stays queued and none can begin."""
    while stream.queued_bytes == 0:
        assert stream.send_frame(bytes(64 * 1024))
    assert eventually(lambda: stream.queued_bytes > 0)


def test_packets_leave_in_order(connected):
    stream, peer = connected(Recorder(), PacketFraming())

    for i in range(300):
        assert stream.send(Packet(i))

    assert read_exactly(peer, 1200) == b"".join(
        map(PacketFraming().encode, map(Packet, range(300)))
    )


def test_what_a_turn_queues_leaves_at_its_end(connected):
    # Method: the turn waits until the peer has had time to see what must not be there yet.
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    seen = []

    def reply_twice(_: bytes) -> None:
        stream.send(b"1")
        peer.settimeout(0.05)
        try:
            seen.append(peer.recv(1))
        except TimeoutError:
            seen.append(b"")
        stream.send(b"2")

    sink.on_received = reply_twice
    peer.sendall(b"x")
    sink.wait_for("received")
    assert eventually(lambda: bool(seen))
    peer.settimeout(5)

    assert read_exactly(peer, 2) == b"12"
    assert seen == [b""], "the first reply left in the middle of the turn"


def test_flush_sends_in_the_middle_of_a_turn(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    seen = []

    def reply(_: bytes) -> None:
        stream.send(b"now")
        stream.flush()
        seen.append(read_exactly(peer, 3))

    sink.on_received = reply
    peer.sendall(b"x")

    assert eventually(lambda: bool(seen)) and seen == [b"now"]


def test_what_a_turn_queues_on_another_stream_leaves_at_its_end_too(connected):
    first, second = Recorder(), Recorder()
    _, first_peer = connected(first)
    other, second_peer = connected(second)
    first.on_received = other.send

    first_peer.sendall(b"across")

    assert read_exactly(second_peer, 6) == b"across"


def test_another_thread_s_send_leaves_at_once(connected):
    stream, peer = connected(Recorder())

    stream.send(b"at once")

    assert read_exactly(peer, 7) == b"at once"


def test_bytes_that_change_afterwards_are_sent_as_they_were(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    body = bytearray(b"before")

    def reply(_: bytes) -> None:
        stream.send_frame(body)
        stream.send_frame(memoryview(body)[:3])
        body[:] = b"after!"

    sink.on_received = reply
    peer.sendall(b"x")

    assert read_exactly(peer, 9) == b"beforebef"


def test_what_is_no_frame_is_refused_with_an_exception(connected):
    stream, _ = connected(Recorder(), LengthFraming(10))

    with pytest.raises(TypeError):
        stream.send_frame("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        stream.send_frame(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter):
        stream.send(bytes(100))

    assert stream.queued_packets == 0


def test_large_and_small_frames_arrive_complete_and_in_order(connected):
    stream, peer = connected(Recorder(), limits=StreamLimits(send_bytes=8 << 20))
    frames = [pattern(size, size) for size in (1, 5000, 3, 300_000, 100, 4096, 70_000, 1) * 3]

    for frame in frames:
        assert stream.send_frame(frame)

    expected = b"".join(frames)
    assert read_exactly(peer, len(expected)) == expected


def test_threads_that_send_at_the_same_time_do_not_mix_their_frames(connected):
    stream, peer = connected(Recorder(), limits=StreamLimits(send_bytes=8 << 20))

    def send_many(letter: bytes) -> None:
        for size in range(1, 200):
            assert stream.send_frame(LengthFraming().encode(letter * size))

    threads = [threading.Thread(target=send_many, args=(bytes([65 + i]),)) for i in range(4)]
    for thread in threads:
        thread.start()
    decoder, bodies = LengthFraming().decoder(), []
    while len(bodies) < 4 * 199:
        bodies += decoder.feed(peer.recv(65536))
    for thread in threads:
        thread.join()

    for letter in b"ABCD":
        own = [body for body in bodies if body[0] == letter]
        assert own == [bytes([letter]) * size for size in range(1, 200)]


def test_a_peer_that_never_reads_is_refused_at_the_cap(connected):
    limits = StreamLimits(send_bytes=100_000, send_high=50_000, send_low=10_000)
    stream, _ = connected(Recorder(), limits=limits, small_buffers=True)

    sent = 0
    while stream.send_frame(bytes(10_000)):
        sent += 1
        assert stream.queued_bytes <= 100_000
        assert sent < 10_000, "nothing limits the queue"

    assert stream.statistics().refused == 1
    assert not stream.send_frame(bytes(10_000))
    assert stream.statistics().refused == 2
    assert 90_000 < stream.queued_bytes <= 100_000


def test_the_cap_counts_packets_too(connected):
    limits = StreamLimits(send_packets=10)
    stream, _ = connected(Recorder(), limits=limits, small_buffers=True)
    block(stream)

    while stream.send_frame(b"x"):
        pass

    assert stream.queued_packets == 10


def test_an_empty_queue_takes_any_one_frame(connected):
    stream, peer = connected(
        Recorder(), limits=StreamLimits(send_bytes=10, send_high=5, send_low=1)
    )
    body = pattern(1 << 20)

    assert stream.send_frame(body)

    assert read_exactly(peer, len(body)) == body


def test_a_queue_that_has_emptied_takes_again(connected):
    limits = StreamLimits(send_bytes=100_000, send_high=50_000, send_low=10_000)
    stream, peer = connected(Recorder(), limits=limits, small_buffers=True)
    total = 0
    while stream.send_frame(bytes(10_000)):
        total += 10_000

    read_exactly(peer, total)

    assert eventually(lambda: stream.queued_bytes == 0)
    assert stream.send_frame(b"again")
    assert read_exactly(peer, 5) == b"again"


def test_the_oldest_that_has_not_begun_is_dropped(connected):
    limits = StreamLimits(send_bytes=1 << 20)
    stream, peer = connected(Recorder(), FixedFraming(1000), limits, small_buffers=True)
    block(stream)
    begun = stream.queued_bytes
    for letter in b"abcdef":
        assert stream.send(bytes([letter]) * 1000)
    room = (1 << 20) - begun - 6000

    dropped = stream.drop_oldest(room + 2500)

    assert dropped == 3
    assert stream.statistics().dropped == 3
    assert stream.queued_bytes == begun + 3000
    stream.close()
    assert read_to_end(peer).lstrip(b"\0") == b"d" * 1000 + b"e" * 1000 + b"f" * 1000


def test_dropping_goes_no_further_than_what_has_begun(connected):
    stream, _ = connected(Recorder(), small_buffers=True)
    block(stream)
    begun = stream.queued_bytes

    assert stream.drop_oldest(1 << 30) == 0
    assert stream.queued_bytes == begun


def test_packets_are_dropped_for_their_number_too(connected):
    stream, _ = connected(Recorder(), limits=StreamLimits(send_packets=50), small_buffers=True)
    block(stream)
    while stream.send_frame(b"x"):
        pass

    assert stream.drop_oldest(1, 5) == 5
    assert stream.queued_packets == 45


def test_nothing_is_dropped_where_there_is_room(connected):
    stream, _ = connected(Recorder())

    assert stream.drop_oldest(1000) == 0


def test_the_latest_of_a_key_is_sent_in_the_place_of_the_first(connected):
    stream, peer = connected(Recorder(), FixedFraming(4), small_buffers=True)
    block(stream)
    begun = stream.queued_bytes

    assert stream.send(b"old1", key="position")
    assert stream.send(b"rest")
    assert stream.send(b"new1", key="position")
    assert stream.send(b"else", key="another")

    assert stream.statistics().replaced == 1
    assert stream.queued_bytes == begun + 12
    stream.close()
    assert read_to_end(peer).lstrip(b"\0") == b"new1restelse"


def test_what_has_begun_is_not_replaced(connected):
    # Method: the first of the key blocks the connection, so it has begun when the second comes.
    stream, peer = connected(
        Recorder(), small_buffers=True, limits=StreamLimits(send_bytes=1 << 26)
    )
    big = b"a" * (16 << 20)

    assert stream.send_frame(big, key=7)
    assert eventually(lambda: stream.queued_bytes > 0)
    assert stream.send_frame(b"b", key=7)

    assert stream.statistics().replaced == 0
    stream.close()
    assert read_to_end(peer) == big + b"b"


def test_a_replacement_beyond_the_cap_is_refused_and_the_old_one_stays(connected):
    limits = StreamLimits(send_bytes=300_000)
    stream, peer = connected(Recorder(), limits=limits, small_buffers=True)
    block(stream)
    assert stream.send_frame(b"old", key=1)

    assert not stream.send_frame(b"x" * 300_000, key=1)

    assert (stream.statistics().replaced, stream.statistics().refused) == (0, 1)
    stream.close()
    assert read_to_end(peer).lstrip(b"\0") == b"old"


def test_each_crossing_of_a_mark_is_told_once(connected):
    sink = Recorder()
    limits = StreamLimits(send_bytes=1 << 20, send_high=200_000, send_low=50_000)
    stream, peer = connected(sink, limits=limits, small_buffers=True)
    expected = []
    for _ in range(3):
        total = 0
        while stream.queued_bytes <= 400_000:
            assert stream.send_frame(bytes(10_000))
            total += 10_000
        expected.append(StreamNews.ABOVE_HIGH_WATER)
        assert sink.wait_for("told", len(expected)) == expected

        read_exactly(peer, total)
        expected.append(StreamNews.DRAINED)
        assert sink.wait_for("told", len(expected)) == expected

    assert stream.queued_bytes == 0
    assert sink.overlaps == 0


def test_dropping_below_the_low_mark_is_told(connected):
    sink = Recorder()
    limits = StreamLimits(send_bytes=1 << 20, send_high=300_000, send_low=299_000)
    stream, _ = connected(sink, limits=limits, small_buffers=True)
    while stream.queued_bytes <= 300_000:
        assert stream.send_frame(bytes(2000))
    sink.wait_for("told")
    room = (1 << 20) - stream.queued_bytes

    stream.drop_oldest(room + 3000)

    assert sink.wait_for("told", 2) == [StreamNews.ABOVE_HIGH_WATER, StreamNews.DRAINED]


def test_news_comes_before_the_frames_of_a_turn(connected):
    # Method: the first turn is held until both the crossing and the second frame are there.
    sink = Recorder()
    limits = StreamLimits(send_high=100_000, send_low=50_000, frames_a_turn=1)
    stream, peer = connected(sink, FixedFraming(1), limits, small_buffers=True)
    entered, leave = threading.Event(), threading.Event()
    sink.on_received = lambda _: (entered.set(), leave.wait(5))

    peer.sendall(b"ab")
    assert entered.wait(5)
    while stream.queued_bytes <= 300_000:
        assert stream.send_frame(bytes(10_000))
    leave.set()
    sink.wait_for("received", 2)

    assert [name for name, _ in sink.calls] == ["received", "told", "received"]


def test_nothing_is_taken_to_send_after_close(connected):
    sink = Recorder()
    stream, peer = connected(sink)

    stream.close()

    assert not stream.send(b"late")
    assert stream.is_closing
    assert read_to_end(peer) == b""
    peer.close()
    assert sink.wait_for_end() is StreamEnd.CLOSED
    assert not stream.send(b"later")


def test_echo_returns_a_megabyte_in_pieces(connected):
    sink = Echo()
    _, peer = connected(sink, limits=StreamLimits(send_bytes=8 << 20))
    body = pattern(1 << 20)
    received: list[Any] = []
    reader = threading.Thread(target=lambda: received.append(read_exactly(peer, len(body))))
    reader.start()

    peer.sendall(body)
    reader.join()

    assert received == [body]


def test_a_half_closed_peer_reads_what_was_queued_before_its_end(connected):
    sink = Echo()
    _, peer = connected(sink, FixedFraming(4))

    peer.sendall(b"oneatwo.")
    peer.shutdown(socket.SHUT_WR)

    assert read_to_end(peer) == b"oneatwo."
    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
