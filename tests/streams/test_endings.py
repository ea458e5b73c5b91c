"""Every way in which a stream ends: exactly one `ended`, the last call, after all that came."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest

from proactor import (
    Decoder,
    FixedFraming,
    Framing,
    FramingError,
    LengthFraming,
    PacketFraming,
    StreamEnd,
    StreamLimits,
)
from tests.streams.serving import Echo, Recorder
from tests.support.sockets import pattern, read_to_end, reset
from tests.support.streams import eventually


def test_the_peer_s_end_comes_after_its_frames(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(2))

    peer.sendall(b"abcdef")
    peer.shutdown(socket.SHUT_WR)

    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
    assert sink.items == [b"ab", b"cd", b"ef"]
    assert sink.detail == ""
    assert read_to_end(peer) == b""
    assert not stream.send(b"zz")


def test_what_was_queued_is_flushed_after_the_peer_s_end_and_nothing_is_added(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1), small_buffers=True)
    body = pattern(800_000)
    sink.on_received = lambda _: stream.send_frame(body)

    peer.sendall(b"x")
    peer.shutdown(socket.SHUT_WR)
    assert eventually(lambda: stream.is_closing)
    assert not stream.send_frame(b"late")
    assert sink.ends == []

    assert read_to_end(peer) == body
    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED


def test_a_frame_that_the_peer_did_not_finish_is_told_in_the_detail(connected):
    sink = Recorder()
    _, peer = connected(sink, LengthFraming())

    peer.sendall(LengthFraming().encode(b"whole") + b"\x0a\x00abc")
    peer.close()

    assert sink.wait_for_end() is StreamEnd.PEER_CLOSED
    assert sink.items == [b"whole"]
    assert "5 of its 12 bytes" in sink.detail


@pytest.mark.windows_differs("the end is read where the reset's error was taken off just before")
def test_a_reset_ends_it_after_the_frames_that_came(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    peer.sendall(b"a")
    sink.wait_for("received")

    reset(peer)

    assert sink.wait_for_end() is StreamEnd.RESET
    assert sink.items == [b"a"]
    assert not stream.send(b"b")
    assert stream.queued_bytes == 0


def test_a_reset_while_much_is_queued_drops_it(connected):
    sink = Recorder()
    stream, peer = connected(sink, small_buffers=True)
    while stream.queued_bytes < 500_000:
        assert stream.send_frame(bytes(10_000))

    reset(peer)

    assert sink.wait_for_end() is StreamEnd.RESET
    assert (stream.queued_bytes, stream.queued_packets) == (0, 0)


def test_close_sends_all_that_is_queued_to_a_slow_reader(connected):
    sink = Recorder()
    limits = StreamLimits(send_bytes=4 << 20)
    stream, peer = connected(sink, limits=limits, small_buffers=True)
    body = pattern(1 << 20)
    for start in range(0, len(body), 8192):
        assert stream.send_frame(body[start : start + 8192])

    stream.close()
    received = bytearray()
    while data := peer.recv(30_000):
        received += data
        if len(received) % 10 == 0:
            time.sleep(0.001)

    assert received == body
    assert sink.ends == []
    peer.close()
    assert sink.wait_for_end() is StreamEnd.CLOSED


def test_nothing_is_told_after_close(connected):
    sink = Recorder()
    limits = StreamLimits(send_high=100_000, send_low=50_000)
    stream, peer = connected(sink, limits=limits, small_buffers=True)
    while stream.queued_bytes <= 300_000:
        assert stream.send_frame(bytes(10_000))
    sink.wait_for("told")

    stream.close()
    read_to_end(peer)
    peer.close()

    assert sink.wait_for_end() is StreamEnd.CLOSED
    assert [name for name, _ in sink.calls] == ["told", "ended"]


def test_close_waits_for_the_peer_s_end_and_drops_what_it_still_sends(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    stream.close()
    assert read_to_end(peer) == b""

    peer.sendall(pattern(300_000))
    time.sleep(0.05)
    assert sink.calls == []
    peer.shutdown(socket.SHUT_WR)

    assert sink.wait_for_end() is StreamEnd.CLOSED
    assert sink.items == []


def test_close_in_received_delivers_nothing_more(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.close() if item == b"c" else None

    peer.sendall(b"abcdef")
    peer.shutdown(socket.SHUT_WR)

    assert sink.wait_for_end() is StreamEnd.CLOSED
    assert sink.items == [b"a", b"b", b"c"]


def test_a_reply_before_close_in_the_same_turn_arrives(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    sink.on_received = lambda item: (stream.send(b"bye"), stream.close())

    peer.sendall(b"x")

    assert read_to_end(peer) == b"bye"
    peer.close()
    assert sink.wait_for_end() is StreamEnd.CLOSED


def test_close_from_another_thread_in_the_middle_of_a_turn_stops_delivery(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    entered, leave = threading.Event(), threading.Event()
    sink.on_received = lambda _: (entered.set(), leave.wait(5))

    peer.sendall(b"abc")
    assert entered.wait(5)
    stream.close()
    leave.set()
    peer.close()

    assert sink.wait_for_end() is StreamEnd.CLOSED
    assert sink.items == [b"a"]


def test_close_before_start_ends_too(connected):
    sink = Recorder()
    stream, peer = connected(sink, start=False)

    stream.close()
    assert read_to_end(peer) == b""
    peer.close()

    assert sink.wait_for_end() is StreamEnd.CLOSED


def test_closing_twice_ends_once(connected):
    sink = Recorder()
    stream, peer = connected(sink)

    stream.close()
    stream.close()
    peer.close()

    assert sink.wait_for_end() is StreamEnd.CLOSED
    stream.close()
    stream.abort()
    time.sleep(0.03)
    assert sink.ends == [StreamEnd.CLOSED]


@pytest.mark.windows_differs("the peer of an abort that cuts off a send reads the end")
def test_abort_resets_the_peer_and_drops_what_is_queued(connected):
    sink = Recorder()
    stream, peer = connected(sink, small_buffers=True)
    while stream.queued_bytes < 500_000:
        assert stream.send_frame(bytes(10_000))

    stream.abort(StreamEnd.ERROR, "too slow")

    assert sink.wait_for_end() is StreamEnd.ERROR
    assert sink.detail == "too slow"
    assert (stream.queued_bytes, stream.queued_packets) == (0, 0)
    with pytest.raises(ConnectionError):
        read_to_end(peer)


@pytest.mark.windows_differs("the peer of an abort that cuts off a receive reads the end")
def test_abort_of_an_idle_stream_resets_the_peer(connected):
    sink = Recorder()
    stream, peer = connected(sink)

    stream.abort()

    assert sink.wait_for_end() is StreamEnd.ABORTED
    with pytest.raises(ConnectionError):
        read_to_end(peer)


def test_abort_ends_a_close_that_the_peer_does_not_answer(connected):
    sink = Recorder()
    stream, _ = connected(sink)
    stream.close()
    time.sleep(0.02)
    assert sink.ends == []

    stream.abort()

    assert sink.wait_for_end() is StreamEnd.ABORTED


def test_abort_in_received_delivers_nothing_more(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))
    sink.on_received = lambda item: stream.abort(detail="enough")

    peer.sendall(b"abc")

    assert sink.wait_for_end() is StreamEnd.ABORTED
    assert (sink.items, sink.detail) == ([b"a"], "enough")


def test_abort_from_many_threads_ends_once(connected):
    sink = Recorder()
    stream, _ = connected(sink)
    threads = [threading.Thread(target=stream.abort) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sink.wait_for_end() is StreamEnd.ABORTED
    time.sleep(0.02)
    assert len(sink.ends) == 1


def test_a_protocol_error_ends_it_after_the_frames_before_it(connected):
    sink = Recorder()
    framing = PacketFraming(100)
    _, peer = connected(sink, framing)
    good = b"\x05\x00\x01\x00a" + b"\x05\x00\x02\x00b"

    peer.sendall(good + b"\xff\xff\x03\x00" + bytes(50))

    assert sink.wait_for_end() is StreamEnd.PROTOCOL_ERROR
    assert [packet.id for packet in sink.items] == [1, 2]
    assert "65535" in sink.detail and "100" in sink.detail
    with pytest.raises(ConnectionError):
        peer.sendall(bytes(1000))
        read_to_end(peer)


def test_one_stream_s_protocol_error_does_not_touch_another(connected):
    bad, good = Recorder(), Echo()
    _, bad_peer = connected(bad, PacketFraming(100))
    _, good_peer = connected(good)

    bad_peer.sendall(b"\xff\xff\x00\x00")
    bad.wait_for_end()
    good_peer.sendall(b"still here")

    assert good_peer.recv(100) == b"still here"


class Choking(Framing):
    """A user's own framing, whose decoder raises what it likes."""

    max_frame = 10

    def __init__(self, error: Exception) -> None:
        self.error = error

    def decoder(self) -> Decoder:
        return self  # type: ignore[return-value]

    def encode(self, item: bytes, /) -> bytes:
        return item

    pending = 0

    def feed(self, data: bytes, /) -> list[bytes]:
        raise self.error


@pytest.mark.parametrize("error", [FramingError("it chokes", [b"good"]), ZeroDivisionError()])
def test_what_a_user_s_own_decoder_raises_is_a_protocol_error(connected, error):
    sink = Recorder()
    _, peer = connected(sink, Choking(error))

    peer.sendall(b"x")

    assert sink.wait_for_end() is StreamEnd.PROTOCOL_ERROR
    if isinstance(error, FramingError):
        assert (sink.items, sink.detail) == ([b"good"], "it chokes")
    else:
        assert "ZeroDivisionError" in sink.detail


def test_an_exception_in_received_is_told_and_the_turn_goes_on(connected):
    sink = Echo()
    stream, peer = connected(sink, FixedFraming(1))

    def fail_on_b(item: bytes) -> None:
        if item == b"b":
            raise ValueError(item)

    sink.on_received = fail_on_b
    peer.sendall(b"abc")

    sink.wait_for("received", 3)
    assert [name for name, _ in sink.calls] == ["received", "received", "failed", "received"]
    assert isinstance(sink.of("failed")[0], ValueError)
    assert not stream.is_closing


def test_a_failed_that_closes_the_stream_ends_the_turn(connected):
    sink = Recorder()
    stream, peer = connected(sink, FixedFraming(1))

    def fail(_: bytes) -> None:
        raise SystemExit("not for this thread to decide")

    sink.on_received = fail
    sink.on_failed = lambda _: stream.abort()
    peer.sendall(b"abc")

    assert sink.wait_for_end() is StreamEnd.ABORTED
    assert sink.items == [b"a"]


def test_exceptions_of_a_posted_call_and_of_news_are_told(connected):
    sink = Recorder()
    limits = StreamLimits(send_high=100_000, send_low=50_000)
    stream, _ = connected(sink, limits=limits, small_buffers=True)

    def fail(*_: object) -> None:
        raise KeyError("posted")

    sink.on_told = fail
    assert stream.post(fail)
    sink.wait_for("failed")
    while stream.queued_bytes <= 100_000:
        assert stream.send_frame(bytes(10_000))

    errors = sink.wait_for("failed", 2)
    assert [type(error) for error in errors] == [KeyError, KeyError]


def test_an_exception_in_ended_is_logged_and_the_worker_lives_on(connected, caplog):
    bad, good = Recorder(), Echo()

    def fail(_: StreamEnd) -> None:
        raise RuntimeError("in ended")

    bad.on_ended = fail
    stream, _ = connected(bad)
    _, peer = connected(good)
    with caplog.at_level(logging.ERROR, "proactor"):
        stream.abort()
        bad.wait_for_end()
        assert eventually(lambda: "in ended" in caplog.text)
    peer.sendall(b"x")

    assert peer.recv(1) == b"x"
    assert bad.of("failed") == []


def test_a_failed_that_raises_is_logged_and_the_worker_lives_on(connected, caplog):
    sink = Recorder()
    _, peer = connected(sink, FixedFraming(1))

    def fail(_: object) -> None:
        raise RuntimeError("again and again")

    sink.on_received = sink.on_failed = fail
    with caplog.at_level(logging.ERROR, "proactor"):
        peer.sendall(b"ab")
        sink.wait_for("failed", 2)
        assert eventually(lambda: "again and again" in caplog.text)


def test_posted_calls_run_in_order_also_on_an_idle_stream(connected):
    sink = Recorder()
    stream, _ = connected(sink)
    ran: list[int] = []

    for i in range(100):
        assert stream.post(lambda i=i: ran.append(i))

    assert eventually(lambda: len(ran) == 100)
    assert ran == list(range(100))


def test_a_post_during_a_turn_runs_afterwards_and_not_inside_the_call(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    order: list[str] = []

    def receive(_: bytes) -> None:
        stream.post(lambda: order.append("posted"))
        order.append("received")

    sink.on_received = receive
    peer.sendall(b"x")

    assert eventually(lambda: len(order) == 2)
    assert order == ["received", "posted"]


def test_what_is_posted_in_the_last_turn_runs_before_the_end(connected):
    sink = Recorder()
    stream, peer = connected(sink)
    ran: list[int] = []

    def end(_: bytes) -> None:
        stream.abort()
        assert stream.post(lambda: ran.append(len(sink.ends)))

    sink.on_received = end
    peer.sendall(b"x")

    assert sink.wait_for_end() is StreamEnd.ABORTED
    assert ran == [0]
    assert sink.of("failed") == []


def test_posts_that_were_taken_run_before_the_end_and_none_is_taken_after(connected):
    sink = Recorder()
    stream, _ = connected(sink)
    ran: list[int] = []
    taken = 0
    stream.abort()
    while stream.post(lambda: ran.append(len(sink.ends))):
        taken += 1
        assert taken < 1_000_000

    sink.wait_for_end()
    assert eventually(lambda: len(ran) == taken)
    assert set(ran) <= {0}, "a posted call ran after ended()"
