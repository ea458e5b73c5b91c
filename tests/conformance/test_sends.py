"""Sends on a stream: all or nothing, in the order of the calls, never interleaved."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Event,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    WouldBlock,
    sleep_ex,
    statuses,
)
from tests.support.packets import QUIET, no_packet, take, take_count
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    TcpPair,
    pattern,
    plain_client,
    plain_listener,
    plain_pair,
    read_exactly,
    read_to_end,
)
from tests.support.system import family_parameters
from tests.support.threads import Running

Opened = Callable[[OverlappedSocket], OverlappedSocket]
InThread = Callable[..., Running[Any]]

MEBIBYTE = 1 << 20


@pytest.fixture
def narrow_pair(opened: Opened, engine: str) -> Iterator[PeerPair]:
    """Return (ours, peer) between which little fits, so that big sends pend in many pieces."""
    with plain_listener() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        # Set before the adoption: afterwards the plain object is no longer ours to use.
        client = plain_client(listener.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        ours = opened(OverlappedSocket.adopt(client))
        accepted, _ = listener.accept()
    with accepted:
        accepted.settimeout(LIMIT)
        yield ours, accepted


@pytest.mark.parametrize("family", family_parameters())
def test_a_small_send_completes_at_once_and_queues_a_packet(
    port: CompletionPort, opened: Opened, family: int
) -> None:
    server, peer = plain_pair(family)
    with peer:
        ours = opened(OverlappedSocket.adopt(server))
        port.attach(ours, "key")
        overlapped = Overlapped()

        assert ours.send(b"hello", overlapped) == 5
        packet = take(port)

        assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, 5)
        assert overlapped.kind is OperationKind.SEND
        assert peer.recv(16) == b"hello"


@pytest.mark.windows_differs("a synchronous non-blocking send is short")
def test_S01_S02_a_non_blocking_send_takes_all_or_nothing_and_a_close_loses_none(
    narrow_pair: PeerPair,
) -> None:
    # Goal: a synchronous send of a non-blocking socket is never short, and what it has taken
    # survives closing the socket.
    ours, peer = narrow_pair
    ours.setblocking(False)
    chunk, taken = pattern(4 * MEBIBYTE), 0

    with pytest.raises(WouldBlock):
        for _ in range(64):
            assert ours.send(chunk) == len(chunk)
            taken += 1
    assert taken >= 1
    ours.close()

    received = read_to_end(peer)
    assert len(received) == taken * len(chunk)
    assert received == chunk * taken


def test_S04_a_big_send_to_a_slow_reader_completes_once_and_whole(
    port: CompletionPort, narrow_pair: PeerPair
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    data, overlapped = pattern(8 * MEBIBYTE), Overlapped()

    assert ours.send(data, overlapped) is None
    first = read_exactly(peer, MEBIBYTE)
    assert port.get(0.0) is None  # Seven eighths are still to be read: far more than fits.
    rest = read_exactly(peer, len(data) - MEBIBYTE)

    assert first + rest == data
    packet = take(port)
    assert (packet.overlapped, packet.result()) == (overlapped, len(data))
    assert no_packet(port)


@pytest.mark.windows_differs("a synchronous non-blocking send is short")
def test_S07_what_a_thread_has_sent_arrives_though_it_has_ended(
    narrow_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = narrow_pair
    ours.setblocking(False)
    data = pattern(4 * MEBIBYTE)

    assert in_thread(ours.send, data).result() == len(data)

    assert read_exactly(peer, len(data)) == data


def test_an_overlapped_send_goes_on_though_its_thread_has_ended(
    port: CompletionPort, narrow_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    data = pattern(4 * MEBIBYTE)

    assert in_thread(ours.send, data, Overlapped()).result() is None

    assert read_exactly(peer, len(data)) == data
    assert take(port).result() == len(data)


def test_two_big_sends_in_flight_never_interleave(
    port: CompletionPort, narrow_pair: PeerPair
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    operations = [Overlapped(), Overlapped(), Overlapped()]
    texts = [pattern(2 * MEBIBYTE, 1), pattern(MEBIBYTE, 2), b"the last one"]

    for text, overlapped in zip(texts, operations, strict=True):
        ours.send(text, overlapped)

    assert read_exactly(peer, sum(map(len, texts))) == b"".join(texts)
    packets = take_count(port, 3)
    assert [packet.overlapped for packet in packets] == operations
    assert [packet.result() for packet in packets] == [len(text) for text in texts]


@pytest.mark.windows_differs("overlapped sends that several threads begin at once may get stuck")
def test_sends_of_several_threads_stay_whole(
    port: CompletionPort, narrow_pair: PeerPair, in_thread: InThread
) -> None:
    # Goal: whose message comes first is anybody's guess, but no message is cut by another.
    ours, peer = narrow_pair
    port.attach(ours)
    size, each, threads = 100_003, 5, 4
    start = threading.Barrier(threads)

    def sender(name: int) -> None:
        start.wait(LIMIT)
        for _ in range(each):
            ours.send(bytes([name]) * size, Overlapped())

    senders = [in_thread(sender, name) for name in range(threads)]
    received = read_exactly(peer, size * each * threads)
    for running in senders:
        running.result()

    messages = [received[at : at + size] for at in range(0, len(received), size)]
    assert all(message == message[:1] * size for message in messages)
    assert sorted(message[0] for message in messages) == sorted(list(range(threads)) * each)
    assert all(packet.result() == size for packet in take_count(port, each * threads))


def test_several_buffers_are_gathered_in_order_and_empty_ones_passed_over(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    memory = memoryview(bytearray(b"three-and-more"))[:5]

    assert ours.send([b"one", b"", bytearray(b"two"), memory, b""], Overlapped()) == 11

    assert take(port).result() == 11
    assert peer.recv(64) == b"onetwothree"


@pytest.mark.windows_differs("a send of more than 1,024 buffers is refused with 10040")
def test_many_big_buffers_are_gathered_in_order(
    port: CompletionPort, narrow_pair: PeerPair
) -> None:
    # Goal: short sends end within a buffer, at its edge, and past more buffers than one system
    # call takes (1,024 on Linux).
    ours, peer = narrow_pair
    port.attach(ours)
    pieces = [pattern(1 + number % 1500, number) for number in range(3000)]
    pieces[10] = pieces[1500] = b""
    whole = b"".join(pieces)

    ours.send(tuple(pieces), Overlapped())

    assert read_exactly(peer, len(whole)) == whole
    assert take(port).result() == len(whole)


@pytest.mark.parametrize("nothing", [b"", [b"", bytearray()]])
def test_a_send_of_nothing_is_a_success_of_0_bytes(
    port: CompletionPort, peer_pair: PeerPair, nothing: Any
) -> None:
    ours, peer = peer_pair
    port.attach(ours)

    assert ours.send(nothing, Overlapped()) == 0
    packet = take(port)
    assert (packet.error, packet.transferred) == (None, 0)

    ours.send(b"something")
    assert peer.recv(16) == b"something"


def test_a_send_of_nothing_waits_its_turn_behind_a_big_one(
    port: CompletionPort, narrow_pair: PeerPair
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    big, nothing = Overlapped(), Overlapped()
    ours.send(pattern(2 * MEBIBYTE), big)
    ours.send(b"", nothing)

    read_exactly(peer, 2 * MEBIBYTE)

    assert {packet.overlapped for packet in take_count(port, 2)} == {big, nothing}


def test_a_big_stream_both_ways_at_once_arrives_whole(
    port: CompletionPort, tcp_pair: TcpPair
) -> None:
    # Goal: the two directions of one socket do not wait for each other.
    # Method: both ends send 4 MB and receive 4 MB, all overlapped, served by one thread.
    size = 4 * MEBIBYTE
    texts = {sock: pattern(size, seed) for seed, sock in enumerate(tcp_pair)}
    received = {sock: bytearray() for sock in tcp_pair}
    buffers = {sock: bytearray(60_000) for sock in tcp_pair}
    for sock in tcp_pair:
        port.attach(sock, sock)
        sock.send(texts[sock], Overlapped())
        sock.recv(buffers[sock], Overlapped())

    sent = 0
    while sent < 2 or any(len(got) < size for got in received.values()):
        packet = take(port)
        sock, count = packet.key, packet.result()
        if packet.overlapped.kind is OperationKind.SEND:
            assert count == size
            sent += 1
            continue
        assert count > 0
        received[sock] += memoryview(buffers[sock])[:count]
        if len(received[sock]) < size:
            sock.recv(buffers[sock], packet.overlapped)

    server, client = tcp_pair
    assert received[client] == texts[server]
    assert received[server] == texts[client]


def test_shutting_down_sending_lets_queued_sends_go_first(
    port: CompletionPort, narrow_pair: PeerPair
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    data = pattern(2 * MEBIBYTE)
    assert ours.send(data, Overlapped()) is None

    ours.shutdown(socket.SHUT_WR)

    assert read_to_end(peer) == data
    assert take(port).result() == len(data)


def test_a_synchronous_send_waits_until_all_is_taken(
    narrow_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = narrow_pair
    data = pattern(4 * MEBIBYTE)
    sending = in_thread(ours.send, data)

    assert read_exactly(peer, len(data)) == data

    assert sending.result() == len(data)


def test_a_synchronous_send_goes_out_behind_the_overlapped_ones(
    port: CompletionPort, narrow_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = narrow_pair
    port.attach(ours)
    first = pattern(2 * MEBIBYTE)
    ours.send(first, Overlapped())
    sending = in_thread(ours.send, b"behind it")

    assert read_exactly(peer, len(first) + 9) == first + b"behind it"
    assert sending.result() == 9
    assert take(port).result() == len(first)


def test_a_send_with_an_event_sets_it_when_all_is_taken(narrow_pair: PeerPair) -> None:
    ours, peer = narrow_pair
    with Event() as event:
        overlapped = Overlapped(event=event)
        data = pattern(2 * MEBIBYTE)
        ours.send(data, overlapped)
        assert not event.wait(QUIET)
        assert overlapped.status == statuses.STATUS_PENDING

        read_exactly(peer, len(data))

        assert event.wait(LIMIT)
        assert overlapped.get_result() == len(data)


def test_a_send_with_a_routine_calls_it_in_an_alertable_wait(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    calls: list[tuple[OSError | None, int]] = []
    overlapped = Overlapped(routine=lambda error, count, _o, _f: calls.append((error, count)))

    assert ours.send(b"hello", overlapped) == 5
    assert calls == []

    assert sleep_ex(LIMIT)
    assert calls == [(None, 5)]
    assert peer.recv(16) == b"hello"
