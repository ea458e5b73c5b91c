"""Many sockets, several workers: nothing is lost, doubled or handed to the wrong session."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proactor import CompletionPort, OperationKind, Overlapped, OverlappedSocket
from tests.support.packets import take
from tests.support.sockets import LIMIT, pattern, plain_pair, read_exactly, reset
from tests.support.threads import Running

InThread = Callable[..., Running[Any]]


class EchoSession:
    """Sends back what it receives, one operation at a time, and counts its indications."""

    def __init__(self, sock: OverlappedSocket) -> None:
        self.sock = sock
        self.buffer = bytearray(512)
        self.overlapped = Overlapped(self)
        self.started = 0
        self.indicated = 0

    def receive(self) -> None:
        self.started += 1
        self._or_close(lambda: self.sock.recv(self.buffer, self.overlapped))

    def serve(self, kind: OperationKind, transferred: int, error: OSError | None) -> None:
        self.indicated += 1
        if error is not None or transferred == 0:
            self.sock.close()
        elif kind is OperationKind.RECV:
            self.started += 1
            view = memoryview(self.buffer)[:transferred]
            self._or_close(lambda: self.sock.send(view, self.overlapped))
        else:
            self.receive()

    def _or_close(self, start: Callable[[], object]) -> None:
        try:
            start()
        except OSError:
            self.started -= 1  # A call that is refused indicates nothing.
            self.sock.close()


class EchoService:
    """Echo sessions on a port with four workers, and the peers that talk to them."""

    def __init__(self, port: CompletionPort, count: int) -> None:
        pairs = [plain_pair() for _ in range(count)]
        self.port = port
        self.peers = [peer for _, peer in pairs]
        self.sessions = [EchoSession(OverlappedSocket.adopt(server)) for server, _ in pairs]
        for session in self.sessions:
            port.attach(session.sock, session)
            session.receive()

    def work(self) -> None:
        while (packet := take(self.port)).key != "stop":
            assert packet.key is packet.overlapped.owner
            packet.key.serve(packet.overlapped.kind, packet.transferred, packet.error)

    def end(self, workers: list[Running[Any]]) -> None:
        """Wait for each session to hear that its peer has gone, end the workers, and count."""
        deadline = time.monotonic() + LIMIT
        for session in self.sessions:
            while session.sock.fileno() != -1:
                assert time.monotonic() < deadline, f"{session.sock!r} never hears of its end"
                time.sleep(0.002)
        for _ in workers:
            self.port.post("stop")
        for worker in workers:
            worker.result()
        assert self.port.get(0.0) is None
        for session in self.sessions:
            assert session.started == session.indicated
            assert not session.overlapped.is_in_flight

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        for session in self.sessions:
            session.sock.close()


@pytest.fixture(params=[1, 2, 8])
def service(request: pytest.FixtureRequest, engine: str) -> Iterator[EchoService]:
    """Return an echo service of 24 sessions on a port of concurrency 1, 2 or 8."""
    with CompletionPort(request.param) as port:
        made = EchoService(port, 24)
        yield made
        made.close()


def test_each_byte_comes_back_to_the_session_that_sent_it(
    service: EchoService, in_thread: InThread
) -> None:
    rounds = 15
    workers = [in_thread(service.work) for _ in range(4)]

    def talk(number: int) -> None:
        peer = service.peers[number]
        for turn in range(rounds):
            text = pattern(1 + (number * 37 + turn * 101) % 400, number)
            peer.sendall(text)
            assert read_exactly(peer, len(text)) == text
        peer.close()

    talking = [in_thread(talk, number) for number in range(len(service.peers))]
    for running in talking:
        running.result()
    service.end(workers)


def test_with_peers_that_reset_each_operation_is_still_indicated_once(
    service: EchoService, in_thread: InThread
) -> None:
    # Goal: whenever the peer vanishes, what was started is indicated, once, and nothing else is.
    workers = [in_thread(service.work) for _ in range(4)]

    def talk(number: int) -> None:
        peer, dice = service.peers[number], random.Random(number)
        for _ in range(dice.randrange(10)):
            peer.sendall(pattern(dice.randrange(1, 400)))
            if dice.random() < 0.5:
                peer.recv(64)
        if dice.random() < 0.7:
            reset(peer)
        else:
            peer.close()

    talking = [in_thread(talk, number) for number in range(len(service.peers))]
    for running in talking:
        running.result()
    service.end(workers)
