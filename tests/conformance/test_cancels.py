"""Group X: cancelled operations, and operations whose socket is closed, end exactly once."""

from __future__ import annotations

import queue
import socket

import pytest

from proactor import (
    CompletionPort,
    Event,
    OperationAborted,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    sleep_ex,
    statuses,
)
from tests.support.packets import no_packet, take, take_count
from tests.support.refusals import CLOSED_HERE, numbers
from tests.support.sockets import LIMIT, PeerPair, TcpPair, pattern, read_exactly, read_to_end
from tests.support.streams import InThread, Opened, until_readable
from tests.support.system import under_wine

# What Wine 8 reports besides for a receive whose socket is closed: as a packet, in a routine.
WINE_CLOSED_PACKET = {676} if under_wine() else set()
WINE_CLOSED_ROUTINE = {10022} if under_wine() else set()


def test_X01_a_cancelled_recv_is_one_packet_with_995(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    assert ours.cancel(overlapped)

    packet = take(port)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 0)
    assert isinstance(packet.error, OperationAborted)
    assert numbers(packet) == (995, 995)
    assert overlapped.status == statuses.STATUS_CANCELLED
    assert not overlapped.is_in_flight
    assert no_packet(port)


def test_X02_cancelling_what_is_not_pending_says_so(
    port: CompletionPort, peer_pair: PeerPair, tcp_pair: TcpPair
) -> None:
    ours, _ = peer_pair
    other, _ = tcp_pair
    port.attach(other)
    elsewhere = Overlapped()
    other.recv(bytearray(8), elsewhere)

    assert not ours.cancel(Overlapped())
    assert not ours.cancel(elsewhere)  # It is pending on another socket, and stays so.

    assert elsewhere.is_in_flight
    assert no_packet(port)


def test_X02_cancelling_all_of_nothing_says_so(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair

    assert not ours.cancel()


def test_X03_cancelling_all_ends_each_pending_recv_once(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    pending = [Overlapped() for _ in range(3)]
    for overlapped in pending:
        ours.recv(bytearray(8), overlapped)

    assert ours.cancel()

    packets = take_count(port, 3)
    assert {id(packet.overlapped) for packet in packets} == set(map(id, pending))
    assert [numbers(packet) for packet in packets] == [(995, 995)] * 3
    assert no_packet(port)


def test_X04_cancel_own_leaves_the_operations_of_other_threads_alone(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())

    assert in_thread(ours.cancel_own).result()

    assert no_packet(port)
    peer.sendall(b"stays")
    assert take(port).result() == 5
    assert buffer[:5] == b"stays"


def test_X04_cancel_own_ends_the_operations_of_the_calling_thread(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    ours.recv(bytearray(8), Overlapped())

    assert ours.cancel_own()

    assert numbers(take(port)) == (995, 995)
    assert ours.cancel_own()  # Nothing is left; CancelIo says TRUE all the same.


def test_X05_closing_with_a_recv_pending_is_exactly_one_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    ours.close()

    packet = take(port)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", overlapped, 0)
    assert numbers(packet)[0] in CLOSED_HERE | WINE_CLOSED_PACKET
    assert no_packet(port)
    assert read_to_end(peer) == b""


def test_X05_closing_with_several_pending_is_one_packet_for_each(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    pending = [Overlapped() for _ in range(3)]
    for overlapped in pending[:2]:
        ours.recv(bytearray(8), overlapped)
    ours.send(pattern(32 << 20), pending[2])  # More than the system takes: it pends.

    ours.close()

    packets = take_count(port, 3)
    assert {id(packet.overlapped) for packet in packets} == set(map(id, pending))
    assert all(packet.error is not None for packet in packets)
    assert no_packet(port)


def test_X06_closing_a_udp_socket_sets_the_event_and_its_recv_was_cancelled(
    udp_pair: TcpPair,
) -> None:
    ours, _ = udp_pair
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv_from(bytearray(8), overlapped)

        ours.close()

        assert event.wait(LIMIT)
        assert overlapped.transferred == 0
        assert overlapped.status == statuses.STATUS_CANCELLED
        with pytest.raises(OperationAborted):
            overlapped.get_result()


def test_X08_closing_calls_the_routine_of_a_pending_recv_once(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    calls: list[tuple[int, int]] = []

    def routine(error: OSError | None, transferred: int, overlapped: Overlapped, _: int) -> None:
        assert isinstance(error, ProactorError)
        calls.append((error.winerror, transferred))

    ours.recv(bytearray(8), Overlapped(routine=routine))

    ours.close()

    assert sleep_ex(LIMIT)
    [(number, transferred)] = calls
    assert number in {995, 10053, 10054} | WINE_CLOSED_ROUTINE
    assert transferred == 0
    assert not sleep_ex(0)


def test_a_cancelled_recv_takes_no_data_from_the_next_one(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = Overlapped(), Overlapped()
    buffers = bytearray(8), bytearray(8)
    ours.recv(buffers[0], first)
    ours.recv(buffers[1], second)

    assert ours.cancel(first)
    assert take(port).overlapped is first
    peer.sendall(b"data")

    packet = take(port)
    assert (packet.overlapped, packet.result()) == (second, 4)
    assert buffers == (bytearray(8), b"data\0\0\0\0")


def test_a_cancelled_send_is_one_packet_with_995(port: CompletionPort, peer_pair: PeerPair) -> None:
    # Method: the peer does not read, so that a part is sent and the rest waits.
    ours, _ = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    assert ours.send(pattern(32 << 20), overlapped) is None

    assert ours.cancel(overlapped)

    assert numbers(take(port)) == (995, 995)
    assert no_packet(port)


def test_cancelling_one_send_leaves_the_queued_one_whole(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    size = 32 << 20
    first, second = Overlapped("first"), Overlapped("second")
    assert ours.send(pattern(size), first) is None
    assert ours.send(b"never sent", second) is None

    assert ours.cancel(second)

    packet = take(port)
    assert packet.overlapped is second
    assert numbers(packet) == (995, 995)
    reading = in_thread(read_exactly, peer, size)
    assert take(port).result() == size
    assert reading.result(4 * LIMIT) == pattern(size)
    ours.shutdown(socket.SHUT_WR)
    assert read_to_end(peer) == b""


def test_a_cancelled_accept_leaves_the_connection_to_the_next_one(
    port: CompletionPort, listener: OverlappedSocket, opened: Opened
) -> None:
    port.attach(listener)
    first, second = Overlapped(), Overlapped()
    listener.accept(first)

    assert listener.cancel(first)

    assert numbers(take(port)) == (995, 995)
    assert first.accepted is None
    listener.accept(second)
    with socket.create_connection(listener.getsockname(), LIMIT):
        assert take(port).overlapped is second
        opened(second.accepted)


def test_cancelling_does_not_touch_a_packet_that_is_queued(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    peer.sendall(b"data")
    until_readable(ours)
    overlapped = Overlapped()
    assert ours.recv(bytearray(8), overlapped) == 4

    ours.cancel(overlapped)

    assert take(port).result() == 4
    assert no_packet(port)


def test_a_cancelled_recv_with_a_routine_calls_it_with_995(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    calls: list[OSError | None] = []
    overlapped = Overlapped(routine=lambda error, *_: calls.append(error))
    ours.recv(bytearray(8), overlapped)

    assert ours.cancel(overlapped)

    assert sleep_ex(LIMIT)
    [error] = calls
    assert isinstance(error, OperationAborted)
    assert error.winerror == 995


def test_cancel_against_arriving_data_never_doubles_or_loses_either(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    # Goal: whoever wins, there is one indication, and the byte is in the buffer or still to come.
    ours, peer = peer_pair
    port.attach(ours)
    turns: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def send_each() -> None:
        while (byte := turns.get()) is not None:
            peer.sendall(byte)

    sender = in_thread(send_each)
    try:
        for turn in range(60):
            buffer, overlapped = bytearray(1), Overlapped(turn)
            ours.recv(buffer, overlapped)
            turns.put(bytes([turn]))
            ours.cancel(overlapped)
            packet = take(port)
            assert packet.overlapped is overlapped
            if packet.error is not None:
                assert numbers(packet) == (995, 995)
                assert ours.recv(buffer) == 1
            assert buffer[0] == turn
    finally:
        turns.put(None)
    sender.result()
    assert no_packet(port)


def test_closing_wakes_a_thread_that_blocks_in_a_recv(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, _ = peer_pair
    receiving = in_thread(ours.recv, bytearray(8))
    receiving.thread.join(0.02)  # So that it probably waits by now; earlier is right, too.

    ours.close()

    with pytest.raises(ProactorError):
        receiving.result()


def test_closing_wakes_a_thread_that_blocks_in_a_send(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, _ = peer_pair
    sending = in_thread(ours.send, pattern(32 << 20))
    sending.thread.join(0.02)

    ours.close()

    with pytest.raises(ProactorError):
        sending.result()


def test_aborting_ends_every_operation_once(port: CompletionPort, peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    pending = [Overlapped() for _ in range(3)]
    for overlapped in pending[:2]:
        ours.recv(bytearray(8), overlapped)
    ours.send(pattern(32 << 20), pending[2])

    ours.abort()

    packets = take_count(port, 3)
    assert {id(packet.overlapped) for packet in packets} == set(map(id, pending))
    assert all(packet.error is not None for packet in packets)
    assert no_packet(port)


@pytest.mark.windows_differs("the peer of an abort that cuts off a send reads the end")
def test_aborting_loses_what_is_queued_and_resets_the_peer(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.send(pattern(32 << 20), Overlapped())

    ours.abort()

    assert take(port).error is not None
    with pytest.raises(ConnectionResetError):
        read_to_end(peer)
