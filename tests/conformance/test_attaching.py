"""A socket and its port: what attaches, what that indicates, and what indicates nothing."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Event,
    InvalidParameter,
    Overlapped,
    OverlappedSocket,
    sleep_ex,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import refused_with
from tests.support.sockets import LIMIT, PeerPair, TcpPair, loopback, wait_readable
from tests.support.threads import Running

Opened = Callable[[OverlappedSocket], OverlappedSocket]
InThread = Callable[..., Running[Any]]


def bound_socket() -> OverlappedSocket:
    """Return a socket that is fit for an overlapped connect."""
    sock = OverlappedSocket()
    sock.bind(loopback())
    return sock


def test_attach_refuses_what_is_no_overlapped_socket(port: CompletionPort) -> None:
    with socket.socket() as plain, pytest.raises(TypeError, match="adopt"):
        port.attach(plain)  # type: ignore[arg-type]


def test_P14_a_socket_made_without_overlapped_takes_no_port(
    port: CompletionPort, opened: Opened
) -> None:
    sock = opened(OverlappedSocket(overlapped=False))

    with refused_with(87) as caught:
        port.attach(sock)

    assert isinstance(caught.value, InvalidParameter)


def test_P15_a_second_association_is_refused_and_the_first_goes_on_working(
    port: CompletionPort, second_port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "first")

    for other in (port, second_port):
        with refused_with(87):
            other.attach(ours, "second")

    ours.recv(bytearray(4), Overlapped())
    peer.sendall(b"data")
    assert take(port).key == "first"
    assert second_port.get(0.0) is None


def test_P17_a_receive_with_a_routine_keeps_it_when_the_socket_is_attached_later(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    calls: list[tuple[OSError | None, int]] = []
    overlapped = Overlapped(routine=lambda error, count, _o, _f: calls.append((error, count)))
    ours.recv(bytearray(8), overlapped)

    port.attach(ours)
    peer.sendall(b"hello")

    assert no_packet(port)
    assert calls == []
    assert sleep_ex(LIMIT)
    assert calls == [(None, 5)]


def test_a_receive_that_is_pending_when_the_socket_is_attached_queues_to_the_port(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    port.attach(ours, "late")
    peer.sendall(b"hello")
    packet = take(port)

    assert packet.key == "late"
    assert packet.overlapped is overlapped
    assert packet.transferred == 5


def test_P18_a_routine_on_an_attached_socket_is_refused_and_never_called(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    calls: list[object] = []
    overlapped = Overlapped(routine=lambda *arguments: calls.append(arguments))
    peer.sendall(b"data")
    wait_readable(ours)

    with refused_with(10022):
        ours.recv(bytearray(4), overlapped)

    assert not overlapped.is_in_flight
    assert not sleep_ex(0.0)
    assert calls == []
    assert port.get(0.0) is None


def test_P23_a_receive_that_completes_at_once_also_queues_a_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    peer.sendall(b"hello")
    wait_readable(ours)
    buffer = bytearray(8)
    overlapped = Overlapped()

    assert ours.recv(buffer, overlapped) == 5
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 5)
    assert buffer[:5] == b"hello"
    assert no_packet(port)


def test_a_send_that_completes_at_once_also_queues_a_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()

    assert ours.send(b"hello", overlapped) == 5
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 5)
    assert peer.recv(8) == b"hello"


def test_P24_with_skip_on_success_only_what_pended_queues_a_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.set_completion_modes(skip_on_success=True)
    peer.sendall(b"hello")
    wait_readable(ours)
    overlapped = Overlapped()

    assert ours.recv(bytearray(8), overlapped) == 5
    assert no_packet(port)
    assert not overlapped.is_in_flight  # It can be used again although no packet was taken.
    assert overlapped.get_result() == 5

    assert ours.recv(bytearray(8), overlapped) is None
    peer.sendall(b"again!")
    assert take(port).transferred == 6


def test_P25_with_skip_on_success_a_connect_still_queues_a_packet(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    client = opened(bound_socket())
    port.attach(client)
    client.set_completion_modes(skip_on_success=True)
    overlapped = Overlapped()

    assert client.connect(listener.getsockname(), overlapped) is None

    assert take(port).overlapped is overlapped


@pytest.mark.windows_differs("xW P26: a disconnect completes at once there")
def test_P26_with_skip_on_success_a_disconnect_still_queues_a_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    ours.set_completion_modes(skip_on_success=True)
    overlapped = Overlapped()

    ours.disconnect(overlapped)

    assert take(port, 1.0).overlapped is overlapped


def test_P27_completion_modes_of_a_socket_made_without_overlapped_are_refused(
    opened: Opened, engine: str
) -> None:
    sock = opened(OverlappedSocket(overlapped=False))

    with refused_with(87):
        sock.set_completion_modes(skip_on_success=True)


def test_P28_skip_on_success_can_not_be_taken_back(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.set_completion_modes(skip_on_success=True)
    ours.set_completion_modes(skip_on_success=False)
    peer.sendall(b"hello")
    wait_readable(ours)

    assert ours.recv(bytearray(8), Overlapped()) == 5

    assert no_packet(port)


def test_skip_on_success_sets_the_event_all_the_same(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.set_completion_modes(skip_on_success=True)
    peer.sendall(b"hello")
    wait_readable(ours)

    with Event() as event:
        assert ours.recv(bytearray(8), Overlapped(event=event)) == 5
        assert event.is_set()
    assert port.get(0.0) is None


def test_P29_an_operation_that_suppresses_its_packet_sets_its_event_only(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    client = opened(bound_socket())
    port.attach(client)
    with Event() as event:
        overlapped = Overlapped(event=event)
        overlapped.suppress_packet = True

        client.connect(listener.getsockname(), overlapped)

        assert event.wait(LIMIT)
        assert overlapped.get_result() == 0
        assert not overlapped.is_in_flight
    assert no_packet(port)


def test_an_event_and_a_port_are_both_told(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    with Event(signaled=True) as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(8), overlapped)
        assert not event.is_set()  # The start of an operation resets its event.

        peer.sendall(b"hello")

        assert event.wait(LIMIT)
        assert take(port).overlapped is overlapped


def test_P31_closing_an_idle_socket_indicates_nothing(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)

    ours.close()

    assert no_packet(port)


def test_P32_synchronous_calls_indicate_nothing(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    client = opened(OverlappedSocket())
    port.attach(client)

    client.connect(listener.getsockname())
    with listener.accept() as server:
        client.send(b"hello")
        assert server.recv(bytearray(8)) == 5
        client.shutdown(socket.SHUT_WR)
        client.disconnect()

    assert no_packet(port)


def test_a_socket_attached_from_another_thread_serves_all(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    in_thread(port.attach, ours, "key").result()

    in_thread(ours.recv, bytearray(8), Overlapped()).result()
    peer.sendall(b"hello")

    assert take(port).transferred == 5


def test_any_object_can_be_a_key_and_lives_as_long_as_its_socket(port: CompletionPort) -> None:
    class Session:
        """Something that can be referred to weakly, and hashes badly."""

        __hash__ = None  # type: ignore[assignment]

    session = Session()
    reference = weakref.ref(session)
    sock = OverlappedSocket()
    port.attach(sock, session)
    del session
    gc.collect()
    assert reference() is not None

    sock.close()
    del sock
    gc.collect()

    assert reference() is None


def test_two_ports_are_strangers(
    port: CompletionPort, second_port: CompletionPort, tcp_pair: TcpPair
) -> None:
    server, client = tcp_pair
    port.attach(server, "server")
    second_port.attach(client, "client")

    server.recv(bytearray(8), Overlapped())
    client.send(b"hello", Overlapped())

    assert take(port).key == "server"
    assert take(second_port).key == "client"
    assert port.get(0.0) is None
    assert second_port.get(0.0) is None
