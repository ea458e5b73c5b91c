"""Group G: datagrams, one a receive, whole or truncated, with the sender's address."""

from __future__ import annotations

import contextlib
import socket

import pytest

from proactor import (
    CompletionPort,
    Event,
    MessageTruncated,
    Overlapped,
    OverlappedSocket,
    WouldBlock,
    statuses,
)
from tests.support.packets import no_packet, take, take_count
from tests.support.refusals import numbers, refused_with
from tests.support.sockets import LIMIT, TcpPair, loopback
from tests.support.streams import Opened, until_readable


@pytest.fixture
def connected(opened: Opened) -> OverlappedSocket:
    """Return a UDP socket connected to a port at which nobody listens."""
    with socket.socket(type=socket.SOCK_DGRAM) as gone:
        gone.bind(loopback())
        plain = socket.socket(type=socket.SOCK_DGRAM)
        plain.bind(loopback())
        plain.connect(gone.getsockname())
    return opened(OverlappedSocket.adopt(plain))


def test_G01_a_synchronous_recv_of_a_long_datagram_fills_the_buffer_and_says_10040(
    udp_pair: TcpPair,
) -> None:
    ours, theirs = udp_pair
    theirs.send_to(b"ninebytes", ours.getsockname())
    theirs.send_to(b"next", ours.getsockname())
    buffer = bytearray(4)

    with pytest.raises(MessageTruncated) as caught:
        ours.recv_from(buffer)

    assert caught.value.winerror == 10040
    assert buffer == b"nine"
    assert ours.recv_from(buffer) == (4, theirs.getsockname())
    assert buffer == b"next"  # The rest of the first one is lost.


def test_G01_a_pending_recv_of_a_long_datagram_ends_as_truncated(udp_pair: TcpPair) -> None:
    ours, theirs = udp_pair
    buffer = bytearray(4)
    with Event() as event:
        overlapped = Overlapped(event=event)
        assert ours.recv_from(buffer, overlapped) is None
        theirs.send_to(b"ninebytes", ours.getsockname())

        with pytest.raises(MessageTruncated) as caught:
            overlapped.get_result(wait=True)

    assert caught.value.winerror == 10040
    assert overlapped.status == statuses.STATUS_BUFFER_OVERFLOW
    assert (overlapped.transferred, buffer) == (4, b"nine")
    assert overlapped.address == theirs.getsockname()


def test_G01_at_a_port_a_truncated_datagram_is_a_packet_with_234_and_its_bytes(
    port: CompletionPort, udp_pair: TcpPair
) -> None:
    ours, theirs = udp_pair
    port.attach(ours)
    buffer = bytearray(4)
    ours.recv_from(buffer, Overlapped())

    theirs.send_to(b"ninebytes", ours.getsockname())

    packet = take(port)
    assert numbers(packet) == (234, 10040)
    assert (packet.transferred, buffer) == (4, b"nine")


def test_G02_a_truncated_datagram_that_is_there_raises_and_sets_the_event(
    udp_pair: TcpPair,
) -> None:
    # Goal: a warning is no error: the call fails, and yet the operation indicates.
    ours, theirs = udp_pair
    theirs.send_to(b"ninebytes", ours.getsockname())
    until_readable(ours)
    buffer = bytearray(4)
    with Event() as event:
        overlapped = Overlapped(event=event)

        with pytest.raises(MessageTruncated) as caught:
            ours.recv_from(buffer, overlapped)

        assert caught.value.winerror == 10040
        assert event.wait(LIMIT)
    assert overlapped.status == statuses.STATUS_BUFFER_OVERFLOW
    assert (overlapped.transferred, buffer) == (4, b"nine")


def test_G02_at_a_port_such_a_call_raises_and_queues_one_packet(
    port: CompletionPort, udp_pair: TcpPair
) -> None:
    ours, theirs = udp_pair
    port.attach(ours, "key")
    theirs.send_to(b"ninebytes", ours.getsockname())
    until_readable(ours)
    overlapped = Overlapped()

    with pytest.raises(MessageTruncated):
        ours.recv_from(bytearray(4), overlapped)

    packet = take(port)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 4)
    assert numbers(packet) == (234, 10040)
    assert no_packet(port)


@pytest.mark.windows_differs("nothing tells of a closed UDP port")
def test_G04_a_closed_remote_port_fails_the_pending_recv_with_1234(
    port: CompletionPort, connected: OverlappedSocket
) -> None:
    port.attach(connected)
    buffer = bytearray(8)
    connected.recv(buffer, Overlapped())

    connected.send(b"anybody?")

    assert numbers(take(port)) == (1234, 10054)
    connected.recv(buffer, Overlapped())  # No failure of the socket: the next one may be posted.
    assert no_packet(port)


@pytest.mark.windows_differs("nothing tells of a closed UDP port")
@pytest.mark.parametrize("how", ["send_to", "send"])
def test_a_second_datagram_to_a_closed_port_leaves_the_news_to_the_receive(
    port: CompletionPort, connected: OverlappedSocket, how: str
) -> None:
    # Goal: the kernel tells the refusal of the first datagram to the next call, which is a send
    # here; Windows tells receives only. The send succeeds, and the news is not lost.
    port.attach(connected)
    away = connected.getpeername()
    for _ in range(2):
        sent = connected.send_to(b"you?", away) if how == "send_to" else connected.send(b"you?")
        assert sent == 4

    with contextlib.suppress(ConnectionResetError):  # Told at once, or to one that waits.
        connected.recv(bytearray(8), Overlapped())
        assert numbers(take(port)) == (1234, 10054)
    assert no_packet(port)


@pytest.mark.windows_differs("nothing tells of a closed UDP port")
def test_a_receive_that_waits_hears_of_a_refusal_that_a_send_has_met(
    port: CompletionPort, connected: OverlappedSocket
) -> None:
    # Method: no thread polls between the sends, so that the second meets the first one's answer.
    port.attach(connected)
    connected.recv(bytearray(8), Overlapped())

    connected.send(b"you?")
    connected.send(b"you?")

    assert numbers(take(port)) == (1234, 10054)


def test_G05_the_address_of_the_sender_is_there_at_completion(
    port: CompletionPort, udp_pair: TcpPair
) -> None:
    ours, theirs = udp_pair
    port.attach(ours)
    buffer, overlapped = bytearray(16), Overlapped()
    assert ours.recv_from(buffer, overlapped) is None
    assert overlapped.address is None

    theirs.send_to(b"hello", ours.getsockname())

    packet = take(port)
    assert (packet.overlapped, packet.result()) == (overlapped, 5)
    assert overlapped.address == theirs.getsockname()
    assert buffer[:5] == b"hello"


def test_an_empty_datagram_is_a_success_of_0_bytes(port: CompletionPort, udp_pair: TcpPair) -> None:
    ours, theirs = udp_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv_from(bytearray(8), overlapped)

    assert theirs.send_to(b"", ours.getsockname()) == 0

    assert take(port).result() == 0
    assert overlapped.address == theirs.getsockname()


def test_pending_receives_take_one_datagram_each_in_order(
    port: CompletionPort, udp_pair: TcpPair
) -> None:
    ours, theirs = udp_pair
    port.attach(ours)
    buffers = [bytearray(8) for _ in range(3)]
    for buffer in buffers:
        ours.recv_from(buffer, Overlapped())

    for text in (b"1", b"22", b"333"):
        theirs.send_to(text, ours.getsockname())

    assert [packet.result() for packet in take_count(port, 3)] == [1, 2, 3]
    assert [bytes(buffer).rstrip(b"\0") for buffer in buffers] == [b"1", b"22", b"333"]


def test_a_datagram_is_gathered_and_scattered(port: CompletionPort, udp_pair: TcpPair) -> None:
    ours, theirs = udp_pair
    port.attach(ours)
    first, second = bytearray(2), bytearray(8)
    ours.recv_from([first, second], Overlapped())

    assert theirs.send_to([b"a", b"bcd", b"e"], ours.getsockname()) == 5

    assert take(port).result() == 5
    assert (first, second[:3]) == (b"ab", b"cde")


def test_an_overlapped_send_to_indicates_its_count(port: CompletionPort, udp_pair: TcpPair) -> None:
    ours, theirs = udp_pair
    port.attach(theirs, "sender")
    overlapped = Overlapped()

    theirs.send_to(b"hello", ours.getsockname(), overlapped)

    packet = take(port)
    assert (packet.key, packet.overlapped, packet.result()) == ("sender", overlapped, 5)
    assert ours.recv_from(bytearray(8)) == (5, theirs.getsockname())


def test_receiving_on_an_unbound_socket_is_refused(opened: Opened) -> None:
    unbound = opened(OverlappedSocket(type=socket.SOCK_DGRAM))

    with refused_with(10022):
        unbound.recv_from(bytearray(8))
    overlapped = Overlapped()
    with refused_with(10022):
        unbound.recv_from(bytearray(8), overlapped)
    assert not overlapped.is_in_flight


def test_sending_binds_an_unbound_socket(udp_pair: TcpPair, opened: Opened) -> None:
    ours, _ = udp_pair
    unbound = opened(OverlappedSocket(type=socket.SOCK_DGRAM))

    unbound.send_to(b"hello", ours.getsockname())

    _, address = ours.recv_from(bytearray(8))
    assert address[1] == unbound.getsockname()[1] != 0


def test_a_non_blocking_recv_from_with_nothing_there_would_block(udp_pair: TcpPair) -> None:
    ours, _ = udp_pair
    ours.setblocking(False)

    with pytest.raises(WouldBlock) as caught:
        ours.recv_from(bytearray(8))

    assert caught.value.winerror == 10035
