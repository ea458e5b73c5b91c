"""Group E, first half: readiness by event object (`event_select`, `enum_network_events`)."""

from __future__ import annotations

import socket

import pytest

from proactor import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_READ,
    FD_WRITE,
    Event,
    Overlapped,
    OverlappedSocket,
    WouldBlock,
    enum_network_events,
    event_select,
)
from tests.support.news import news, no_news
from tests.support.packets import QUIET
from tests.support.refusals import refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    closed_address,
    plain_client,
    read_exactly,
    reset,
)
from tests.support.streams import InThread, Opened, fill, until_readable

REFUSAL_LIMIT = 15.0
"""Windows sends a refused SYN again and again for about two seconds."""


def test_E01_selecting_makes_a_socket_non_blocking_until_it_is_cancelled(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)

    with pytest.raises(WouldBlock) as caught:
        ours.recv(bytearray(8))
    assert caught.value.winerror == 10035
    with refused_with(10022):
        ours.setblocking(True)

    event_select(ours, None, 0)
    with pytest.raises(WouldBlock):
        ours.recv(bytearray(8))  # It stays so ...
    ours.setblocking(True)  # ... until this, which is now allowed.
    peer.sendall(b"hello")
    assert ours.recv(bytearray(8)) == 5


@pytest.mark.windows_differs("data that come before the receive signal nothing")
def test_E02_more_data_signal_again_also_before_the_receive(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"first")
    news(ours, event, FD_READ)

    peer.sendall(b"second")

    news(ours, event, FD_READ)


def test_E04_selecting_the_same_again_does_not_repeat_what_was_taken(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"hello")
    news(ours, event, FD_READ)

    event_select(ours, event, FD_READ)

    assert no_news(ours, event)


def test_E05_a_connected_socket_says_once_that_it_is_writable(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, _ = peer_pair
    event_select(ours, event, FD_WRITE)

    assert news(ours, event, FD_WRITE) == {FD_WRITE: 0}
    ours.send(b"hello")

    assert no_news(ours, event)


def test_E07_a_full_socket_says_when_it_is_writable_again(
    peer_pair: PeerPair, event: Event, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_WRITE)
    news(ours, event, FD_WRITE)
    sent = fill(ours)
    assert enum_network_events(ours, event) == (0, {})

    assert len(in_thread(read_exactly, peer, sent).result()) == sent

    news(ours, event, FD_WRITE)
    ours.send(b"room again")


def test_E08_the_peers_close_is_said_once(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)

    peer.close()

    assert news(ours, event, FD_CLOSE) == {FD_CLOSE: 0}
    assert enum_network_events(ours, event) == (0, {})
    assert ours.recv(bytearray(8)) == 0
    assert no_news(ours, event)


def test_a_half_close_and_then_a_close_of_the_peer_are_one_event(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_CLOSE)
    peer.shutdown(socket.SHUT_WR)
    news(ours, event, FD_CLOSE)

    peer.close()

    assert no_news(ours, event)


@pytest.mark.windows_differs("the error of a reset is 0")
def test_E09_a_reset_is_a_close_with_10053(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)

    reset(peer)

    assert news(ours, event, FD_CLOSE) == {FD_CLOSE: 10053}
    assert enum_network_events(ours, event) == (0, {})


@pytest.mark.windows_differs("the close is said when all has been read")
def test_E10_the_close_is_said_at_once_and_unread_data_again_after_a_part_of_it(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)

    peer.sendall(b"hello")
    peer.close()

    news(ours, event, FD_READ | FD_CLOSE)
    buffer = bytearray(2)
    received = bytearray()
    while len(received) < 5:
        received += buffer[: ours.recv(buffer)]
        if len(received) < 5:
            news(ours, event, FD_READ)
    assert received == b"hello"
    assert ours.recv(buffer) == 0


def test_E11_accepting_one_connection_tells_of_the_next(
    listener: OverlappedSocket, event: Event
) -> None:
    event_select(listener, event, FD_ACCEPT)
    with plain_client(listener.getsockname()), plain_client(listener.getsockname()):
        until_readable(listener)
        news(listener, event, FD_ACCEPT)

        listener.accept().close()
        news(listener, event, FD_ACCEPT)
        listener.accept().close()

        assert no_news(listener, event)


def test_E13_data_for_a_pending_recv_are_no_news(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    with Event() as done:
        overlapped = Overlapped(event=done)
        ours.recv(bytearray(5), overlapped)

        peer.sendall(b"hello")

        assert overlapped.get_result(wait=True) == 5
    assert no_news(ours, event)


def test_E14_a_close_that_was_not_selected_is_said_when_it_is(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.close()
    until_readable(ours)
    assert enum_network_events(ours, event) == (0, {})

    event_select(ours, event, FD_READ | FD_CLOSE)

    news(ours, event, FD_CLOSE)


def test_E15_a_connect_says_that_it_is_connected_and_writable(
    listener: OverlappedSocket, event: Event, opened: Opened
) -> None:
    ours = opened(OverlappedSocket())
    event_select(ours, event, FD_ALL_EVENTS)
    with pytest.raises(WouldBlock):
        ours.connect(listener.getsockname())

    assert news(ours, event, FD_CONNECT | FD_WRITE) == {FD_CONNECT: 0, FD_WRITE: 0}
    listener.accept().close()


def test_a_connect_that_is_refused_says_why(event: Event, opened: Opened) -> None:
    ours = opened(OverlappedSocket())
    event_select(ours, event, FD_CONNECT)
    with pytest.raises(WouldBlock):
        ours.connect(closed_address())

    assert news(ours, event, FD_CONNECT, REFUSAL_LIMIT) == {FD_CONNECT: 10061}


def test_E16_ones_own_close_is_no_news(peer_pair: PeerPair, event: Event) -> None:
    ours, _ = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)

    ours.close()

    assert not event.wait(QUIET)


def test_E17_only_what_happened_has_an_error(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)
    peer.sendall(b"hello")
    assert event.wait(LIMIT)

    assert enum_network_events(ours, event) == (FD_READ, {FD_READ: 0})
