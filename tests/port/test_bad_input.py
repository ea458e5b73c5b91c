"""Bad input at ports and waits: refused with words, and what was there goes on."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    FD_READ,
    CompletionPort,
    Event,
    InvalidParameter,
    MessageQueue,
    Overlapped,
    OverlappedSocket,
    PortClosed,
    SocketClosed,
    async_select,
    enum_network_events,
    event_select,
    queue_user_apc,
    select,
    sleep_ex,
    wait_for_multiple_objects,
    wait_for_single_object,
)
from tests.support.packets import take
from tests.support.sockets import PeerPair
from tests.support.streams import InThread, eventually, until_readable


def test_a_second_attach_is_refused_and_the_first_goes_on(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "first")
    with CompletionPort() as other:
        for again in (port, other):
            with pytest.raises(InvalidParameter) as caught:
                again.attach(ours, "second")
            assert caught.value.winerror == 87

    ours.recv(bytearray(8), Overlapped())
    peer.sendall(b"hello")
    assert take(port).key == "first"


@pytest.mark.parametrize("unknown", [None, 5, "socket", object()], ids=lambda u: type(u).__name__)
def test_what_is_no_socket_cannot_be_attached(port: CompletionPort, unknown: Any) -> None:
    with pytest.raises(TypeError, match="OverlappedSocket"):
        port.attach(unknown)


def test_a_plain_socket_cannot_be_attached_and_the_text_says_the_remedy(
    port: CompletionPort,
) -> None:
    with socket.socket() as plain, pytest.raises(TypeError, match=r"OverlappedSocket\.adopt"):
        port.attach(plain)  # type: ignore[arg-type]


def test_a_closed_socket_cannot_be_attached(port: CompletionPort) -> None:
    sock = OverlappedSocket()
    sock.close()

    with pytest.raises(SocketClosed) as caught:
        port.attach(sock)
    assert caught.value.winerror == 10038


@pytest.mark.parametrize("unknown", [None, 5, "socket"], ids=lambda u: type(u).__name__)
def test_what_is_no_socket_is_a_type_error_everywhere(unknown: Any) -> None:
    with Event() as event, MessageQueue() as queue:
        calls: list[Callable[[], object]] = [
            lambda: select([unknown], timeout=0),
            lambda: event_select(unknown, event, FD_READ),
            lambda: enum_network_events(unknown),
            lambda: async_select(unknown, queue, 0x400, FD_READ),
        ]
        for call in calls:
            with pytest.raises(TypeError, match="OverlappedSocket"):
                call()


def test_a_closed_port_refuses_everything_with_6(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    port = CompletionPort()
    port.close()

    calls: list[Callable[[], object]] = [
        lambda: port.get(0),
        lambda: port.get(),
        lambda: port.get_many(4, 0),
        lambda: port.get_many(4, 0, alertable=True),
        lambda: port.post("lost"),
        lambda: port.attach(ours),
    ]
    for call in calls:
        with pytest.raises(PortClosed) as caught:
            call()
        assert caught.value.winerror == 6
    assert port.statistics().queued in (0, None)
    with CompletionPort() as other:
        other.attach(ours)  # The refused attach has not used up the socket's one port.


def test_an_operation_whose_port_was_closed_indicates_nowhere_and_frees_its_buffer(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair
    port = CompletionPort()
    port.attach(ours)
    buffer, overlapped = bytearray(8), Overlapped()
    ours.recv(buffer, overlapped)
    port.close()
    with pytest.raises(BufferError):
        buffer.append(0)

    peer.sendall(b"hello")

    assert eventually(lambda: not overlapped.is_in_flight)
    assert buffer[:5] == b"hello"
    buffer.append(0)


@pytest.mark.parametrize("concurrency", [-1, -100])
def test_a_negative_concurrency_is_refused(concurrency: int) -> None:
    with pytest.raises(InvalidParameter, match=str(concurrency)) as caught:
        CompletionPort(concurrency)
    assert caught.value.winerror == 87


@pytest.mark.parametrize("stall_timeout", [0, 0.0, -1, math.nan])
def test_a_stall_timeout_that_is_no_time_is_refused(stall_timeout: float) -> None:
    with pytest.raises(InvalidParameter, match="stall_timeout"):
        CompletionPort(stall_timeout=stall_timeout)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_1_is_refused_and_nothing_is_taken(port: CompletionPort, limit: int) -> None:
    port.post("kept")

    with pytest.raises(InvalidParameter, match=str(limit)) as caught:
        port.get_many(limit, 0)

    assert caught.value.winerror == 87
    assert take(port).key == "kept"


WAITS: dict[str, Callable[[CompletionPort, Event, OverlappedSocket, float], Any]] = {
    "get": lambda port, event, sock, t: port.get(t),
    "get_many": lambda port, event, sock, t: port.get_many(4, t),
    "get_many alertable": lambda port, event, sock, t: port.get_many(4, t, alertable=True),
    "event.wait": lambda port, event, sock, t: event.wait(t),
    "single": lambda port, event, sock, t: wait_for_single_object(event, t),
    "multiple": lambda port, event, sock, t: wait_for_multiple_objects([event], timeout=t),
    "sleep_ex": lambda port, event, sock, t: sleep_ex(t),
    "select": lambda port, event, sock, t: select([sock], timeout=t),
}


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
@pytest.mark.parametrize("name", WAITS)
def test_a_time_out_that_is_no_time_is_refused_also_if_there_is_something(
    port: CompletionPort, peer_pair: PeerPair, name: str, timeout: float
) -> None:
    ours, peer = peer_pair
    peer.sendall(b"ready")
    until_readable(ours)
    port.post("kept")
    with Event(signaled=True) as event, pytest.raises(ValueError, match=repr(timeout)):
        WAITS[name](port, event, ours, timeout)
    assert take(port).key == "kept"


@pytest.mark.parametrize("timeout", [math.inf, 1e12, 3e6])
@pytest.mark.parametrize("name", WAITS)
def test_a_time_out_beyond_all_clocks_waits_for_ever(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread, name: str, timeout: float
) -> None:
    # Method: each wait begins with nothing there, so that the time-out reaches the clock.
    ours, peer = peer_pair
    with Event() as event:
        waiting = in_thread(WAITS[name], port, event, ours, timeout)
        waiting.thread.join(0.005)
        assert waiting.is_running(), waiting.result()

        port.post("something")
        event.set()
        peer.sendall(b"something")
        if name == "sleep_ex":
            queue_user_apc(waiting.thread, int)

        assert waiting.result()


def test_a_message_queue_refuses_a_negative_time_out() -> None:
    with MessageQueue() as queue, pytest.raises(ValueError, match="-1"):
        queue.get(-1)
