"""Bad buffers and overlappeds: refused with words, and what is in flight is undisturbed."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    Event,
    InvalidParameter,
    IoIncomplete,
    Overlapped,
    OverlappedBusy,
    OverlappedSocket,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import refused_with
from tests.support.sockets import LIMIT, PeerPair, pattern, read_exactly
from tests.support.streams import InThread, Opened, until_readable

RECEIVING: dict[str, Callable[[OverlappedSocket, Any, Any], Any]] = {
    "recv": lambda sock, buffer, overlapped: sock.recv(buffer, overlapped),
    "recv_from": lambda sock, buffer, overlapped: sock.recv_from(buffer, overlapped),
}


@pytest.mark.parametrize("name", RECEIVING)
@pytest.mark.parametrize("is_overlapped", [True, False], ids=["overlapped", "synchronous"])
def test_a_read_only_buffer_is_refused_and_nothing_is_started(
    port: CompletionPort, peer_pair: PeerPair, name: str, is_overlapped: bool
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped() if is_overlapped else None

    with refused_with(10014):
        RECEIVING[name](ours, b"read-only", overlapped)
    with refused_with(10014):
        RECEIVING[name](ours, [bytearray(4), memoryview(b"ro")], overlapped)

    peer.sendall(b"hello")
    assert ours.recv(bytearray(8)) == 5
    assert port.get(0) is None
    assert overlapped is None or not overlapped.is_in_flight


def test_a_read_only_buffer_for_the_first_data_of_an_accept_is_refused(opened: Opened) -> None:
    listener = opened(OverlappedSocket())
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    overlapped = Overlapped()

    with refused_with(10014):
        listener.accept(overlapped, None, b"read-only")

    assert not overlapped.is_in_flight


@pytest.mark.parametrize(
    "wrong", ["text", 5, None, memoryview(bytearray(8))[::2]], ids=lambda w: type(w).__name__
)
def test_what_is_no_contiguous_buffer_is_refused_and_nothing_is_started(
    peer_pair: PeerPair, wrong: Any
) -> None:
    ours, peer = peer_pair
    overlapped = Overlapped()
    call: Any

    for call in (ours.recv, ours.send):
        with pytest.raises(TypeError):
            call(wrong, overlapped)
        with pytest.raises(TypeError):
            call([bytearray(1), wrong], overlapped)

    assert not overlapped.is_in_flight
    ours.send(b"hello")
    assert peer.recv(8) == b"hello"


def test_no_buffer_is_refused_with_10022(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair

    with refused_with(10022):
        ours.recv([], Overlapped())
    with refused_with(10022):
        ours.send((), Overlapped())


def test_a_buffer_that_is_resized_in_flight_is_protected_and_the_recv_undisturbed(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())

    with pytest.raises(BufferError):
        buffer.append(1)
    with pytest.raises(BufferError):
        buffer.clear()
    with pytest.raises(BufferError):
        buffer.extend(bytes(1 << 20))

    peer.sendall(b"hello")
    assert take(port).result() == 5
    assert buffer == b"hello\0\0\0"
    buffer.clear()  # The packet is taken: the buffer is the user's again.


def test_a_buffer_stays_protected_until_its_packet_is_taken(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    peer.sendall(b"hello")
    until_readable(ours)
    buffer = bytearray(8)
    assert ours.recv(buffer, Overlapped()) == 5

    with pytest.raises(BufferError):
        buffer.clear()

    packet = take(port)
    buffer.clear()
    assert packet.result() == 5


def test_a_buffer_that_is_being_sent_is_protected_too(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    size = 16 << 20
    outgoing = bytearray(pattern(size))
    assert ours.send(outgoing, Overlapped()) is None

    with pytest.raises(BufferError):
        outgoing.clear()

    assert in_thread(read_exactly, peer, size).result(4 * LIMIT) == pattern(size)
    assert take(port).result() == size
    outgoing.clear()


def test_a_view_that_its_user_releases_in_flight_is_not_the_operations(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    words = array.array("H", [0] * 4)
    view = memoryview(words)
    ours.recv(view, Overlapped())

    view.release()

    peer.sendall(b"\1\0\2\0")
    assert take(port).result() == 4
    assert words.tobytes() == b"\1\0\2\0\0\0\0\0"


def test_an_overlapped_that_is_in_flight_cannot_be_used_again(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = bytearray(8), bytearray(8)
    overlapped = Overlapped()
    ours.recv(first, overlapped)

    with pytest.raises(OverlappedBusy, match="use one for each operation"):
        ours.recv(second, overlapped)
    with pytest.raises(OverlappedBusy):
        ours.send(b"hello", overlapped)

    second.append(0)  # The refused call holds nothing.
    peer.sendall(b"hello")
    assert take(port).result() == 5
    assert first[:5] == b"hello"
    assert no_packet(port)
    ours.recv(first, overlapped)  # Taken: it may be used again.
    peer.sendall(b"again")
    assert take(port).overlapped is overlapped


def test_an_overlapped_whose_packet_is_queued_cannot_be_used_again(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    peer.sendall(b"hello")
    until_readable(ours)
    overlapped = Overlapped()
    assert ours.recv(bytearray(8), overlapped) == 5

    with pytest.raises(OverlappedBusy):
        ours.recv(bytearray(8), overlapped)

    assert take(port).overlapped is overlapped


def test_an_overlapped_with_a_routine_is_free_when_the_routine_is_called(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    # Goal: the same overlapped on another socket, after a refusal, is not mistaken for the first.
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped(routine=print)
    with refused_with(10022):
        ours.recv(bytearray(8), overlapped)  # A port and a routine exclude each other.

    assert not overlapped.is_in_flight
    overlapped.routine = None
    ours.recv(bytearray(8), overlapped)
    peer.sendall(b"hello")
    assert take(port).overlapped is overlapped


def test_a_refused_call_leaves_its_overlapped_free(peer_pair: PeerPair, opened: Opened) -> None:
    ours, peer = peer_pair
    overlapped = Overlapped()
    with refused_with(10057):
        opened(OverlappedSocket()).recv(bytearray(8), overlapped)

    assert not overlapped.is_in_flight
    with Event() as event:
        overlapped.event = event
        peer.sendall(b"hello")
        ours.recv(bytearray(8), overlapped)
        assert overlapped.get_result(wait=True) == 5


def test_asking_for_a_result_too_early_is_refused_and_disturbs_nothing(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(8), overlapped)

        with pytest.raises(IoIncomplete) as early:
            overlapped.get_result()

        assert early.value.winerror == 996
        peer.sendall(b"hello")
        assert overlapped.get_result(wait=True) == 5
        assert overlapped.get_result() == 5


def test_waiting_for_a_result_without_an_event_is_refused(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    with pytest.raises(InvalidParameter, match="event"):
        overlapped.get_result(wait=True)

    peer.sendall(b"hello")
    assert take(port).overlapped is overlapped
    assert overlapped.get_result(wait=True) == 5
