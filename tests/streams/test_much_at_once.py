"""A raw stream that brings much at once: native engines receive it in its turns."""

from __future__ import annotations

import threading

import pytest

from proactor import CompletionPort, StreamEnd
from proactor.framing import Framing
from tests.streams.serving import Recorder, Served, open_stream
from tests.support.sockets import LIMIT, pattern, read_exactly
from tests.support.streams import Opened

MUCH = 64 * 1024


@pytest.fixture
def port():
    with CompletionPort() as port:
        yield port


def sent_by_a_thread(peer, pieces):
    def send() -> None:
        for piece in pieces:
            peer.sendall(piece)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("workers", [1, 3])
def test_all_of_it_is_delivered_in_order_and_then_the_end(opened: Opened, workers: int) -> None:
    served = opened(Served(workers))
    sink = Recorder()
    _, peer = served.open(sink)
    pieces = [pattern(100 if place % 4 == 3 else MUCH + place, place) for place in range(60)]

    with peer:
        sender = sent_by_a_thread(peer, pieces)
        sender.join(LIMIT)
    sink.wait_for("ended")

    assert b"".join(sink.of("received")) == b"".join(pieces)
    assert sink.of("ended") == [StreamEnd.PEER_CLOSED]
    assert sink.overlaps == 0


def test_what_is_echoed_at_once_is_the_same(opened: Opened) -> None:
    served = opened(Served(2))
    sink = Recorder()
    sink.on_received = lambda received: sink.stream.send(received)
    _, peer = served.open(sink)
    opened(peer)
    for turn in range(20):
        sent = pattern(MUCH, turn)
        sender = sent_by_a_thread(peer, [sent])
        assert read_exactly(peer, MUCH) == sent
        sender.join(LIMIT)


def test_a_packet_of_a_turn_gives_what_it_says(port: CompletionPort, opened: Opened) -> None:
    stream, peer = open_stream(port, Recorder())
    opened(peer)
    sent, got = pattern(6 * MUCH, 1), b""
    sender = sent_by_a_thread(peer, [sent])
    while len(got) < len(sent):
        packet = port.get(LIMIT)
        assert packet is not None and packet.transferred > 0
        items = stream.take()
        assert sum(map(len, items)) == packet.transferred or len(items) > 1
        got += b"".join(items)
    sender.join(LIMIT)
    assert got == sent


def test_a_turn_that_takes_nothing_loses_nothing(port: CompletionPort, opened: Opened) -> None:
    stream, peer = open_stream(port, Recorder())
    opened(peer)
    sent, got = pattern(6 * MUCH, 2), b""
    sender = sent_by_a_thread(peer, [sent])
    turns = 0
    while len(got) < len(sent):
        assert port.get(LIMIT) is not None
        turns += 1
        if turns % 2:
            stream.end_turn()
        else:
            got += b"".join(stream.take())
    sender.join(LIMIT)
    assert got == sent


def test_a_pause_in_the_midst_keeps_it(opened: Opened) -> None:
    served = opened(Served(1))
    sink = Recorder()
    sink.on_received = lambda _: sink.stream.pause()
    stream, peer = served.open(sink)
    opened(peer)
    sent = pattern(8 * MUCH, 3)
    sender = sent_by_a_thread(peer, [sent])
    count = 0
    while len(b"".join(sink.of("received"))) < len(sent):
        count += 1
        sink.wait_for("received", count)
        assert len(sink.of("received")) == count, "nothing is delivered while it pauses"
        stream.resume()
    sender.join(LIMIT)
    assert b"".join(sink.of("received")) == sent


def test_a_framing_of_the_users_own_gets_it_as_well(opened: Opened) -> None:
    class Halves(Framing):
        """Frames of half of `MUCH`."""

        max_frame = MUCH // 2

        def encode(self, item):
            return bytes(item)

        def decoder(self):
            return HalvesDecoder()

    class HalvesDecoder:
        pending = 0

        def __init__(self) -> None:
            self._rest = b""

        def feed(self, received: bytes) -> list[bytes]:
            self._rest += received
            size = MUCH // 2
            whole = len(self._rest) // size * size
            frames = [self._rest[at : at + size] for at in range(0, whole, size)]
            self._rest = self._rest[whole:]
            self.pending = len(self._rest)
            return frames

    served = opened(Served(1))
    sink = Recorder()
    _, peer = served.open(sink, framing=Halves())
    opened(peer)
    sent = pattern(10 * MUCH, 4)
    sender = sent_by_a_thread(peer, [sent])
    frames = sink.wait_for("received", 20)
    sender.join(LIMIT)
    assert b"".join(frames) == sent and {len(frame) for frame in frames} == {MUCH // 2}
