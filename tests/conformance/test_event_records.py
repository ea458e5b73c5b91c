"""Readiness by event object beside the vectors: records, latches, inheritance, refusals."""

from __future__ import annotations

import socket

import pytest

from proactor import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    Event,
    InvalidParameter,
    MessageQueue,
    Overlapped,
    OverlappedSocket,
    WouldBlock,
    async_select,
    enum_network_events,
    event_select,
)
from tests.support.news import news, no_news
from tests.support.packets import QUIET
from tests.support.refusals import refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    TcpPair,
    plain_client,
)
from tests.support.streams import Opened, until_readable


def test_taking_the_record_clears_it_and_resets_the_event_in_one_step(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"hello")
    assert event.wait(LIMIT)

    assert enum_network_events(ours, event).mask == FD_READ

    assert not event.is_set()
    assert enum_network_events(ours, event) == (0, {})


def test_a_record_that_is_taken_without_its_event_leaves_the_event_set(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"hello")
    assert event.wait(LIMIT)

    assert enum_network_events(ours).mask == FD_READ

    assert event.is_set()


def test_a_receive_that_leaves_data_tells_of_them_and_one_that_leaves_none_does_not(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"hello")
    news(ours, event, FD_READ)

    assert ours.recv(bytearray(2)) == 2
    news(ours, event, FD_READ)
    assert ours.recv(bytearray(8)) == 3
    assert no_news(ours, event)
    with pytest.raises(WouldBlock):
        ours.recv(bytearray(8))
    peer.sendall(b"again")
    news(ours, event, FD_READ)


def test_an_overlapped_receive_tells_of_the_next_data_too(
    peer_pair: PeerPair, event: Event
) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    peer.sendall(b"hello")
    news(ours, event, FD_READ)

    with Event() as done:
        overlapped = Overlapped(event=done)
        ours.recv(bytearray(8), overlapped)
        assert overlapped.get_result(wait=True) == 5
    peer.sendall(b"again")

    news(ours, event, FD_READ)


@pytest.mark.windows_differs("the close is said when all has been read")
def test_a_close_is_told_of_also_while_data_are_unread(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)
    peer.sendall(b"hello")
    news(ours, event, FD_READ)

    peer.close()

    news(ours, event, FD_CLOSE)


def test_a_connection_that_an_accept_waits_for_is_no_news(
    listener: OverlappedSocket, event: Event, opened: Opened
) -> None:
    event_select(listener, event, FD_ACCEPT)
    with Event() as done:
        overlapped = Overlapped(event=done)
        listener.accept(overlapped)
        with plain_client(listener.getsockname()):
            assert overlapped.get_result(wait=True) == 0
            opened(overlapped.accepted)
            assert no_news(listener, event)
    with plain_client(listener.getsockname()):
        news(listener, event, FD_ACCEPT)


def test_data_that_came_before_are_told_of_on_selecting(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    peer.sendall(b"hello")
    until_readable(ours)

    event_select(ours, event, FD_READ)

    news(ours, event, FD_READ)


def test_a_connection_that_stood_before_is_told_of_on_selecting(
    listener: OverlappedSocket, event: Event, opened: Opened
) -> None:
    ours = opened(OverlappedSocket())
    ours.connect(listener.getsockname())

    event_select(ours, event, FD_CONNECT)

    assert news(ours, event, FD_CONNECT) == {FD_CONNECT: 0}
    listener.accept().close()


def test_an_unconnected_socket_has_no_news(event: Event, opened: Opened) -> None:
    ours = opened(OverlappedSocket())
    event_select(ours, event, FD_ALL_EVENTS)

    assert no_news(ours, event)


def test_an_accepted_socket_inherits_the_selection(
    listener: OverlappedSocket, event: Event, opened: Opened
) -> None:
    event_select(listener, event, FD_ACCEPT | FD_READ)
    with plain_client(listener.getsockname()) as client:
        news(listener, event, FD_ACCEPT)
        accepted = opened(listener.accept())
        with pytest.raises(WouldBlock):
            accepted.recv(bytearray(8))

        client.sendall(b"hello")

        news(accepted, event, FD_READ)


def test_out_of_band_data_are_an_event_of_their_own(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_OOB)

    peer.send(b"!", socket.MSG_OOB)

    news(ours, event, FD_OOB)


def test_ones_own_shutdown_is_no_news(peer_pair: PeerPair, event: Event) -> None:
    ours, _ = peer_pair
    event_select(ours, event, FD_READ | FD_CLOSE)

    ours.shutdown(socket.SHUT_WR)

    assert no_news(ours, event)


def test_a_cancelled_selection_signals_nothing(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    event_select(ours, event, FD_READ)
    event_select(ours, None, 0)

    peer.sendall(b"hello")

    assert not event.wait(QUIET)


def test_a_new_selection_replaces_the_older_one(peer_pair: PeerPair, event: Event) -> None:
    ours, peer = peer_pair
    with MessageQueue() as queue, Event() as older:
        async_select(ours, queue, 0x401, FD_READ)
        event_select(ours, older, FD_READ)
        event_select(ours, event, FD_READ)

        peer.sendall(b"hello")

        news(ours, event, FD_READ)
        assert not older.is_set()
        assert queue.get(0) is None


def test_one_event_may_serve_several_sockets(tcp_pair: TcpPair, event: Event) -> None:
    first, second = tcp_pair
    for sock in tcp_pair:
        event_select(sock, event, FD_READ)

    second.send(b"to the first")

    news(first, event, FD_READ)
    assert enum_network_events(second, event) == (0, {})
    first.send(b"to the second")
    news(second, event, FD_READ)


def test_a_datagram_is_news(udp_pair: TcpPair, event: Event) -> None:
    ours, theirs = udp_pair
    event_select(ours, event, FD_READ | FD_WRITE)
    news(ours, event, FD_WRITE)

    theirs.send_to(b"hello", ours.getsockname())

    news(ours, event, FD_READ)
    assert ours.recv_from(bytearray(8)) == (5, theirs.getsockname())
    assert no_news(ours, event)


@pytest.mark.parametrize("mask", [0x400, FD_READ | 0x8000, -1])
def test_an_unknown_bit_is_refused(peer_pair: PeerPair, event: Event, mask: int) -> None:
    ours, _ = peer_pair

    with pytest.raises(InvalidParameter) as caught:
        event_select(ours, event, mask)

    assert caught.value.winerror == 10022


def test_bits_without_an_event_are_refused(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair

    with refused_with(10022):
        event_select(ours, None, FD_READ)


def test_a_closed_socket_is_refused(peer_pair: PeerPair, event: Event) -> None:
    ours, _ = peer_pair
    ours.close()

    with refused_with(10038):
        event_select(ours, event, FD_READ)
    with refused_with(10038):
        enum_network_events(ours, event)
