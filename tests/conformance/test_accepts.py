"""Accepts: whose port is told, what becomes the connection, and in which order."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    ConnectionReset,
    Event,
    OperationAborted,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    SocketClosed,
    WouldBlock,
)
from tests.support.packets import no_packet, take, take_count
from tests.support.refusals import CLOSED_HERE, numbers, refused_with
from tests.support.sockets import LIMIT, loopback, plain_client, reset
from tests.support.threads import Running

Opened = Callable[[Any], Any]
InThread = Callable[..., Running[Any]]


@pytest.mark.parametrize("prepared", [True, False], ids=["acceptor", "no acceptor"])
def test_A01_an_accept_completes_at_the_port_and_key_of_the_listener(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened, prepared: bool
) -> None:
    port.attach(listener, 125)
    acceptor = opened(OverlappedSocket()) if prepared else None
    if acceptor is not None:
        port.attach(acceptor, 236)
    overlapped = Overlapped()
    assert listener.accept(overlapped, acceptor) is None
    assert overlapped.accepted is None

    with plain_client(listener.getsockname()) as client:
        packet = take(port)
        accepted = opened(packet.overlapped.accepted)

        assert (packet.key, packet.overlapped, packet.result()) == (125, overlapped, 0)
        assert overlapped.kind is OperationKind.ACCEPT
        assert overlapped.socket is listener
        if prepared:
            assert accepted is acceptor
        client.sendall(b"hello")
        assert accepted.recv(bytearray(8)) == 5
        assert accepted.send(b"welcome") == 7
        assert client.recv(16) == b"welcome"
    assert port.get(0.0) is None


def test_A02_an_accept_with_first_data_waits_for_it(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    buffer = bytearray(2)
    listener.accept(Overlapped(), first_data=buffer)

    with plain_client(listener.getsockname()) as client:
        assert no_packet(port)
        client.sendall(b"x")
        packet = take(port)

        opened(packet.overlapped.accepted)
        assert packet.result() == 1
        assert buffer == b"x\0"


def test_A03_an_accept_with_first_data_completes_empty_at_the_end(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    listener.accept(Overlapped(), first_data=bytearray(2))

    plain_client(listener.getsockname()).close()
    packet = take(port)

    accepted = opened(packet.overlapped.accepted)
    assert packet.result() == 0
    assert accepted.recv(bytearray(2)) == 0


@pytest.mark.parametrize("count", [1, 3])
def test_A04_closing_the_listener_aborts_its_accepts(
    port: CompletionPort, listener: OverlappedSocket, count: int
) -> None:
    port.attach(listener, "key")
    operations = [Overlapped() for _ in range(count)]
    for overlapped in operations:
        listener.accept(overlapped)

    listener.close()
    packets = take_count(port, count)

    assert {packet.overlapped for packet in packets} == set(operations)
    for packet in packets:
        assert isinstance(packet.error, OperationAborted)
        assert numbers(packet) == (995, 995)
        assert (packet.key, packet.transferred) == ("key", 0)
        assert packet.overlapped.accepted is None
    assert no_packet(port)


def test_A06_closing_the_acceptor_ends_its_accept(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener, "listener")
    acceptor = opened(OverlappedSocket())
    listener.accept(Overlapped(), acceptor)

    acceptor.close()
    packet = take(port)

    assert packet.key == "listener"
    assert numbers(packet)[0] in CLOSED_HERE
    listener.accept(Overlapped())  # The listener goes on.
    with plain_client(listener.getsockname()):
        opened(take(port).overlapped.accepted)


def test_A07_an_accept_that_is_done_is_not_undone_by_closing_the_acceptor(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    acceptor = opened(OverlappedSocket())
    with Event() as event, plain_client(listener.getsockname()) as client:
        listener.accept(Overlapped(event=event), acceptor, bytearray(2))
        client.sendall(b"x")
        assert event.wait(LIMIT)

        acceptor.close()

        assert take(port).result() == 1
    assert port.get(0.0) is None


def test_A08_cancelling_on_the_acceptor_leaves_the_accept_alone(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    acceptor = opened(OverlappedSocket())
    listener.accept(Overlapped(), acceptor)

    assert acceptor.cancel_own() is True

    assert no_packet(port)
    with plain_client(listener.getsockname()):
        assert take(port).error is None


def test_A09_a_socket_in_an_accept_can_do_nothing_else(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    acceptor = opened(OverlappedSocket())
    first, second = Overlapped(), Overlapped()
    listener.accept(first, acceptor)

    with refused_with(10022):
        listener.accept(second, acceptor)
    with refused_with(10022):
        acceptor.connect(listener.getsockname())
    with refused_with(10022):
        acceptor.connect(listener.getsockname(), second)

    assert not second.is_in_flight
    with plain_client(listener.getsockname()):
        packet = take(port)
        assert (packet.overlapped, packet.error) == (first, None)
    assert port.get(0.0) is None


def test_A10_a_closed_listener_or_acceptor_is_refused(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    acceptor = opened(OverlappedSocket())
    acceptor.close()
    port.attach(listener)
    overlapped = Overlapped()

    with pytest.raises(SocketClosed) as caught:
        listener.accept(overlapped, acceptor)
    assert caught.value.winerror == 10038
    listener.close()
    with pytest.raises(SocketClosed):
        listener.accept(overlapped)
    with pytest.raises(SocketClosed):
        listener.accept()

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@pytest.mark.windows_differs("xW A11: an accept on a socket that does not listen is taken")
def test_A11_a_socket_that_does_not_listen_accepts_nothing(
    port: CompletionPort, opened: Opened
) -> None:
    sock = opened(OverlappedSocket())
    sock.bind(loopback())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10022):
        sock.accept(overlapped)
    with refused_with(10022):
        sock.accept()

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@pytest.mark.windows_differs("xW A12: an acceptor in a wrong state is taken")
@pytest.mark.parametrize("state", ["bound", "connected", "udp", "listening"])
def test_A12_an_acceptor_in_a_wrong_state_is_refused(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened, state: str
) -> None:
    kind = socket.SOCK_DGRAM if state == "udp" else socket.SOCK_STREAM
    acceptor = opened(OverlappedSocket(type=kind))
    port.attach(listener)
    overlapped = Overlapped()
    if state in ("bound", "listening"):
        acceptor.bind(loopback())
    if state == "listening":
        acceptor.listen()
    if state == "connected":
        acceptor.connect(listener.getsockname())
        opened(listener.accept())

    with refused_with(10022):
        listener.accept(overlapped, acceptor)

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@pytest.mark.parametrize("prepared", [True, False], ids=["acceptor", "no acceptor"])
def test_A15_accepts_in_flight_are_served_in_the_order_of_their_calls(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened, prepared: bool
) -> None:
    port.attach(listener)
    operations = [Overlapped() for _ in range(8)]
    for overlapped in operations:
        listener.accept(overlapped, opened(OverlappedSocket()) if prepared else None)

    clients = [opened(plain_client(listener.getsockname())) for _ in operations]

    packets = take_count(port, len(operations))
    assert {packet.overlapped for packet in packets} == set(operations)
    for overlapped, client in zip(operations, clients, strict=True):
        assert opened(overlapped.accepted).getpeername() == client.getsockname()


def test_connections_that_came_before_the_accept_are_served_in_order(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    clients = [opened(plain_client(listener.getsockname())) for _ in range(3)]

    for client in clients:
        listener.accept(Overlapped())
        accepted = opened(take(port).overlapped.accepted)
        assert accepted.getpeername() == client.getsockname()


def test_a_silent_client_holds_only_its_own_accept(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    silent, talking = Overlapped("silent"), Overlapped("talking")
    listener.accept(silent, first_data=bytearray(8))
    listener.accept(talking, first_data=bytearray(8))

    with (
        plain_client(listener.getsockname()),
        plain_client(listener.getsockname()) as client,
    ):
        client.sendall(b"hello")
        packet = take(port)

        assert packet.overlapped is talking
        assert opened(talking.accepted).getpeername() == client.getsockname()
        listener.close()
        packet = take(port)
        assert packet.overlapped is silent
        assert numbers(packet)[0] in CLOSED_HERE


def test_a_client_that_resets_in_the_backlog_does_not_disturb_the_listener(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    # Method: systems differ in whether the dead connection is accepted, fails the accept, refuses
    # it or is never seen. Whatever it is, the next client must be served.
    port.attach(listener)
    reset(plain_client(listener.getsockname()))
    with plain_client(listener.getsockname()) as client:
        client.sendall(b"alive")
        served = 0
        for _ in range(4):
            try:
                listener.accept(Overlapped(), first_data=bytearray(8))
            except ConnectionReset:
                continue
            packet = take(port)
            if packet.overlapped.accepted is not None:
                opened(packet.overlapped.accepted)
            if packet.error is None and packet.transferred == 5:
                served += 1
                break

    assert served == 1
    assert port.get(0.0) is None


def test_a_client_that_resets_fails_no_other_accept(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    # Method: as above, with two accepts in flight: the dead client may end one of them at most.
    port.attach(listener)
    accepts = [Overlapped(), Overlapped()]
    for overlapped in accepts:
        listener.accept(overlapped, first_data=bytearray(8))
    reset(plain_client(listener.getsockname()))

    with plain_client(listener.getsockname()) as client:
        client.sendall(b"alive")
        packets = [take(port)]
        if packets[0].transferred != 5:
            packets.append(take(port))
        for packet in packets:
            if packet.overlapped.accepted is not None:
                opened(packet.overlapped.accepted)

    assert (packets[-1].error, packets[-1].transferred) == (None, 5)


def test_cancelling_an_accept_leaves_the_listener_usable(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    overlapped, acceptor = Overlapped(), opened(OverlappedSocket())
    listener.accept(overlapped, acceptor)

    assert listener.cancel(overlapped) is True
    assert numbers(take(port)) == (995, 995)

    listener.accept(overlapped, acceptor)  # Both can be used again.
    with plain_client(listener.getsockname()) as client:
        assert take(port).overlapped.accepted.getpeername() == client.getsockname()


def test_a_synchronous_accept_waits_for_a_connection(
    listener: OverlappedSocket, in_thread: InThread, opened: Opened
) -> None:
    accepting = in_thread(listener.accept)

    with plain_client(listener.getsockname()) as client:
        accepted = opened(accepting.result())
        assert accepted.getpeername() == client.getsockname()


def test_a_synchronous_accept_on_a_non_blocking_listener_says_so(
    listener: OverlappedSocket,
) -> None:
    listener.setblocking(False)

    with pytest.raises(WouldBlock):
        listener.accept()
