"""Duplicated handles: one socket behind two of them, open until the last is closed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proactor import CompletionPort, Overlapped, OverlappedSocket, SocketClosed
from tests.support.packets import no_packet, take
from tests.support.refusals import CLOSED_HERE, numbers, refused_with
from tests.support.sockets import PeerPair

Opened = Callable[[OverlappedSocket], OverlappedSocket]


@pytest.fixture
def twin(peer_pair: PeerPair, opened: Opened) -> OverlappedSocket:
    """Return a second handle to our end of the pair."""
    ours, _ = peer_pair
    return opened(ours.duplicate())


def test_P19_an_operation_through_a_duplicate_queues_with_the_key_of_the_original(
    port: CompletionPort, peer_pair: PeerPair, opened: Opened
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "the key")
    twin = opened(ours.duplicate())
    overlapped = Overlapped()

    twin.recv(bytearray(8), overlapped)
    peer.sendall(b"hello")
    packet = take(port)

    assert packet.key == "the key"
    assert packet.overlapped is overlapped
    assert packet.transferred == 5


def test_a_duplicate_of_an_attached_socket_can_not_be_attached_again(
    port: CompletionPort, peer_pair: PeerPair, opened: Opened
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    twin = opened(ours.duplicate())

    with refused_with(87):
        port.attach(twin)


def test_attaching_a_duplicate_attaches_the_original(
    port: CompletionPort, peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    ours, peer = peer_pair
    port.attach(twin, "key")

    ours.recv(bytearray(8), Overlapped())
    peer.sendall(b"hello")

    assert take(port).key == "key"


def test_receives_through_both_handles_fill_in_the_order_of_their_calls(
    port: CompletionPort, peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = bytearray(3), bytearray(3)
    ours.recv(first, Overlapped())
    twin.recv(second, Overlapped())

    peer.sendall(b"onetwo")

    assert [take(port).result(), take(port).result()] == [3, 3]
    assert [first, second] == [b"one", b"two"]


@pytest.mark.windows_differs("a receive fails with 6 once its own handle is closed")
def test_an_operation_survives_the_handle_it_was_started_on(
    port: CompletionPort, peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    # Goal: nothing is aborted until the last handle is closed.
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(8), Overlapped())

    ours.close()

    assert no_packet(port)
    peer.sendall(b"hello")
    assert take(port).result() == 5


def test_closing_the_last_handle_ends_what_is_outstanding(
    port: CompletionPort, peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(8), Overlapped())

    ours.close()
    twin.close()

    assert numbers(take(port))[0] in CLOSED_HERE
    assert peer.recv(8) == b""


def test_closing_one_handle_twice_leaves_the_other_open(
    peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    ours, peer = peer_pair

    ours.close()
    ours.close()

    twin.send(b"hello")
    assert peer.recv(8) == b"hello"


def test_a_closed_handle_refuses_what_the_other_still_does(
    port: CompletionPort, peer_pair: PeerPair, twin: OverlappedSocket
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.close()
    overlapped = Overlapped()

    for call in (
        lambda: ours.recv(bytearray(8)),
        lambda: ours.recv(bytearray(8), overlapped),
        lambda: ours.send(b"late", overlapped),
        lambda: ours.shutdown(1),
        lambda: ours.duplicate(),
        lambda: ours.getpeername(),
    ):
        with pytest.raises(SocketClosed) as caught:
            call()
        assert caught.value.winerror == 10038

    assert not overlapped.is_in_flight
    assert ours.fileno() == -1
    twin.send(b"hello", overlapped)
    assert take(port).overlapped is overlapped
    assert peer.recv(8) == b"hello"
