"""Many streams, five workers, and everybody does what comes to mind: the promises hold."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable

import pytest

from proactor import FixedFraming, Stream, StreamEnd, StreamLimits
from tests.streams.serving import Echo, Recorder, Served
from tests.support.sockets import LIMIT, read_to_end, reset

STREAMS = 40
FRAMES = 4000


class Numbered(Echo):
    """Echoes, and now and then does something else to its own stream."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    def received(self, item: bytes) -> None:
        super().received(item)
        chance = self.random.random()
        if chance < 0.005:
            self.stream.pause()
            self.stream.post(self.stream.resume)
        elif chance < 0.006:
            raise ValueError(item)
        elif chance < 0.0061:
            self.stream.close()
        elif chance < 0.0062:
            self.stream.abort()


def play_client(peer: socket.socket, seed: int) -> None:
    """Send numbered frames in random pieces, read some of the replies, and leave somehow."""
    rng = random.Random(seed)
    body = b"".join(i.to_bytes(4, "big") for i in range(rng.randrange(FRAMES)))
    with contextlib.suppress(OSError):
        while body:
            size = rng.randrange(1, 200)
            peer.sendall(body[:size])
            body = body[size:]
            if rng.random() < 0.3:
                peer.settimeout(0.001)
                with contextlib.suppress(TimeoutError):
                    peer.recv(rng.randrange(1, 2000))
                peer.settimeout(LIMIT)
        manner = rng.random()
        if manner < 0.2:
            reset(peer)
            return
        peer.shutdown(socket.SHUT_WR)
        if manner < 0.8:
            read_to_end(peer)
    peer.close()  # Of the others some have replies unread, which is a reset too.


def disturb_one(stream: Stream, rng: random.Random) -> None:
    """Do to a stream what any thread may do to it at any time."""
    actions: list[Callable[[], object]] = [
        lambda: stream.send(b"\xff" * 4),
        lambda: stream.send(b"\xfe" * 4, key=1),
        lambda: stream.post(lambda: None),
        lambda: (stream.pause(), stream.resume()),
        lambda: stream.drop_oldest(1 << 20),
        lambda: rng.random() < 0.01 and stream.close(),
        lambda: rng.random() < 0.01 and stream.abort(),
        stream.flush,
        stream.statistics,
    ]
    rng.choice(actions)()


def disturb(sinks: list[Recorder], stop: threading.Event, seed: int) -> None:
    """Use the streams of others from another thread, until told to stop."""
    rng = random.Random(seed)
    while not stop.wait(0.0002):
        disturb_one(rng.choice(sinks).stream, rng)


@pytest.mark.parametrize("concurrency", [1, 5])
def test_each_stream_ends_once_after_frames_in_order(opened, concurrency):
    served = opened(Served(5, concurrency=concurrency))
    limits = StreamLimits(frames_a_turn=5, inbox_high=400, inbox_low=100)
    sinks = [Numbered(seed) for seed in range(STREAMS)]
    peers = [opened(served.open(sink, FixedFraming(4), limits)[1]) for sink in sinks]
    stop = threading.Event()
    others = [threading.Thread(target=disturb, args=(sinks, stop, i)) for i in range(2)]
    clients = [
        threading.Thread(target=play_client, args=(peer, seed)) for seed, peer in enumerate(peers)
    ]
    for thread in (*others, *clients):
        thread.start()
    for thread in clients:
        thread.join(4 * LIMIT)
        assert not thread.is_alive()
    try:
        ends = [sink.wait_for_end() for sink in sinks]
    finally:
        stop.set()
        for thread in others:
            thread.join(LIMIT)

    for sink, end in zip(sinks, ends, strict=True):
        assert sink.overlaps == 0
        assert sink.ends == [end]
        numbers = [int.from_bytes(item, "big") for item in sink.items]
        assert numbers == list(range(len(numbers)))
        if sink.stream.statistics().frames_received == len(numbers):
            continue
        # Frames that came and were not delivered: only after an end of our own.
        assert end is not StreamEnd.PEER_CLOSED
    assert {StreamEnd.PEER_CLOSED, StreamEnd.RESET} <= set(ends), f"not random enough: {set(ends)}"
