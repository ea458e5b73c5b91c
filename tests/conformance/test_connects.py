"""Connects: what must hold before, what is sent along, refusals, and trying again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    ConnectionRefused,
    Event,
    InvalidParameter,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    SocketClosed,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import CLOSED_HERE, numbers, refused_with
from tests.support.sockets import (
    closed_address,
    loopback,
    pattern,
    plain_listener,
    read_exactly,
)
from tests.support.system import family_parameters

Opened = Callable[[Any], Any]

# Windows sends the SYN again before it believes a refusal, which takes about 2 s.
REFUSAL = 15.0


@pytest.fixture
def client(opened: Opened, engine: str) -> OverlappedSocket:
    """Return a bound socket, fit for an overlapped connect."""
    sock: OverlappedSocket = opened(OverlappedSocket())
    sock.bind(loopback())
    return sock


@pytest.fixture
def full_address(engine: str) -> Iterator[tuple[Any, ...]]:
    """Return the address of a listener whose backlog is full: a connect to it stays in progress."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(loopback())
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address


def test_C01_an_overlapped_connect_of_an_unbound_socket_is_refused(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    sock = opened(OverlappedSocket())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10022) as caught:
        sock.connect(listener.getsockname(), overlapped)

    assert isinstance(caught.value, InvalidParameter)
    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


@pytest.mark.parametrize("family", family_parameters())
def test_C02_a_connect_sends_its_data_along(
    port: CompletionPort, opened: Opened, family: int
) -> None:
    listener = opened(plain_listener(family))
    client = opened(OverlappedSocket(family))
    client.bind(loopback(family))
    port.attach(client, "key")
    overlapped = Overlapped()

    assert client.connect(listener.getsockname(), overlapped, [b"o", b"", b"ne"]) is None
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, 3)
    assert overlapped.kind is OperationKind.CONNECT
    accepted, name = listener.accept()
    with accepted:
        assert accepted.recv(16) == b"one"
        assert client.getsockname() == name
        assert client.getpeername() == listener.getsockname()
    assert no_packet(port)


def test_a_connect_without_data_completes_with_0_bytes(
    port: CompletionPort, listener: OverlappedSocket, client: OverlappedSocket
) -> None:
    port.attach(client)

    assert client.connect(listener.getsockname(), Overlapped()) is None

    assert take(port).result() == 0


@pytest.mark.windows_differs("a connect sends no more data than fits at once, and never ends")
def test_a_connect_sends_much_data_whole(
    port: CompletionPort, opened: Opened, client: OverlappedSocket
) -> None:
    listener = opened(plain_listener())
    port.attach(client)
    data = pattern(4 << 20)
    half = len(data) // 2

    client.connect(listener.getsockname(), Overlapped(), [data[:half], b"", data[half:]])

    accepted, _ = listener.accept()
    with accepted:
        accepted.settimeout(2.0)
        assert read_exactly(accepted, len(data)) == data
    assert take(port).result() == len(data)


def test_C03_a_refused_connect_is_1225_at_the_port_and_10061_in_the_result(
    port: CompletionPort, client: OverlappedSocket
) -> None:
    port.attach(client, "key")
    overlapped = Overlapped()
    assert client.connect(closed_address(), overlapped) is None

    packet = port.get(REFUSAL)

    assert packet is not None
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 0)
    assert numbers(packet) == (1225, 10061)
    assert isinstance(packet.error, ConnectionRefusedError)
    with pytest.raises(ConnectionRefused) as caught:
        overlapped.get_result()
    assert caught.value.winerror == 10061


@pytest.mark.windows_differs("the first connect after a refusal is refused with 10053")
def test_after_a_refusal_the_socket_connects_elsewhere(
    port: CompletionPort, listener: OverlappedSocket, client: OverlappedSocket, opened: Opened
) -> None:
    port.attach(client)
    for _ in range(2):
        client.connect(closed_address(), Overlapped())
        packet = port.get(REFUSAL)
        assert packet is not None
        assert numbers(packet) == (1225, 10061)

    client.connect(listener.getsockname(), Overlapped(), b"at last")

    assert take(port).result() == 7
    buffer = bytearray(16)
    assert opened(listener.accept()).recv(buffer) == 7
    assert buffer[:7] == b"at last"


def test_C05_while_it_connects_a_socket_can_do_nothing_else(
    port: CompletionPort, client: OverlappedSocket, full_address: tuple[Any, ...]
) -> None:
    port.attach(client)
    first, second = Overlapped(), Overlapped()
    assert client.connect(full_address, first) is None

    with refused_with(10022):
        client.connect(full_address)
    with refused_with(10022):
        client.connect(full_address, second)
    with refused_with(10057):
        client.getpeername()

    assert not second.is_in_flight
    client.close()
    packet = take(port)
    assert packet.overlapped is first
    assert numbers(packet)[0] in CLOSED_HERE


@pytest.mark.windows_differs("xW C05: a receive of a socket that connects pends")
def test_C05_while_it_connects_a_socket_receives_nothing(
    port: CompletionPort, client: OverlappedSocket, full_address: tuple[Any, ...]
) -> None:
    port.attach(client)
    overlapped = Overlapped()
    client.connect(full_address, Overlapped())

    with refused_with(10057):
        client.recv(bytearray(4), overlapped)
    with refused_with(10057):
        client.recv(bytearray(4))

    assert not overlapped.is_in_flight


def test_cancelling_a_connect_aborts_it(
    port: CompletionPort, client: OverlappedSocket, full_address: tuple[Any, ...]
) -> None:
    port.attach(client)
    overlapped = Overlapped()
    client.connect(full_address, overlapped)

    assert client.cancel(overlapped) is True

    assert numbers(take(port)) == (995, 995)
    assert no_packet(port)


@pytest.mark.parametrize("way", ["overlapped", "synchronous"])
def test_C06_a_connected_socket_does_not_connect_again(
    port: CompletionPort, listener: OverlappedSocket, client: OverlappedSocket, way: str
) -> None:
    port.attach(client)
    client.connect(listener.getsockname(), Overlapped())
    take(port)
    overlapped = Overlapped()

    with refused_with(10056):
        if way == "overlapped":
            client.connect(listener.getsockname(), overlapped)
        else:
            client.connect(listener.getsockname())

    assert not overlapped.is_in_flight
    assert port.get(0.0) is None


def test_a_listening_socket_does_not_connect(
    port: CompletionPort, listener: OverlappedSocket
) -> None:
    port.attach(listener)

    with refused_with(10022):
        listener.connect(closed_address(), Overlapped())

    assert port.get(0.0) is None


def test_a_closed_socket_does_not_connect(client: OverlappedSocket) -> None:
    client.close()

    with pytest.raises(SocketClosed):
        client.connect(closed_address(), Overlapped())
    with pytest.raises(SocketClosed):
        client.connect(closed_address())


def test_a_connected_socket_sends_receives_and_shuts_down(
    port: CompletionPort, opened: Opened, client: OverlappedSocket
) -> None:
    listener = opened(plain_listener())
    port.attach(client)
    client.connect(listener.getsockname(), Overlapped())
    take(port)
    accepted, _ = listener.accept()
    with accepted:
        client.send(b"ping", Overlapped())
        assert take(port).result() == 4
        assert accepted.recv(16) == b"ping"

        client.recv(bytearray(16), Overlapped())
        accepted.sendall(b"pong!")
        assert take(port).result() == 5

        client.shutdown(socket.SHUT_WR)
        assert accepted.recv(16) == b""


def test_a_connect_with_an_event_and_no_port_sets_the_event(
    listener: OverlappedSocket, client: OverlappedSocket
) -> None:
    with Event() as event:
        overlapped = Overlapped(event=event)
        assert client.connect(listener.getsockname(), overlapped, b"data") is None

        assert overlapped.get_result(wait=True) == 4


@pytest.mark.parametrize("family", family_parameters())
def test_a_synchronous_connect_binds_and_connects(opened: Opened, engine: str, family: int) -> None:
    listener = opened(plain_listener(family))
    sock = opened(OverlappedSocket(family))

    sock.connect(listener.getsockname())

    accepted, name = listener.accept()
    with accepted:
        assert sock.getsockname() == name
        sock.send(b"hello")
        assert accepted.recv(16) == b"hello"


def test_a_synchronous_connect_raises_its_refusal(opened: Opened, engine: str) -> None:
    sock = opened(OverlappedSocket())

    with pytest.raises(ConnectionRefused) as caught:
        sock.connect(closed_address())

    assert caught.value.winerror == 10061
