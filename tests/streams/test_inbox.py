"""The inbox: what pausing and its limits hold back, and how many frames a turn has."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from proactor import CompletionPort, FixedFraming, LengthFraming, StreamEnd, StreamLimits
from tests.streams.serving import Recorder, open_stream
from tests.support.sockets import pattern, reset
from tests.support.streams import eventually


def push_all(peer: socket.socket, body: bytes) -> int:
    """Send until the connection takes nothing for 100 ms; return how many bytes it took."""
    peer.settimeout(0.1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(body):
            sent += peer.send(memoryview(body)[sent : sent + 65536])
    return sent


def push_until_it_stops(peer: socket.socket, most: int) -> int:
    """The same, with pieces of `pattern` of 4 KiB."""
    peer.settimeout(0.1)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += peer.send(pattern(4096, sent))
    return sent


def test_a_paused_stream_delivers_nothing_until_it_is_resumed(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    stream.pause()
    stream.pause()

    peer.sendall(b"abc")
    time.sleep(0.05)
    assert sink.calls == []
    stream.resume()

    assert sink.wait_for("received", 3) == [b"a", b"b", b"c"]


def test_pause_in_received_stops_within_the_turn(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.pause() if item == b"b" else None

    peer.sendall(b"abcd")
    sink.wait_for("received", 2)
    assert eventually(lambda: stream.inbox_bytes == 2)
    time.sleep(0.03)
    assert sink.items == [b"a", b"b"]
    stream.resume()

    assert sink.wait_for("received", 4) == [b"a", b"b", b"c", b"d"]
    assert eventually(lambda: stream.inbox_bytes == 0)


def test_posted_calls_run_while_a_stream_is_paused(connected):
    stream, _ = connected(Recorder())
    ran = threading.Event()
    stream.pause()

    stream.post(ran.set)

    assert ran.wait(5)


def test_a_paused_stream_lets_the_connection_push_back(connected):
    sink = Recorder()
    stream, peer = connected(sink, small_buffers=True)
    stream.pause()

    taken = push_until_it_stops(peer, 64 << 20)
    assert taken < 32 << 20
    stream.resume()

    assert eventually(lambda: sum(map(len, sink.items)) == taken)


def test_a_full_inbox_lets_the_connection_push_back_and_goes_on_when_it_is_taken(connected):
    # Method: the first frame is held in its turn, so that nothing more is taken.
    sink = Recorder()
    limits = StreamLimits(inbox_high=50_000, inbox_low=10_000)
    stream, peer = connected(sink, FixedFraming(1024), limits, small_buffers=True)
    leave = threading.Event()
    sink.on_received = lambda _: leave.wait(10)

    taken = push_until_it_stops(peer, 64 << 20)
    assert taken < 32 << 20
    assert stream.inbox_bytes <= 50_000 + 65_536
    leave.set()

    assert eventually(lambda: len(sink.items) == taken // 1024)
    assert (
        b"".join(sink.items)
        == b"".join(pattern(4096, start) for start in range(0, taken, 4096))[: taken // 1024 * 1024]
    )


def test_a_stream_that_is_paused_in_the_middle_of_a_frame_receives_no_more_of_it(connected):
    sink = Recorder()
    framing = LengthFraming(64 << 20, length_bytes=4)
    stream, peer = connected(sink, framing, small_buffers=True)
    stream.pause()

    taken = push_all(peer, framing.encode(pattern(32 << 20)))
    assert taken < 16 << 20
    stream.abort()


def test_an_inbox_that_fills_faster_than_it_is_taken_is_bounded(connected):
    # Method: many small frames, few a turn: without the limit each turn would add 64 KiB.
    sink = Recorder()
    limits = StreamLimits(inbox_high=100_000, inbox_low=20_000, frames_a_turn=8)
    stream, peer = connected(sink, FixedFraming(256), limits)
    seen = []
    sink.on_received = lambda _: seen.append(stream.inbox_bytes)
    body = pattern(4 << 20)

    peer.sendall(body)

    assert b"".join(sink.wait_for("received", len(body) // 256)) == body
    # Beyond the limit at most what one look at the kernel can bring: of a ring, all its buffers.
    assert max(seen) <= 100_000 + (1 << 20)


def test_the_end_waits_behind_the_frames_of_a_paused_stream(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.pause() if item == b"a" else None
    peer.sendall(b"ab")
    peer.close()
    sink.wait_for("received")
    time.sleep(0.03)
    assert sink.items == [b"a"] and sink.ends == []

    stream.resume()

    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
    assert sink.items == [b"a", b"b"]


@pytest.mark.parametrize("end", ["close", "abort"])
def test_a_paused_stream_can_be_ended(connected, end):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.pause()
    peer.sendall(b"abc")
    sink.wait_for("received")

    getattr(stream, end)()
    peer.close()

    assert sink.wait_for_end() in (StreamEnd.CLOSED, StreamEnd.ABORTED)
    assert sink.items == [b"a"]


def test_a_paused_stream_that_was_reset_can_be_ended(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.pause()
    peer.sendall(b"abc")
    sink.wait_for("received")
    reset(peer)
    time.sleep(0.02)

    stream.abort()

    assert sink.wait_for_end() in (StreamEnd.RESET, StreamEnd.ABORTED)
    assert sink.items == [b"a"]


def test_after_its_frames_a_stream_goes_to_the_back_of_the_queue(opened):
    # Method: one thread, which takes one packet at a time; two streams that are both full.
    port = opened(CompletionPort())
    order: list[str] = []
    sinks = {}
    for name in ("first", "second"):
        sink = sinks[name] = Recorder()
        sink.on_received = lambda _, name=name: order.append(name)
        _, peer = open_stream(
            port, sink, FixedFraming(1), StreamLimits(frames_a_turn=2), start=False
        )
        opened(peer)
        peer.sendall(b"abcdef")
    for sink in sinks.values():
        sink.stream.start()
    for _ in range(100):
        if len(order) < 12:
            port.serve(1, 0.1)

    turns = ["".join(group) for group in zip(order[::2], order[1::2], strict=True)]
    # The second one may have been received later: from then on they alternate, to the last frame.
    begun = turns.index("secondsecond")
    assert turns[:begun] == ["firstfirst"] * begun
    left = 3 - begun
    assert turns[begun:] == (["secondsecond", "firstfirst"] * 3)[: 2 * left] + ["secondsecond"] * (
        3 - left
    )
    for sink in sinks.values():
        assert b"".join(sink.items) == b"abcdef"


def test_limits_that_contradict_each_other_are_refused():
    for wrong in (
        {"inbox_low": 10, "inbox_high": 9},
        {"send_low": 10, "send_high": 9},
        {"send_low": -1},
        {"send_bytes": 0},
        {"send_packets": 0},
        {"frames_a_turn": 0},
    ):
        with pytest.raises(ValueError):
            StreamLimits(**wrong)


def test_many_small_frames_in_one_receive_are_all_counted(connected):
    sink = Recorder()
    framing = LengthFraming()
    stream, peer = connected(sink, framing)

    peer.sendall(framing.encode(b"") * 5000)

    assert len(sink.wait_for("received", 5000)) == 5000
    assert stream.statistics().bytes_received == 10_000
    assert eventually(lambda: stream.inbox_bytes == 0)
