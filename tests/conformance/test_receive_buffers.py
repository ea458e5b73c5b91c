"""Buffers of a receive: none, empty, several, read-only; and whose they are in flight."""

from __future__ import annotations

import gc
import weakref

import pytest

from proactor import CompletionPort, Overlapped, OverlappedBusy
from tests.support.packets import take
from tests.support.refusals import numbers, refused_with
from tests.support.sockets import PeerPair, reset, wait_readable


def test_R13_a_receive_into_no_buffer_is_refused(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    overlapped = Overlapped()

    with refused_with(10022):
        ours.recv([], overlapped)

    assert not overlapped.is_in_flight


def test_R14_a_zero_byte_receive_waits_for_data_and_takes_none(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    assert ours.recv(bytearray(), Overlapped()) is None

    peer.sendall(b"hello")
    packet = take(port)

    assert (packet.error, packet.transferred) == (None, 0)
    buffer = bytearray(8)
    assert ours.recv(buffer) == 5
    assert buffer[:5] == b"hello"


def test_a_zero_byte_receive_completes_at_once_where_data_is(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    peer.sendall(b"hello")
    wait_readable(ours)

    assert ours.recv(bytearray(), Overlapped()) == 0
    assert (take(port).error, port.get(0.0)) == (None, None)
    assert ours.recv(bytearray(8), Overlapped()) == 5
    assert take(port).transferred == 5


@pytest.mark.parametrize("ending", ["end", "reset"])
def test_a_zero_byte_receive_hears_of_an_end_and_of_a_reset(
    port: CompletionPort, peer_pair: PeerPair, ending: str
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(), Overlapped())

    if ending == "end":
        peer.close()
    else:
        reset(peer)
    packet = take(port)

    assert packet.transferred == 0
    if ending == "end":
        assert packet.error is None
    else:
        assert numbers(packet) == (64, 10054)


def test_R17_data_is_scattered_over_the_buffers_in_order(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = bytearray(4), bytearray(5)
    ours.recv([first, second], Overlapped())

    peer.sendall(b"123456789")

    assert take(port).transferred == 9
    assert [first, second] == [b"1234", b"56789"]


def test_empty_buffers_among_others_are_passed_over(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    first, second = bytearray(2), bytearray(8)
    ours.recv((bytearray(), first, bytearray(), second), Overlapped())

    peer.sendall(b"12345")

    assert take(port).transferred == 5
    assert [first, second] == [b"12", b"345\0\0\0\0\0"]


def test_a_read_only_buffer_is_refused(peer_pair: PeerPair) -> None:
    ours, _ = peer_pair
    overlapped = Overlapped()

    with refused_with(10014):
        ours.recv(b"read-only", overlapped)
    with pytest.raises(TypeError):
        ours.recv("no buffer", overlapped)  # type: ignore[arg-type]

    assert not overlapped.is_in_flight


def test_a_buffer_in_flight_can_not_be_resized_and_can_afterwards(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    buffer = bytearray(8)
    ours.recv(buffer, Overlapped())

    with pytest.raises(BufferError):
        buffer += b"more"
    peer.sendall(b"hello")
    take(port)
    buffer += b"more"

    assert buffer == b"hello\0\0\0more"


def test_what_the_user_drops_in_flight_stays_alive_until_the_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    class Session:
        """An owner that can be referred to weakly."""

    ours, peer = peer_pair
    port.attach(ours)
    session = Session()
    reference = weakref.ref(session)
    ours.recv(memoryview(bytearray(8)), Overlapped(session))
    del session
    gc.collect()

    peer.sendall(b"hello")
    packet = take(port)

    assert packet.overlapped.owner is reference() is not None
    del packet
    gc.collect()
    assert reference() is None


def test_an_overlapped_in_flight_can_not_be_used_again_and_can_afterwards(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv(bytearray(16), overlapped)

    with pytest.raises(OverlappedBusy):
        ours.recv(bytearray(16), overlapped)
    for text in (b"one", b"three"):  # The first receive is not disturbed.
        peer.sendall(text)
        assert take(port).transferred == len(text)
        ours.recv(bytearray(16), overlapped)

    assert port.get(0.0) is None
    ours.close()
    take(port)


def test_buffers_of_other_item_sizes_are_filled_by_bytes(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    memory = memoryview(bytearray(8)).cast("I")
    ours.recv(memory, Overlapped())

    peer.sendall(b"abcdefgh")

    assert take(port).transferred == 8
    assert memory.tobytes() == b"abcdefgh"
