"""What an operation keeps alive: all of it until the indication is taken, nothing afterwards."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from proactor import CompletionPort, Event, Overlapped, OverlappedSocket, sleep_ex
from proactor.engines import choose
from tests.support.packets import take
from tests.support.sockets import LIMIT, PeerPair, plain_pair
from tests.support.streams import eventually

Refs = list[weakref.ref[Any]]


class Session:
    """Something of the user's that can be watched."""


class Buffer(bytearray):
    """A buffer that can be watched."""


def start_recv(sock: OverlappedSocket, **options: Any) -> Refs:
    """Start a receive with an owner, an overlapped and a buffer that nobody else knows."""
    owner, buffer = Session(), Buffer(8)
    overlapped = Overlapped(owner, **options)
    sock.recv(buffer, overlapped)
    return [weakref.ref(owner), weakref.ref(overlapped), weakref.ref(buffer)]


def alive(refs: Refs) -> int:
    gc.collect()
    return sum(ref() is not None for ref in refs)


def dead(refs: Refs) -> bool:
    """Say whether all die, also if a thread of the engine is just letting go of them."""
    return eventually(lambda: alive(refs) == 0)


def _by_data(sock: OverlappedSocket, peer: Any) -> None:
    peer.sendall(b"hello")


def _by_fin(sock: OverlappedSocket, peer: Any) -> None:
    peer.close()


def _by_cancel(sock: OverlappedSocket, peer: Any) -> None:
    sock.cancel()


def _by_close(sock: OverlappedSocket, peer: Any) -> None:
    sock.close()


ENDS = [_by_data, _by_fin, _by_cancel, _by_close]


@pytest.mark.parametrize("end", ENDS)
def test_what_the_user_drops_lives_until_the_packet_is_dropped(
    port: CompletionPort, peer_pair: PeerPair, end: Callable[[OverlappedSocket, Any], None]
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    refs = start_recv(ours)
    assert alive(refs) == 3

    end(ours, peer)

    assert alive(refs) == 3
    packet = take(port)
    assert packet.overlapped is refs[1]()
    assert packet.overlapped.owner is refs[0]()
    del packet
    assert dead(refs)


@pytest.mark.parametrize("end", ENDS)
def test_with_an_event_it_lives_until_completion(
    peer_pair: PeerPair, end: Callable[[OverlappedSocket, Any], None]
) -> None:
    ours, peer = peer_pair
    with Event() as event:
        refs = start_recv(ours, event=event)
        assert alive(refs) == 3

        end(ours, peer)

        assert event.wait(LIMIT)
        assert dead(refs)


@pytest.mark.parametrize("end", ENDS)
def test_with_a_routine_it_lives_until_the_call(
    peer_pair: PeerPair, end: Callable[[OverlappedSocket, Any], None]
) -> None:
    ours, peer = peer_pair
    seen: list[int] = []
    refs = start_recv(ours, routine=lambda *_: seen.append(alive(refs)))

    end(ours, peer)

    assert alive(refs) == 3
    assert sleep_ex(LIMIT)
    assert seen[0] >= 2  # The owner and the overlapped; the buffer may be free by then.
    assert dead(refs)


def test_a_socket_that_is_dropped_while_it_receives_ends_its_operation(
    port: CompletionPort,
) -> None:
    # Goal: nothing of the engine keeps a socket open that its user has lost.
    server, client = plain_pair()
    with client:
        ours = OverlappedSocket.adopt(server)
        port.attach(ours)
        overlapped = Overlapped()
        ours.recv(bytearray(8), overlapped)
        overlapped.socket = None  # The only other name of the socket.
        with pytest.warns(ResourceWarning, match="was never closed"):
            del ours, server
            gc.collect()

        assert take(port).error is not None
        assert client.recv(8) == b""


def test_a_key_lives_as_long_as_its_socket(port: CompletionPort) -> None:
    server, client = plain_pair()
    with client:
        ours = OverlappedSocket.adopt(server)
        key = Session()
        refs: Refs = [weakref.ref(key)]
        port.attach(ours, key)
        del key
        ours.recv(bytearray(8), Overlapped())
        client.sendall(b"hello")

        assert take(port).key is refs[0]()
        assert alive(refs) == 1  # For the next operation.
        ours.recv(bytearray(8), Overlapped())
        ours.close()
        del ours
        assert alive(refs) == 1  # For the packet of the last one.
        packet = take(port)
        assert packet.key is refs[0]()
        del packet, server
        assert dead(refs)


def test_a_session_that_is_its_own_overlapped_and_its_own_key_is_no_leak(
    port: CompletionPort,
) -> None:
    # Goal: the cycles session -> socket -> port -> key -> session are all broken at the end.
    class Player(Overlapped):
        def __init__(self, sock: OverlappedSocket) -> None:
            super().__init__()
            self.sock = sock
            self.buffer = bytearray(8)

    server, client = plain_pair()
    with client:
        player = Player(OverlappedSocket.adopt(server))
        refs: Refs = [weakref.ref(player), weakref.ref(player.sock)]
        port.attach(player.sock, player)
        player.sock.recv(player.buffer, player)
        del player, server
        assert alive(refs) == 2

        client.close()
        packet = take(port)
        assert packet.key is packet.overlapped is refs[0]()
        packet.overlapped.sock.close()
        del packet
        assert dead(refs)


def test_a_refused_call_keeps_nothing_alive(port: CompletionPort) -> None:
    refs: Refs = []
    with OverlappedSocket() as unconnected:
        port.attach(unconnected)
        buffer, overlapped = Buffer(8), Overlapped(Session())
        refs += [weakref.ref(buffer), weakref.ref(overlapped), weakref.ref(overlapped.owner)]
        with pytest.raises(OSError):
            unconnected.recv(buffer, overlapped)
        del buffer, overlapped

        assert dead(refs)


def test_a_packet_that_is_queued_lives_and_one_that_is_taken_does_not(
    port: CompletionPort,
) -> None:
    session = Session()
    refs: Refs = [weakref.ref(session)]
    port.post(session, session, session)
    del session
    assert alive(refs) == 1

    assert take(port).key is refs[0]()

    assert dead(refs)


def test_closing_a_port_drops_what_is_queued() -> None:
    port = CompletionPort()
    refs: Refs = [weakref.ref(key) for key in [Session()] if port.post(key) is None]
    assert alive(refs) == 1

    port.close()

    assert dead(refs)


def test_closing_a_port_and_its_socket_drops_what_was_in_flight(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    port = CompletionPort()
    port.attach(ours)
    refs = start_recv(ours)

    port.close()
    assert alive(refs) == 3  # The memory may still be written to.
    ours.close()

    assert dead(refs)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_socket_whose_making_fails_leaves_without_a_word(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def open_socket(*_: object, **__: object) -> None:
        raise error

    class Engine:
        pass

    engine: Any = Engine()
    engine.open_socket = open_socket
    monkeypatch.setattr(choose, "current", lambda: engine)
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    ours, peer = plain_pair()
    with ours, peer, pytest.raises(error):
        OverlappedSocket.adopt(ours)
    gc.collect()

    assert unraisable == []
