"""Group L: select over overlapped sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from proactor import FD_SETSIZE, OverlappedSocket, SocketClosed, WouldBlock, select
from tests.support.refusals import refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    TcpPair,
    closed_address,
    loopback,
    plain_client,
    reset,
)
from tests.support.streams import InThread, Opened, fill

REFUSAL_LIMIT = 15.0
"""Windows sends a refused SYN again and again for about two seconds."""


@pytest.mark.parametrize(
    "sets", [(), ([], [], []), ((),)], ids=["none given", "empty lists", "empty tuple"]
)
def test_L01_three_empty_sets_are_refused(sets: tuple[Any, ...]) -> None:
    with refused_with(10022):
        select(*sets, timeout=0)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["read", "write", "failed"])
def test_L02_a_closed_member_is_refused_whatever_the_others(
    peer_pair: PeerPair, place: int
) -> None:
    ours, peer = peer_pair
    peer.sendall(b"ready")
    closed = OverlappedSocket()
    closed.close()
    sets: list[list[OverlappedSocket]] = [[ours], [ours], [ours]]
    sets[place].append(closed)

    with refused_with(10038):
        select(*sets, timeout=0)


def test_L03_an_unconnected_socket_is_in_no_set(opened: Opened) -> None:
    fresh = opened(OverlappedSocket())

    assert select([fresh], [fresh], [fresh], timeout=0) == ([], [], [])


def test_L05_a_reset_connection_is_readable_and_writable_and_not_failed(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair
    reset(peer)

    assert select([ours], timeout=LIMIT).read == [ours]
    assert select([ours], [ours], [ours], timeout=0) == ([ours], [ours], [])


def test_L06_a_failed_connect_is_in_the_third_set_and_its_error_sticks(opened: Opened) -> None:
    ours = opened(OverlappedSocket())
    ours.setblocking(False)
    with pytest.raises(WouldBlock):
        ours.connect(closed_address())

    assert select([ours], [ours], [ours], timeout=REFUSAL_LIMIT).failed == [ours]

    for _ in range(2):
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 10061


def test_L07_a_member_that_is_given_twice_counts_once(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    peer.sendall(b"ready")

    assert select([ours, ours], timeout=LIMIT).read == [ours]


def test_the_size_of_a_c_fd_set_is_named_and_does_not_limit_select(opened: Opened) -> None:
    assert FD_SETSIZE == 64
    sockets = [opened(OverlappedSocket(type=socket.SOCK_DGRAM)) for _ in range(FD_SETSIZE + 6)]
    for sock in sockets:
        sock.bind(loopback())
    sockets[0].send_to(b"ready", sockets[-1].getsockname())

    assert select(sockets, timeout=LIMIT).read == [sockets[-1]]


def test_data_makes_a_socket_readable_until_it_is_read(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    assert select([ours], timeout=0).read == []
    peer.sendall(b"abc")

    assert select([ours], timeout=LIMIT).read == [ours]
    assert ours.recv(bytearray(2)) == 2
    assert select([ours], timeout=0).read == [ours]
    assert ours.recv(bytearray(2)) == 1
    assert select([ours], timeout=0).read == []


def test_the_peers_fin_makes_a_socket_readable(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    peer.shutdown(socket.SHUT_WR)

    assert select([ours], timeout=LIMIT).read == [ours]
    assert ours.recv(bytearray(2)) == 0
    assert select([ours], timeout=0).read == [ours]


def test_a_connection_to_accept_makes_a_listener_readable(listener: OverlappedSocket) -> None:
    assert select([listener], timeout=0).read == []
    with plain_client(listener.getsockname()):
        assert select([listener], timeout=LIMIT).read == [listener]
        listener.accept().close()
        assert select([listener], timeout=0).read == []


def test_a_connected_socket_is_writable_until_its_buffer_is_full(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    assert select(write=[ours], timeout=LIMIT).write == [ours]

    ours.setblocking(False)
    fill(ours)

    assert select(write=[ours], timeout=0).write == []


def test_a_connect_that_succeeds_makes_a_socket_writable(
    listener: OverlappedSocket, opened: Opened
) -> None:
    ours = opened(OverlappedSocket())
    ours.setblocking(False)
    with pytest.raises(WouldBlock):
        ours.connect(listener.getsockname())

    assert select([], [ours], [ours], timeout=LIMIT) == ([], [ours], [])

    listener.accept().close()


def test_out_of_band_data_puts_a_socket_into_the_third_set(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    peer.send(b"!", socket.MSG_OOB)

    assert select(failed=[ours], timeout=LIMIT).failed == [ours]


def test_ready_members_come_in_the_order_in_which_they_were_given(
    udp_pair: TcpPair, opened: Opened
) -> None:
    third = opened(OverlappedSocket(type=socket.SOCK_DGRAM))
    third.bind(loopback())
    members = [third, *udp_pair]
    for member in members:
        udp_pair[0].send_to(b"ready", member.getsockname())
        assert select([member], timeout=LIMIT).read == [member]

    assert select(members, timeout=LIMIT).read == members
    assert select(members[::-1], timeout=LIMIT).read == members[::-1]


def test_select_times_out_with_three_empty_lists(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair

    assert select([ours], timeout=0.02) == ([], [], [])


def test_closing_a_member_ends_a_select_that_waits_for_it(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, _ = peer_pair
    waiting = in_thread(lambda: select([ours], timeout=LIMIT))
    waiting.thread.join(0.02)  # So that it probably waits by now; earlier is right, too.

    ours.close()

    with pytest.raises(SocketClosed):
        waiting.result()
