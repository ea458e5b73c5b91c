"""What an accept makes: names, options, port and data of an accepted socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from proactor import CompletionPort, Overlapped, OverlappedSocket
from tests.support.packets import take
from tests.support.sockets import loopback, plain_client
from tests.support.system import family_parameters

Opened = Callable[[Any], Any]


@pytest.mark.parametrize("family", family_parameters())
@pytest.mark.parametrize("prepared", [True, False], ids=["acceptor", "no acceptor"])
def test_an_accepted_socket_knows_its_names_and_can_be_shut_down_at_once(
    port: CompletionPort, opened: Opened, family: int, prepared: bool
) -> None:
    listener = opened(OverlappedSocket(family))
    listener.bind(loopback(family))
    listener.listen()
    port.attach(listener)
    listener.accept(Overlapped(), opened(OverlappedSocket(family)) if prepared else None)

    with plain_client(listener.getsockname(), family) as client:
        accepted = opened(take(port).overlapped.accepted)

        assert accepted.family == family
        assert accepted.getsockname() == client.getpeername()
        assert accepted.getpeername() == client.getsockname()
        accepted.shutdown(socket.SHUT_WR)
        assert client.recv(16) == b""


def test_an_accepted_socket_inherits_no_port(
    port: CompletionPort,
    second_port: CompletionPort,
    listener: OverlappedSocket,
    opened: Opened,
) -> None:
    port.attach(listener, "listener")
    listener.accept(Overlapped())
    with plain_client(listener.getsockname()) as client:
        accepted = opened(take(port).overlapped.accepted)
        second_port.attach(accepted, "session")

        accepted.recv(bytearray(8), Overlapped())
        client.sendall(b"hello")

        assert take(second_port).key == "session"
    assert port.get(0.0) is None


def test_an_acceptor_keeps_the_port_that_it_had_before(
    port: CompletionPort,
    second_port: CompletionPort,
    listener: OverlappedSocket,
    opened: Opened,
) -> None:
    acceptor = opened(OverlappedSocket())
    port.attach(listener, "listener")
    second_port.attach(acceptor, "acceptor")
    listener.accept(Overlapped(), acceptor)
    with plain_client(listener.getsockname()) as client:
        assert take(port).key == "listener"

        acceptor.recv(bytearray(8), Overlapped())
        client.sendall(b"hello")

        assert take(second_port).key == "acceptor"


@pytest.mark.parametrize("way", ["overlapped", "acceptor", "synchronous"])
def test_an_accepted_socket_inherits_the_options_of_the_listener(
    port: CompletionPort, opened: Opened, engine: str, way: str
) -> None:
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    ]
    listener = opened(OverlappedSocket())
    for level, option in options:
        listener.setsockopt(level, option, 1)
    listener.bind(loopback())
    listener.listen()

    with plain_client(listener.getsockname()):
        if way == "synchronous":
            accepted = opened(listener.accept())
        else:
            port.attach(listener)
            acceptor = opened(OverlappedSocket()) if way == "acceptor" else None
            listener.accept(Overlapped(), acceptor)
            accepted = opened(take(port).overlapped.accepted)

        assert [accepted.getsockopt(level, option) != 0 for level, option in options] == [True] * 3


def test_first_data_fills_several_buffers_and_the_rest_stays(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    first, second, rest = bytearray(2), bytearray(3), bytearray(8)
    with plain_client(listener.getsockname()) as client:
        client.sendall(b"1234567")
        listener.accept(Overlapped(), first_data=[first, second])

        packet = take(port)
        accepted = opened(packet.overlapped.accepted)

        assert packet.result() == 5
        assert [first, second] == [b"12", b"345"]
        assert accepted.recv(rest) == 2
        assert rest[:2] == b"67"


def test_a_socket_accepted_from_a_non_blocking_listener_still_pends(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    listener.setblocking(False)
    port.attach(listener)
    listener.accept(Overlapped())
    with plain_client(listener.getsockname()) as client:
        accepted = opened(take(port).overlapped.accepted)
        port.attach(accepted)

        assert accepted.recv(bytearray(8), Overlapped()) is None
        client.sendall(b"hello")
        assert take(port).transferred == 5
