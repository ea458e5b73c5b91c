"""Receives on a stream: order, ends, resets, and the two vocabularies of a failure."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    ConnectionReset,
    Event,
    IoIncomplete,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    SocketClosed,
    TimedOut,
    WouldBlock,
    sleep_ex,
    statuses,
)
from tests.support.packets import QUIET, no_packet, take, take_count
from tests.support.refusals import numbers, refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    joined,
    pattern,
    plain_pair,
    reset,
    wait_readable,
)
from tests.support.system import family_parameters
from tests.support.threads import Running

Opened = Callable[[OverlappedSocket], OverlappedSocket]
InThread = Callable[..., Running[Any]]

reset_is_end_on_wine = pytest.mark.windows_differs("row 29: a receive after a reset reads 0 bytes")


@pytest.mark.parametrize("family", family_parameters())
def test_R01_a_pending_receive_completes_when_data_comes(
    port: CompletionPort, opened: Opened, family: int
) -> None:
    server, peer = plain_pair(family)
    with peer:
        ours = opened(OverlappedSocket.adopt(server))
        port.attach(ours, "key")
        buffer, overlapped = bytearray(16), Overlapped("owner")

        assert ours.recv(buffer, overlapped) is None
        assert overlapped.is_in_flight
        peer.sendall(b"hello")
        packet = take(port)

        assert (packet.key, packet.overlapped, packet.error) == ("key", overlapped, None)
        assert packet.result() == packet.transferred == overlapped.transferred == 5
        assert buffer[:5] == b"hello"
        assert overlapped.kind is OperationKind.RECV
        assert overlapped.socket is ours
        assert overlapped.owner == "owner"
        assert not overlapped.is_in_flight


def test_R02_the_end_of_the_stream_completes_a_pending_receive_with_nothing(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(16), Overlapped())

    peer.close()
    packet = take(port)

    assert packet.error is None
    assert packet.transferred == 0


def test_R03_an_end_that_came_before_completes_at_once_and_queues_a_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    peer.close()
    wait_readable(ours)

    for _ in range(2):  # The end stays the end.
        assert ours.recv(bytearray(16), Overlapped()) == 0
        packet = take(port)
        assert (packet.error, packet.transferred) == (None, 0)


def test_R04_a_reset_fails_a_pending_receive_with_64_once(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()
    ours.recv(bytearray(16), overlapped)

    reset(peer)
    packet = take(port)

    assert numbers(packet) == (64, 10054)
    assert isinstance(packet.error, ConnectionReset)
    assert isinstance(packet.error, ConnectionResetError)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 0)
    assert overlapped.status == statuses.STATUS_CONNECTION_RESET
    with pytest.raises(ConnectionResetError):
        packet.result()
    assert no_packet(port)


def test_a_reset_fails_every_pending_receive(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    for _ in range(3):
        ours.recv(bytearray(16), Overlapped())

    reset(peer)

    assert [numbers(packet) for packet in take_count(port, 3)] == [(64, 10054)] * 3


@reset_is_end_on_wine
def test_R05_after_a_reset_every_call_is_refused_and_indicates_nothing(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    reset(peer)
    wait_readable(ours)

    overlapped = Overlapped()
    with refused_with(10054):
        ours.recv(bytearray(16), overlapped)
    with refused_with(10054):
        ours.send(b"hello", overlapped)

    assert not overlapped.is_in_flight
    assert no_packet(port)


@reset_is_end_on_wine
def test_R06_a_reset_never_turns_into_an_end(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(16), Overlapped())
    reset(peer)
    assert numbers(take(port)) == (64, 10054)

    for _ in range(3):
        with refused_with(10054):
            ours.recv(bytearray(16))
        with refused_with(10054):
            ours.recv(bytearray(16), Overlapped())
        with refused_with(10054):
            ours.send(b"hello")
    assert port.get(0.0) is None


def test_R08_a_reset_is_64_at_the_port_and_10054_in_the_result(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(16), overlapped)

        reset(peer)
        assert event.wait(LIMIT)
        packet = take(port)

        assert isinstance(packet.error, ProactorError)
        assert packet.error.winerror == 64
        with pytest.raises(ConnectionReset) as caught:
            overlapped.get_result()
        assert caught.value.winerror == 10054
        assert isinstance(overlapped.error, ConnectionReset)


def test_R09_two_pending_receives_fill_in_the_order_of_their_calls(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    buffers = [bytearray(16), bytearray(16)]
    operations = [Overlapped() for _ in buffers]
    for buffer, overlapped in zip(buffers, operations, strict=True):
        assert ours.recv(buffer, overlapped) is None

    peer.sendall(bytes(range(32)))

    packets = take_count(port, 2)
    assert [packet.overlapped for packet in packets] == operations
    assert joined(buffers) == bytes(range(32))


def test_three_receives_of_odd_sizes_fill_in_order_however_the_data_is_cut(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    # Goal: a receive completes with what there is, the next one goes on exactly there.
    # Method: keep three in flight all the time and put the pieces together by their calls.
    ours, peer = peer_pair
    port.attach(ours)
    data, sizes = pattern(50_000), (7, 1000, 33)
    begun: list[tuple[Overlapped, bytearray]] = []

    def begin(size: int) -> None:
        overlapped, buffer = Overlapped(), bytearray(size)
        begun.append((overlapped, buffer))
        ours.recv(buffer, overlapped)

    for size in sizes:
        begin(size)
    sent = received = 0
    while received < len(data):
        piece = data[sent : sent + 2777]
        peer.sendall(piece)
        sent += len(piece)
        while received < sent:
            received += take(port).result()
            begin(sizes[len(begun) % 3])

    got = b"".join(bytes(buffer[: op.transferred]) for op, buffer in begun if not op.is_in_flight)
    assert got == data
    ours.close()
    take_count(port, 3)


def test_R11_an_overlapped_receive_on_a_non_blocking_socket_pends(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.setblocking(False)

    with pytest.raises(WouldBlock) as caught:
        ours.recv(bytearray(16))
    assert caught.value.winerror == 10035
    assert ours.recv(bytearray(16), Overlapped()) is None

    peer.sendall(b"hello")
    assert take(port).transferred == 5


def test_R12_a_receive_time_out_ends_synchronous_calls_only(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    milliseconds = 50
    timeval = struct.pack("@ll", 0, milliseconds * 1000)
    value = milliseconds if sys.platform == "win32" else timeval
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    with pytest.raises(TimedOut) as caught:
        ours.recv(bytearray(16))
    assert caught.value.winerror == 10060

    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(16), overlapped)
        assert not event.wait(QUIET)
        assert not overlapped.is_complete
        peer.sendall(b"hello")
        assert overlapped.get_result(wait=True) == 5


def test_R16_a_receive_on_an_unconnected_socket_is_refused(
    port: CompletionPort, opened: Opened
) -> None:
    sock = opened(OverlappedSocket())
    port.attach(sock)
    overlapped = Overlapped()

    with refused_with(10057):
        sock.recv(bytearray(16), overlapped)
    with refused_with(10057):
        sock.recv(bytearray(16))

    assert not overlapped.is_in_flight
    assert no_packet(port)


def test_R18_the_result_of_a_pending_receive_is_not_there_yet(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(16), overlapped)

        with pytest.raises(IoIncomplete) as caught:
            overlapped.get_result()
        assert caught.value.winerror == 996
        assert not overlapped.is_complete
        assert overlapped.error is None

        peer.sendall(b"hello")
        assert overlapped.get_result(wait=True) == 5
        assert overlapped.is_complete


def test_without_event_and_port_the_overlapped_itself_tells(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair
    overlapped = Overlapped()
    ours.recv(bytearray(16), overlapped)
    with refused_with(10022):
        overlapped.get_result(wait=True)

    peer.sendall(b"hello")
    while not overlapped.is_complete:
        sleep_ex(0.001)

    assert overlapped.get_result() == 5
    assert not overlapped.is_in_flight


def test_a_closed_socket_refuses_receives(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    ours.close()
    overlapped = Overlapped()

    with pytest.raises(SocketClosed) as caught:
        ours.recv(bytearray(4))
    assert caught.value.winerror == 10038
    with pytest.raises(SocketClosed):
        ours.recv(bytearray(4), overlapped)
    assert not overlapped.is_in_flight


def test_a_synchronous_receive_waits_for_data(peer_pair: PeerPair, in_thread: InThread) -> None:
    ours, peer = peer_pair
    buffer = bytearray(16)
    receiving = in_thread(ours.recv, buffer)

    peer.sendall(b"hello")

    assert receiving.result() == 5
    assert buffer[:5] == b"hello"


def test_a_synchronous_receive_takes_its_turn_behind_the_pending_ones(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = bytearray(4), bytearray(4)
    ours.recv(first, Overlapped())
    receiving = in_thread(ours.recv, second)

    peer.sendall(b"1234abcd")

    assert receiving.result() == 4
    assert take(port).result() == 4
    assert [first, second] == [b"1234", b"abcd"]


def test_a_non_blocking_receive_does_not_overtake_a_pending_one(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.setblocking(False)
    first = bytearray(4)
    ours.recv(first, Overlapped())
    peer.sendall(b"1234")

    with pytest.raises(WouldBlock):
        ours.recv(bytearray(4))

    assert take(port).result() == 4
    assert first == b"1234"
