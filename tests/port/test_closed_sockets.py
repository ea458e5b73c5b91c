"""What is left of a socket that was closed or dropped: a clear refusal, and nothing open."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Event,
    MessageQueue,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    SocketClosed,
    enum_network_events,
    select,
)
from tests.support.sockets import PeerPair

CALLS: dict[str, Callable[[OverlappedSocket], Any]] = {
    "recv": lambda sock: sock.recv(bytearray(8)),
    "recv overlapped": lambda sock: sock.recv(bytearray(8), Overlapped()),
    "send": lambda sock: sock.send(b"x"),
    "send overlapped": lambda sock: sock.send(b"x", Overlapped()),
    "recv_from": lambda sock: sock.recv_from(bytearray(8)),
    "send_to": lambda sock: sock.send_to(b"x", ("127.0.0.1", 9)),
    "accept": lambda sock: sock.accept(),
    "accept overlapped": lambda sock: sock.accept(Overlapped()),
    "connect": lambda sock: sock.connect(("127.0.0.1", 9)),
    "connect overlapped": lambda sock: sock.connect(("127.0.0.1", 9), Overlapped()),
    "disconnect": lambda sock: sock.disconnect(),
    "transmit_file": lambda sock: sock.transmit_file(None, head=b"x"),
    "shutdown": lambda sock: sock.shutdown(1),
    "bind": lambda sock: sock.bind(("127.0.0.1", 0)),
    "listen": lambda sock: sock.listen(),
    "setblocking": lambda sock: sock.setblocking(False),
    "getsockname": lambda sock: sock.getsockname(),
    "getpeername": lambda sock: sock.getpeername(),
    "setsockopt": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "getsockopt": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "getsockopt SO_ERROR": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
    "set_completion_modes": lambda sock: sock.set_completion_modes(skip_on_success=True),
    "duplicate": lambda sock: sock.duplicate(),
    "select": lambda sock: select([sock], timeout=0),
    "enum_network_events": lambda sock: enum_network_events(sock),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_on_a_closed_socket_is_refused_with_10038(
    peer_pair: PeerPair, name: str
) -> None:
    ours, _ = peer_pair
    ours.close()

    with pytest.raises(SocketClosed) as caught:
        CALLS[name](ours)

    assert caught.value.winerror == 10038


@pytest.mark.parametrize("name", [name for name in CALLS if "overlapped" in name])
def test_a_refused_call_on_a_closed_socket_indicates_nothing(
    port: CompletionPort, peer_pair: PeerPair, name: str
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    ours.close()

    with pytest.raises(SocketClosed):
        CALLS[name](ours)

    assert port.get(0.01) is None


def test_cancelling_on_a_closed_socket_finds_nothing(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    ours.close()

    try:
        assert not ours.cancel()
    except ProactorError as error:
        assert error.winerror in (6, 10038)  # Windows has no handle to look at.


def test_a_closed_socket_has_no_descriptor_and_says_that_it_is_closed(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    assert ours.fileno() >= 0

    ours.close()

    assert ours.fileno() == -1
    assert repr(ours) == "<OverlappedSocket tcp closed>"


def test_everything_may_be_closed_twice(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    ours.close()
    ours.close()
    ours.abort()
    for resource in (CompletionPort(), Event(), MessageQueue()):
        resource.close()
        resource.close()


def test_a_socket_that_was_dropped_is_closed_with_a_warning() -> None:
    sock = OverlappedSocket()
    number = sock.fileno()

    with pytest.warns(ResourceWarning, match="was never closed"):
        del sock

    with pytest.raises(OSError):
        socket.socket(fileno=number)


def test_a_socket_whose_opening_failed_is_dropped_without_a_word() -> None:
    with pytest.raises(OSError):
        OverlappedSocket(family=12345)
