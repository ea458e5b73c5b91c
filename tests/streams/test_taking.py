"""Turns that `get_many` and `get` give out, and threads that block in a turn."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from proactor import CompletionPort, FixedFraming, StreamEnd, StreamLimits, WorkerPool
from tests.streams.serving import Echo, Recorder, Served, open_stream
from tests.support.sockets import LIMIT, read_exactly
from tests.support.streams import eventually


@pytest.fixture
def port(opened):
    return opened(CompletionPort())


def until_ended(port: CompletionPort, *sinks: Recorder) -> None:
    deadline = time.monotonic() + LIMIT
    while not all(sink.ends for sink in sinks):
        assert time.monotonic() < deadline
        assert port.get(0.05) is None


def test_a_turn_comes_out_as_a_packet_and_its_frames_are_taken(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink, FixedFraming(2))
    opened(peer)
    peer.sendall(b"abcdef")

    packet = port.get(5)

    assert (packet.key, packet.overlapped, packet.error) == (sink, stream, None)
    assert packet.transferred == 6
    assert stream.take() == [b"ab", b"cd", b"ef"]
    assert stream.take() == []
    assert sink.calls == []
    stream.abort()
    until_ended(port, sink)


def test_the_turn_is_this_thread_s_until_it_comes_back(port, opened, in_thread):
    sink = Recorder()
    stream, peer = open_stream(port, sink, FixedFraming(1))
    opened(peer)
    peer.sendall(b"a")
    assert port.get(5).overlapped is stream
    assert stream.take() == [b"a"]

    peer.sendall(b"b")
    assert in_thread(port.get, 0.1).result() is None
    packet = port.get(5)

    assert packet.overlapped is stream
    assert stream.take() == [b"b"]


def test_end_turn_gives_the_turn_back_before(port, opened, in_thread):
    def take_elsewhere() -> list[bytes]:
        packet = port.get(5)
        return packet.overlapped.take() if packet else []

    sink = Recorder()
    stream, peer = open_stream(port, sink, FixedFraming(1))
    opened(peer)
    peer.sendall(b"a")
    port.get(5)
    stream.take()
    stream.send(b"1")

    stream.end_turn()
    stream.end_turn()

    assert read_exactly(peer, 1) == b"1"
    peer.sendall(b"b")
    with port.blocking():
        assert in_thread(take_elsewhere).result() == [b"b"]


def test_what_a_held_turn_queues_leaves_when_the_thread_comes_back(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink)
    opened(peer)
    peer.sendall(b"x")
    port.get(5)
    stream.take()
    stream.send(b"1")
    stream.send(b"2")
    peer.settimeout(0.05)
    with pytest.raises(TimeoutError):
        peer.recv(1)
    peer.settimeout(5)

    assert port.get(0) is None

    assert read_exactly(peer, 2) == b"12"


def test_take_outside_a_turn_is_refused(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink)
    opened(peer)

    with pytest.raises(RuntimeError):
        stream.take()


def test_what_is_not_taken_comes_again(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink, FixedFraming(1), StreamLimits(frames_a_turn=2))
    opened(peer)
    peer.sendall(b"abc")

    assert port.get(5).overlapped is stream
    assert port.get(5).overlapped is stream
    assert stream.take() == [b"a", b"b"]
    assert port.get(5).overlapped is stream
    assert stream.take() == [b"c"]


def test_the_end_and_posted_calls_are_called_inside_get(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink)
    opened(peer)
    ran = []
    stream.post(lambda: ran.append(threading.current_thread()))
    assert port.get(0.05) is None
    assert ran == [threading.current_thread()]

    peer.close()
    until_ended(port, sink)

    assert sink.ends == [StreamEnd.PEER_CLOSED]


def test_internal_packets_do_not_come_out_of_get(port, opened):
    sink = Recorder()
    stream, peer = open_stream(port, sink, limits=StreamLimits(send_bytes=8 << 20))
    opened(peer)
    stream.send(bytes(4 << 20))
    reader = threading.Thread(target=read_exactly, args=(peer, 4 << 20))
    reader.start()
    port.post("mine")

    packets = [packet for packet in (port.get(0.05) for _ in range(8)) if packet]
    reader.join()

    assert [packet.key for packet in packets] == ["mine"]


def test_a_thread_that_waits_since_before_the_first_stream_is_not_fooled(port, opened, in_thread):
    waiting = in_thread(port.get, 5)
    assert eventually(lambda: port.statistics().waiting in (1, None))
    sink = Recorder()
    stream, peer = open_stream(port, sink)
    opened(peer)
    stream.post(lambda: None)
    peer.sendall(b"x")

    packet = waiting.result()

    assert (packet.key, packet.overlapped) == (sink, stream)


def test_a_worker_pool_serves_streams(port, opened):
    def handle(packet) -> None:
        for item in packet.overlapped.take():
            packet.overlapped.send(item)

    sink = Recorder()
    _, peer = open_stream(port, sink, FixedFraming(1))
    with WorkerPool(port, handle, 3), peer:
        for i in range(50):
            peer.sendall(bytes([i]))
            assert read_exactly(peer, 1) == bytes([i])
        peer.close()
        sink.wait_for_end()


def begin_together(
    served: Served, sinks: list[Recorder], opened, *packets: str
) -> list[socket.socket]:
    """Let one worker find a turn of each of `sinks` in its next batch, while the others wait.

    The worker starts all of them in a turn, so that their first turns queue up behind it, and
    posts `packets` behind them.
    """
    peers = []
    for sink in sinks:
        _, peer = served.open(sink, start=False)
        peer.sendall(b"x")
        peers.append(opened(peer))
    trigger = Recorder()
    trigger.on_received = lambda _: (
        [sink.stream.start() for sink in sinks],
        [served.port.post(packet) for packet in packets],
    )
    _, trigger_peer = served.open(trigger)
    opened(trigger_peer)
    waiting = (len(served.threads), None)
    assert eventually(lambda: served.port.statistics().waiting in waiting)
    trigger_peer.sendall(b"go")
    return peers


def test_a_turn_that_blocks_holds_up_none_of_its_batch(opened):
    served = opened(Served(2))
    leave = threading.Event()
    sinks = [Recorder() for _ in range(8)]
    sinks[0].on_received = lambda _: leave.wait(LIMIT)
    try:
        begin_together(served, sinks, opened)
        for sink in sinks[1:]:
            assert sink.wait_for("received", timeout=LIMIT / 2) == [b"x"]
    finally:
        leave.set()


def test_a_turn_that_says_that_it_blocks_holds_up_none_of_its_batch(opened):
    def block(_) -> None:
        with served.port.blocking():
            leave.wait(LIMIT)

    served = opened(Served(2))
    leave = threading.Event()
    sinks: list[Recorder] = [Echo(), *[Recorder() for _ in range(8)]]
    sinks[1].on_received = block
    try:
        peers = begin_together(served, sinks, opened)
        for sink in sinks[2:]:
            assert sink.wait_for("received", timeout=LIMIT / 2) == [b"x"]
        assert read_exactly(peers[0], 1) == b"x"
    finally:
        leave.set()


def test_a_turn_that_serves_its_port_loses_none_of_its_batch(opened):
    served = opened(Served(1))
    sinks = [Recorder() for _ in range(8)]
    sinks[0].on_received = lambda _: served.port.serve(8, 0)
    begin_together(served, sinks, opened)

    for sink in sinks:
        assert sink.wait_for("received") == [b"x"]


def test_a_turn_that_serves_another_port_loses_none_of_its_batch(port, opened):
    served = opened(Served(1))
    sinks = [Recorder() for _ in range(8)]
    elsewhere = Recorder()
    stream, peer = open_stream(port, elsewhere)
    opened(peer)
    stream.post(lambda: None)
    sinks[0].on_received = lambda _: port.serve(8, 0)
    begin_together(served, sinks, opened)

    for sink in sinks:
        assert sink.wait_for("received") == [b"x"]


def test_a_thread_in_get_goes_on_where_one_in_serve_is_blocked(opened):
    served = opened(Served(1))
    leave = threading.Event()
    sinks = [Recorder() for _ in range(3)]
    sinks[0].on_received = lambda _: leave.wait(LIMIT)
    try:
        begin_together(served, sinks, opened)
        sinks[0].wait_for("received")
        seen = []
        for _ in sinks[1:]:
            packet = served.port.get(LIMIT / 2)
            assert packet is not None and packet.overlapped.take() == [b"x"]
            seen.append(sinks.index(packet.key))
        assert sorted(seen) == [1, 2]
    finally:
        leave.set()


def test_an_early_reply_does_not_wait_for_a_later_turn_that_blocks(opened):
    served = opened(Served(2))
    leave = threading.Event()
    sinks: list[Recorder] = [Echo(), Echo(), Recorder()]
    sinks[2].on_received = lambda _: leave.wait(LIMIT)
    try:
        peers = begin_together(served, sinks, opened)
        for peer in peers[:2]:
            peer.settimeout(LIMIT / 2)
            assert peer.recv(1) == b"x"
    finally:
        leave.set()


def test_an_early_reply_of_a_long_batch_leaves_before_its_end(opened):
    # Method: one worker only; after the second turn the batch has lasted long enough.
    served = opened(Served(1))
    leave = threading.Event()
    sinks: list[Recorder] = [Echo(), Recorder(), Recorder()]
    sinks[1].on_received = lambda _: time.sleep(0.005)
    sinks[2].on_received = lambda _: leave.wait(LIMIT)
    try:
        peers = begin_together(served, sinks, opened)
        peers[0].settimeout(LIMIT / 2)
        assert peers[0].recv(1) == b"x"
    finally:
        leave.set()


def test_turns_that_came_with_posted_packets_run_too(opened):
    # Method: one worker, which finds turns and a packet of the user's in one batch.
    served = opened(Served(1))
    sinks = [Recorder() for _ in range(3)]
    begin_together(served, sinks, opened, "mine")

    for sink in sinks:
        assert sink.wait_for("received") == [b"x"]
    assert [packet.key for packet in served.wait_for_packets(1)] == ["mine"]


def test_a_thread_that_blocks_over_a_posted_packet_holds_up_no_turn(opened):
    served = opened(Served(2))
    leave = threading.Event()
    served.on_packet = lambda packet: packet.key == "block" and leave.wait(LIMIT)
    sinks = [Recorder() for _ in range(3)]
    try:
        begin_together(served, sinks, opened, "block")
        for sink in sinks:
            assert sink.wait_for("received", timeout=LIMIT / 2) == [b"x"]
    finally:
        leave.set()


def test_a_turn_of_a_closed_port_does_not_keep_what_is_sent_elsewhere(port, opened):
    other_port, sink, other_sink = CompletionPort(), Recorder(), Recorder()
    stream, peer = open_stream(port, sink)
    _, other_peer = open_stream(other_port, other_sink)
    opened(peer)
    opened(other_peer)
    other_peer.sendall(b"x")
    assert other_port.get(5).key is other_sink

    other_port.close()
    stream.send(b"at once")

    assert read_exactly(peer, 7) == b"at once"
