"""Group H: shutting down one direction, and what the other side hears."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable

import pytest

from proactor import (
    CompletionPort,
    Disconnected,
    InvalidParameter,
    Overlapped,
    OverlappedSocket,
    ProactorError,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import numbers, refused_with
from tests.support.sockets import LIMIT, PeerPair, TcpPair, pattern, read_to_end
from tests.support.streams import InThread, Opened


def test_H01_an_unconnected_socket_cannot_be_shut_down(opened: Opened) -> None:
    with refused_with(10057):
        opened(OverlappedSocket()).shutdown(socket.SHUT_WR)


def test_H01_a_listener_cannot_be_shut_down(listener: OverlappedSocket) -> None:
    with refused_with(10057):
        listener.shutdown(socket.SHUT_RDWR)


def test_H02_after_shutting_down_sending_a_send_is_refused_and_receiving_goes_on(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.send(b"last words")

    ours.shutdown(socket.SHUT_WR)

    assert read_to_end(peer) == b"last words"
    with pytest.raises(Disconnected) as caught:
        ours.send(b"too late")
    assert caught.value.winerror == 10058
    overlapped = Overlapped()
    with pytest.raises(Disconnected):
        ours.send(b"too late", overlapped)
    assert not overlapped.is_in_flight
    peer.sendall(b"still heard")
    ours.recv(bytearray(16), Overlapped())
    assert take(port).result() == 11
    assert no_packet(port)


def test_H02_the_fin_comes_after_sends_that_are_pending(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    size = 32 << 20
    assert ours.send(pattern(size), Overlapped()) is None

    ours.shutdown(socket.SHUT_WR)

    assert in_thread(read_to_end, peer).result(4 * LIMIT) == pattern(size)
    assert take(port).result() == size


def test_H04_a_pending_recv_ends_with_0_when_the_peer_shuts_down_sending(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    peer.shutdown(socket.SHUT_WR)

    packet = take(port)
    assert (packet.overlapped, packet.result()) == (overlapped, 0)
    ours.send(b"half open")
    ours.shutdown(socket.SHUT_WR)
    assert read_to_end(peer) == b"half open"


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_H05_shutting_down_twice_is_fine(peer_pair: PeerPair, how: int) -> None:
    ours, _ = peer_pair

    ours.shutdown(how)
    ours.shutdown(how)


@pytest.mark.parametrize("how", [3, -1, 0xDEADBEEF])
def test_H05_a_direction_that_does_not_exist_is_refused(peer_pair: PeerPair, how: int) -> None:
    ours, peer = peer_pair

    with pytest.raises(InvalidParameter) as caught:
        ours.shutdown(how)

    assert caught.value.winerror == 10022
    ours.send(b"undisturbed")
    ours.shutdown(socket.SHUT_WR)
    assert read_to_end(peer) == b"undisturbed"


def _abort(sock: OverlappedSocket) -> None:
    sock.abort()


def _close_with_linger_0(sock: OverlappedSocket) -> None:
    linger = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    sock.close()


@pytest.mark.windows_differs("row 29: a receive after a reset says 0 bytes")
@pytest.mark.parametrize("end", [_abort, _close_with_linger_0])
def test_H06_the_peer_of_a_close_with_linger_0_sees_a_reset(
    tcp_pair: TcpPair, end: Callable[[OverlappedSocket], None]
) -> None:
    ours, theirs = tcp_pair

    end(ours)

    with refused_with(10054):
        theirs.recv(bytearray(8))


def test_H06_a_pending_recv_of_the_peer_fails_with_64(
    port: CompletionPort, tcp_pair: TcpPair
) -> None:
    ours, theirs = tcp_pair
    port.attach(theirs)
    theirs.recv(bytearray(8), Overlapped())

    ours.abort()

    assert numbers(take(port)) == (64, 10054)


def test_shutting_down_receiving_refuses_a_later_recv(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)

    ours.shutdown(socket.SHUT_RD)

    with refused_with(10058):
        ours.recv(bytearray(8))
    with refused_with(10058):
        ours.recv(bytearray(8), Overlapped())
    ours.send(b"still said")  # Nothing was told to the peer.
    assert peer.recv(16) == b"still said"
    assert no_packet(port)


def test_a_recv_that_is_pending_when_receiving_is_shut_down_stays_and_receives(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())

    ours.shutdown(socket.SHUT_RD)

    assert no_packet(port)
    peer.sendall(b"late")
    assert take(port).result() == 4
    assert buffer[:4] == b"late"


def test_the_peers_address_stays_known_after_a_shutdown(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair

    ours.shutdown(socket.SHUT_RDWR)

    assert ours.getpeername() == peer.getsockname()


def test_a_closed_socket_cannot_be_shut_down(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    ours.close()

    with pytest.raises(ProactorError) as caught:
        ours.shutdown(socket.SHUT_WR)

    assert caught.value.winerror == 10038
