"""The send queue by itself: pure state, so that each rule is shown without a socket."""

from __future__ import annotations

import pytest

from proactor import StreamLimits, StreamNews
from proactor.strands.send_queue import COPY_BELOW, GATHER_BYTES, SendQueue


def queue_of(**limits: int) -> SendQueue:
    named = {"send_high": 100, "send_low": 50, "send_bytes": 200, "send_packets": 5} | limits
    return SendQueue(StreamLimits(**named))


def joined(begun: bytes | list[bytes]) -> bytes:
    return begun if isinstance(begun, bytes) else b"".join(begun)


def test_packets_leave_first_in_first_out():
    queue = queue_of()
    for frame in (b"a", b"b", b"c"):
        assert queue.push(frame)

    assert joined(queue.begin()) == b"abc"
    assert not queue.waiting


def test_what_has_begun_counts_until_it_is_sent():
    queue = queue_of()
    queue.push(b"abc")
    queue.push(b"de")
    queue.begin()
    queue.push(b"f")

    assert (queue.bytes, queue.packets) == (6, 3)
    assert (queue.begun_bytes, queue.begun_packets) == (5, 2)
    queue.sent()
    assert (queue.bytes, queue.packets) == (1, 1)


@pytest.mark.parametrize("frames", [[199, 1], [50, 50, 50, 50]])
def test_the_cap_is_met_exactly(frames):
    queue = queue_of()
    for size in frames:
        assert queue.push(bytes(size))

    assert not queue.push(b"x")
    assert (queue.bytes, queue.refused) == (200, 1)


def test_the_packets_are_capped_too():
    queue = queue_of()
    assert all(queue.push(b"x") for _ in range(5))

    assert not queue.push(b"")
    queue.begin()
    assert not queue.push(b"")
    queue.sent()
    assert queue.push(b"")


def test_only_an_empty_queue_takes_a_frame_beyond_the_cap():
    queue = queue_of()
    assert queue.push(bytes(1000))
    assert not queue.push(b"x")
    queue.begin()
    assert not queue.push(b"x")
    queue.sent()

    assert queue.push(bytes(1000))


def test_a_keyed_packet_is_replaced_in_its_place():
    queue = queue_of()
    queue.push(b"old", 1)
    queue.push(b"x")
    queue.push(b"newer", 1)

    assert (queue.bytes, queue.packets, queue.replaced) == (6, 2, 1)
    assert joined(queue.begin()) == b"newerx"
    queue.push(b"next", 1)
    assert queue.replaced == 1


def test_a_larger_replacement_obeys_the_cap_unless_it_is_alone():
    queue = queue_of()
    queue.push(b"k", 1)
    assert queue.push(bytes(500), 1)
    assert queue.push(b"k", 1)
    queue.push(bytes(199))

    assert not queue.push(b"kk", 1)
    assert (queue.bytes, queue.refused, queue.replaced) == (200, 1, 2)
    assert queue.push(b"", 1)


def test_the_oldest_are_dropped_and_no_more_than_needed():
    queue = queue_of()
    for frame in (b"a" * 50, b"b" * 50, b"c" * 50, b"d" * 50):
        queue.push(frame, frame[:1])

    assert queue.drop_oldest(60) == 2
    assert (queue.bytes, queue.packets, queue.dropped) == (100, 2, 2)
    assert queue.push(b"new a", b"a"), "a dropped key is free"
    assert joined(queue.begin()) == b"c" * 50 + b"d" * 50 + b"new a"


def test_dropping_everything_that_waits_makes_room_for_any_frame():
    queue = queue_of()
    queue.push(b"a")
    queue.push(b"b")

    assert queue.drop_oldest(10_000) == 2
    assert queue.push(bytes(10_000))


def test_what_has_begun_is_not_dropped():
    queue = queue_of()
    queue.push(bytes(150))
    queue.begin()
    queue.push(bytes(50))

    assert queue.drop_oldest(100) == 1
    assert queue.bytes == 150


def test_small_neighbours_are_joined_and_large_ones_are_not_copied():
    queue = queue_of(send_bytes=1 << 20, send_high=1 << 20, send_packets=100)
    large = bytes(COPY_BELOW)
    for frame in (b"a", b"b", large, b"c", large):
        queue.push(frame)

    begun = queue.begin()

    assert begun == [b"ab", large, b"c", large]
    assert begun[1] is large


def test_one_send_has_a_bounded_number_of_buffers_and_bytes():
    queue = queue_of(send_bytes=1 << 30, send_high=1 << 30, send_packets=1000)
    for _ in range(200):
        queue.push(bytes(COPY_BELOW))
        queue.push(b"x")
    count = 0
    while queue.waiting:
        begun = queue.begin()
        assert isinstance(begun, list) and len(begun) <= 64
        assert queue.begun_bytes < GATHER_BYTES + COPY_BELOW
        count += queue.begun_packets
        queue.sent()

    assert (count, queue.bytes, queue.packets) == (400, 0, 0)


def test_a_frame_of_many_megabytes_goes_alone():
    queue = queue_of(send_bytes=1 << 30)
    queue.push(b"x")
    queue.push(bytes(GATHER_BYTES * 2))
    queue.push(b"y")

    assert len(joined(queue.begin())) == GATHER_BYTES * 2 + 1
    queue.sent()
    assert queue.begin() == b"y"


def test_crossing_a_mark_is_news_once():
    queue = queue_of()
    queue.push(bytes(100))
    assert queue.take_news() == StreamNews(0)
    queue.push(b"x")
    assert queue.take_news() == StreamNews.ABOVE_HIGH_WATER
    queue.push(b"x")
    assert queue.take_news() == StreamNews(0)

    queue.begin()
    queue.push(bytes(51))
    queue.sent()
    assert queue.take_news() == StreamNews(0), "51 bytes are above the low mark"
    queue.begin()
    queue.sent()
    assert queue.take_news() == StreamNews.DRAINED
    assert queue.take_news() == StreamNews(0)


def test_a_crossing_and_its_undoing_before_anybody_was_told_cancel_out():
    queue = queue_of()
    queue.push(bytes(150))
    queue.begin()
    queue.sent()
    assert queue.take_news() == StreamNews(0)

    queue.push(bytes(150))
    assert queue.take_news() == StreamNews.ABOVE_HIGH_WATER
    queue.begin()
    queue.sent()
    queue.push(bytes(150))
    assert queue.take_news() == StreamNews(0), "it is above, as was told"


def test_dropping_and_replacing_cross_marks_too():
    queue = queue_of()
    queue.push(bytes(40), 1)
    queue.push(bytes(40))
    queue.push(bytes(110), 1)
    assert queue.take_news() == StreamNews.ABOVE_HIGH_WATER
    queue.push(bytes(1), 1)
    assert queue.take_news() == StreamNews.DRAINED
    queue.push(bytes(100))
    assert queue.take_news() == StreamNews.ABOVE_HIGH_WATER

    queue.drop_oldest(150)

    assert queue.take_news() == StreamNews.DRAINED


def test_clearing_forgets_everything_also_what_has_begun():
    queue = queue_of()
    queue.push(bytes(150), 1)
    queue.begin()
    queue.push(b"x", 2)

    queue.clear()
    queue.sent()

    assert (queue.bytes, queue.packets, queue.begun_bytes, len(queue.waiting)) == (0, 0, 0, 0)
    assert queue.take_news() == StreamNews(0)
