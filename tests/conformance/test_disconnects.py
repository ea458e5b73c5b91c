"""Disconnects: the end of sending, and a socket made fit for another connection."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Disconnected,
    Event,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    SocketClosed,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    loopback,
    pattern,
    plain_client,
    plain_listener,
    plain_pair,
    read_to_end,
)
from tests.support.system import family_parameters
from tests.support.threads import Running

Opened = Callable[[Any], Any]
InThread = Callable[..., Running[Any]]

no_reuse_on_wine = pytest.mark.windows_differs("xW D04: TF_REUSE_SOCKET is not implemented")


@pytest.mark.parametrize("family", family_parameters())
def test_D01_after_a_disconnect_sending_has_ended_and_receiving_goes_on(
    opened: Opened, engine: str, family: int
) -> None:
    server, peer = plain_pair(family)
    opened(peer)
    ours = opened(OverlappedSocket.adopt(server))
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.disconnect(overlapped)

        assert overlapped.get_result(wait=True) == 0
        assert overlapped.kind is OperationKind.DISCONNECT

    assert peer.recv(16) == b""
    with pytest.raises(Disconnected) as caught:
        ours.send(b"late")
    assert caught.value.winerror == 10058
    with refused_with(10056):
        ours.connect(peer.getsockname())
    peer.sendall(b"hello")
    assert ours.recv(bytearray(16)) == 5


def test_a_disconnect_indicates_at_the_port(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()

    ours.disconnect(overlapped)
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, 0)
    assert peer.recv(16) == b""
    assert no_packet(port)


def test_D02_a_synchronous_disconnect_may_be_repeated(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair

    ours.disconnect()
    ours.disconnect()

    assert peer.recv(16) == b""


def test_D03_an_unconnected_or_closed_socket_does_not_disconnect(
    port: CompletionPort, opened: Opened
) -> None:
    sock = opened(OverlappedSocket())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10057):
        sock.disconnect(overlapped)
    with refused_with(10057):
        sock.disconnect()
    assert not overlapped.is_in_flight
    sock.close()
    with pytest.raises(SocketClosed):
        sock.disconnect(overlapped)
    with pytest.raises(SocketClosed):
        sock.disconnect()

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@no_reuse_on_wine
@pytest.mark.parametrize("family", family_parameters())
def test_D04_a_disconnected_socket_can_be_an_acceptor_again_and_keeps_its_port(
    port: CompletionPort, second_port: CompletionPort, opened: Opened, family: int
) -> None:
    listener = opened(OverlappedSocket(family))
    listener.bind(loopback(family))
    listener.listen()
    acceptor = opened(OverlappedSocket(family))
    port.attach(listener, "listener")
    port.attach(acceptor, "acceptor")

    for number in range(3):
        listener.accept(Overlapped(), acceptor)
        with plain_client(listener.getsockname(), family) as client:
            assert take(port).overlapped.accepted is acceptor
            assert acceptor.getpeername() == client.getsockname()
            acceptor.recv(bytearray(16), Overlapped())
            client.sendall(b"x" * (number + 1))
            packet = take(port, 1.0)
            assert (packet.key, packet.result()) == ("acceptor", number + 1)
        overlapped = Overlapped()
        acceptor.disconnect(overlapped, reuse=True)
        packet = take(port)
        assert (packet.key, packet.overlapped, packet.error) == ("acceptor", overlapped, None)

    with refused_with(87):
        second_port.attach(acceptor)


@no_reuse_on_wine
def test_a_disconnected_socket_can_connect_again(port: CompletionPort, opened: Opened) -> None:
    listener = opened(plain_listener())
    client = opened(OverlappedSocket())
    client.bind(loopback())
    port.attach(client)

    for text in (b"one", b"three"):
        client.connect(listener.getsockname(), Overlapped(), text)
        assert take(port).result() == len(text)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(16) == text
        client.disconnect(Overlapped(), reuse=True)
        assert take(port).error is None


@no_reuse_on_wine
def test_a_disconnect_for_re_use_waits_for_the_end_of_the_peer(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.disconnect(Overlapped(), reuse=True)

    assert peer.recv(16) == b""
    assert no_packet(port)
    peer.sendall(b"nobody reads this")
    peer.close()

    assert take(port).error is None


def test_a_synchronous_disconnect_for_re_use_waits_too(
    peer_pair: PeerPair, in_thread: InThread, port: CompletionPort, listener: OverlappedSocket
) -> None:
    ours, peer = peer_pair
    ending = in_thread(lambda: ours.disconnect(reuse=True))

    assert peer.recv(16) == b""
    peer.close()

    ending.result()
    port.attach(listener)
    listener.accept(Overlapped(), ours)
    with plain_client(listener.getsockname()) as client:
        take(port)
        assert ours.getpeername() == client.getsockname()


def test_a_disconnect_lets_queued_sends_go_first(port: CompletionPort, peer_pair: PeerPair) -> None:
    # Goal: the FIN stands behind everything that was queued before it.
    ours, peer = peer_pair
    port.attach(ours)
    data = pattern(16 << 20)
    sending, ending = Overlapped(), Overlapped()
    assert ours.send(data, sending) is None

    ours.disconnect(ending)

    assert read_to_end(peer) == data
    packets = {packet.overlapped: packet for packet in (take(port), take(port))}
    assert packets[sending].result() == len(data)
    assert packets[ending].error is None


def test_a_disconnect_leaves_a_pending_receive_alone(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    receiving, ending = Overlapped(), Overlapped()
    ours.recv(bytearray(16), receiving)

    ours.disconnect(ending)
    assert take(port).overlapped is ending
    peer.sendall(b"still")

    packet = take(port)
    assert (packet.overlapped, packet.result()) == (receiving, 5)


def test_closing_after_a_disconnect_indicates_nothing_more(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    ours.disconnect(Overlapped())
    take(port)

    ours.close()

    assert no_packet(port)


def test_a_shut_down_socket_still_disconnects(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    ours.shutdown(socket.SHUT_WR)
    with Event() as event:
        overlapped = Overlapped(event=event)

        ours.disconnect(overlapped)

        assert event.wait(LIMIT)
        assert overlapped.get_result() == 0
    assert peer.recv(16) == b""
