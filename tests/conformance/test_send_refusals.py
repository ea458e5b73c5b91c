"""Sends that are refused, and sends that a reset ends."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from proactor import CompletionPort, Disconnected, Overlapped, OverlappedSocket, SocketClosed
from tests.support.packets import no_packet, take_count
from tests.support.refusals import numbers, refused_with
from tests.support.sockets import PeerPair, pattern, reset

Opened = Callable[[OverlappedSocket], OverlappedSocket]

MEBIBYTE = 1 << 20


def test_a_send_of_no_buffer_is_refused(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    with refused_with(10022):
        ours.send([], Overlapped())
    with pytest.raises(TypeError):
        ours.send("text", Overlapped())  # type: ignore[arg-type]


def test_a_reset_fails_every_pending_send(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    for _ in range(2):
        assert ours.send(pattern(16 * MEBIBYTE), Overlapped()) is None

    reset(peer)

    for packet in take_count(port, 2):
        assert numbers(packet) in {(64, 10054), (1236, 10053), (64, 10053)}
    assert no_packet(port)


@pytest.mark.windows_differs("a send of an unconnected socket is refused with 10054")
def test_an_unconnected_socket_refuses_to_send(port: CompletionPort, opened: Opened) -> None:
    sock = opened(OverlappedSocket())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10057):
        sock.send(b"hello", overlapped)
    with refused_with(10057):
        sock.send(b"hello")

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


def test_after_shutting_down_sending_a_send_is_refused(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.shutdown(socket.SHUT_WR)

    with pytest.raises(Disconnected) as caught:
        ours.send(b"hello", Overlapped())
    assert caught.value.winerror == 10058
    with pytest.raises(BrokenPipeError):
        ours.send(b"hello")

    assert port.get(0.0) is None
    assert peer.recv(16) == b""


def test_a_closed_socket_refuses_to_send(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    ours.close()

    with pytest.raises(SocketClosed):
        ours.send(b"hello", Overlapped())
    with pytest.raises(SocketClosed):
        ours.send(b"hello")
