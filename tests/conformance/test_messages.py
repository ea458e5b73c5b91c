"""Group E, second half: readiness by message (`async_select`), where it is not as by event.

One message an event; an event is not repeated before its re-enabling call, and selecting the same
again repeats what is true.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from proactor import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    WM_USER,
    Event,
    InvalidParameter,
    MessageQueue,
    NetworkMessage,
    Overlapped,
    OverlappedSocket,
    WouldBlock,
    async_select,
    event_select,
)
from tests.support.packets import QUIET
from tests.support.refusals import refused_with
from tests.support.sockets import (
    LIMIT,
    PeerPair,
    TcpPair,
    closed_address,
    plain_client,
    read_exactly,
    reset,
)
from tests.support.streams import InThread, Opened, fill, until_readable
from tests.support.system import NATIVE

MESSAGE = WM_USER + 7

REFUSAL_LIMIT = 15.0
"""Windows sends a refused SYN again and again for about two seconds."""


@pytest.fixture
def queue(engine: str) -> Iterator[MessageQueue]:
    with MessageQueue() as made:
        yield made


def expect(queue: MessageQueue, *events: int, timeout: float = LIMIT) -> None:
    """Take one message for each of `events`, without an error and in this order."""
    for event in events:
        message = queue.get(timeout)
        assert message is not None, f"no message for event {event:#x}"
        assert (message.message, message.event, message.error) == (MESSAGE, event, 0)


def no_message(queue: MessageQueue, quiet: float = QUIET) -> bool:
    """Return True if no message comes for `quiet` seconds; else fail and show it."""
    message = queue.get(quiet)
    assert message is None, f"a message that must not come: {message}"
    return True


def test_E01_selecting_makes_a_socket_non_blocking_until_it_is_cancelled(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)

    with pytest.raises(WouldBlock):
        ours.recv(bytearray(8))
    with refused_with(10022):
        ours.setblocking(True)

    async_select(ours, queue, 0, 0)
    ours.setblocking(True)
    peer.sendall(b"hello")
    assert ours.recv(bytearray(8)) == 5


def test_E02_more_data_are_no_message_before_the_receive(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)
    peer.sendall(b"first")
    assert queue.get(LIMIT) == NetworkMessage(MESSAGE, ours, FD_READ, 0)

    peer.sendall(b"second")

    assert no_message(queue)
    assert ours.recv(bytearray(5)) == 5
    expect(queue, FD_READ)


def test_E04_selecting_the_same_again_repeats_what_is_true(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)
    peer.sendall(b"hello")
    expect(queue, FD_READ)

    async_select(ours, queue, MESSAGE, FD_READ)

    expect(queue, FD_READ)


def test_E05_a_connected_socket_says_once_that_it_is_writable(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, _ = peer_pair
    async_select(ours, queue, MESSAGE, FD_WRITE)

    expect(queue, FD_WRITE)
    ours.send(b"hello")

    assert no_message(queue)


def test_E07_a_full_socket_says_when_it_is_writable_again(
    peer_pair: PeerPair, queue: MessageQueue, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_WRITE)
    expect(queue, FD_WRITE)
    sent = fill(ours)
    assert queue.get(0) is None

    assert len(in_thread(read_exactly, peer, sent).result()) == sent

    expect(queue, FD_WRITE)
    ours.send(b"room again")


def test_E08_the_peers_close_is_said_once(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)

    peer.close()

    expect(queue, FD_CLOSE)
    assert ours.recv(bytearray(8)) == 0
    assert no_message(queue)


@pytest.mark.windows_differs("the error of a reset is 0")
def test_E09_a_reset_is_a_close_with_10053(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)

    reset(peer)

    assert queue.get(LIMIT) == NetworkMessage(MESSAGE, ours, FD_CLOSE, 10053)
    assert queue.get(0) is None


@pytest.mark.windows_differs("the close is said when all has been read")
def test_E10_the_close_is_said_at_once_and_unread_data_again_after_a_part_of_it(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)

    peer.sendall(b"hello")
    peer.close()

    expect(queue, FD_READ, FD_CLOSE)
    assert ours.recv(bytearray(3)) == 3
    expect(queue, FD_READ)
    assert ours.recv(bytearray(3)) == 2


def test_E11_accepting_one_connection_tells_of_the_next(
    listener: OverlappedSocket, queue: MessageQueue
) -> None:
    async_select(listener, queue, MESSAGE, FD_ACCEPT)
    with plain_client(listener.getsockname()), plain_client(listener.getsockname()):
        expect(queue, FD_ACCEPT)
        assert no_message(queue)

        listener.accept().close()
        expect(queue, FD_ACCEPT)
        listener.accept().close()

        assert no_message(queue)


def test_E13_data_for_a_pending_recv_are_no_message(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)
    with Event() as done:
        overlapped = Overlapped(event=done)
        ours.recv(bytearray(5), overlapped)

        peer.sendall(b"hello")

        assert overlapped.get_result(wait=True) == 5
    assert no_message(queue)


def test_E14_a_close_that_was_not_selected_is_said_when_it_is(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)
    peer.close()
    until_readable(ours)
    assert queue.get(0) is None

    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)

    expect(queue, FD_CLOSE)


def test_E15_a_connect_says_connected_and_then_writable(
    listener: OverlappedSocket, queue: MessageQueue, opened: Opened
) -> None:
    ours = opened(OverlappedSocket())
    async_select(ours, queue, MESSAGE, FD_ALL_EVENTS)
    with pytest.raises(WouldBlock):
        ours.connect(listener.getsockname())

    expect(queue, FD_CONNECT, FD_WRITE)
    listener.accept().close()


def test_a_connect_that_is_refused_says_why(queue: MessageQueue, opened: Opened) -> None:
    ours = opened(OverlappedSocket())
    async_select(ours, queue, MESSAGE, FD_CONNECT)
    with pytest.raises(WouldBlock):
        ours.connect(closed_address())

    assert queue.get(REFUSAL_LIMIT) == NetworkMessage(MESSAGE, ours, FD_CONNECT, 10061)


def test_E16_ones_own_close_is_no_message(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, _ = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)

    ours.close()

    assert no_message(queue)


@pytest.mark.windows_differs("the close is said when all has been read")
def test_a_close_is_told_of_also_while_data_are_unread(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_CLOSE)
    peer.sendall(b"hello")
    expect(queue, FD_READ)

    peer.close()

    expect(queue, FD_CLOSE)


def test_a_message_that_is_queued_outlives_its_socket(
    tcp_pair: TcpPair, queue: MessageQueue
) -> None:
    # Method: a message to another queue, for what happened later, tells that the first is queued.
    first, second = tcp_pair
    with MessageQueue() as later:
        async_select(first, queue, MESSAGE, FD_READ)
        async_select(second, later, MESSAGE, FD_READ)
        second.send(b"to the first")
        until_readable(first)
        first.send(b"to the second")
        expect(later, FD_READ)

    first.close()

    assert queue.get(LIMIT) == NetworkMessage(MESSAGE, first, FD_READ, 0)
    assert first.fileno() == -1


@pytest.mark.engine("selectors", *NATIVE)
def test_what_came_before_the_close_is_said_also_if_no_thread_has_got_to_it(
    tcp_pair: TcpPair, queue: MessageQueue
) -> None:
    # Method: hold the socket's lock, so that whoever hears of the data cannot report it; on Windows
    # the message would be in the queue as soon as the data is there.
    first, second = tcp_pair
    async_select(first, queue, MESSAGE, FD_READ)
    with first.engine_socket.lock:  # type: ignore[attr-defined]
        second.send(b"in time")
        until_readable(first)
        first.close()

    assert queue.get(LIMIT) == NetworkMessage(MESSAGE, first, FD_READ, 0)


def test_a_connection_that_stood_before_is_no_message(
    listener: OverlappedSocket, queue: MessageQueue, opened: Opened
) -> None:
    ours = opened(OverlappedSocket())
    ours.connect(listener.getsockname())

    async_select(ours, queue, MESSAGE, FD_CONNECT)

    assert no_message(queue)
    listener.accept().close()


def test_an_accepted_socket_inherits_the_selection(
    listener: OverlappedSocket, queue: MessageQueue, opened: Opened
) -> None:
    async_select(listener, queue, MESSAGE, FD_ACCEPT | FD_READ)
    with plain_client(listener.getsockname()) as client:
        expect(queue, FD_ACCEPT)
        accepted = opened(listener.accept())

        client.sendall(b"hello")

        assert queue.get(LIMIT) == NetworkMessage(MESSAGE, accepted, FD_READ, 0)


def test_a_datagram_is_a_message(udp_pair: TcpPair, queue: MessageQueue) -> None:
    ours, theirs = udp_pair
    async_select(ours, queue, MESSAGE, FD_READ | FD_WRITE)
    expect(queue, FD_WRITE)

    theirs.send_to(b"hello", ours.getsockname())

    expect(queue, FD_READ)
    assert ours.recv_from(bytearray(8)) == (5, theirs.getsockname())
    ours.send_to(b"hello", theirs.getsockname())
    assert no_message(queue)


def test_out_of_band_data_are_a_message_of_their_own(
    peer_pair: PeerPair, queue: MessageQueue
) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_OOB)

    peer.send(b"!", socket.MSG_OOB)

    expect(queue, FD_OOB)


def test_sockets_share_a_queue_and_are_told_apart(tcp_pair: TcpPair, queue: MessageQueue) -> None:
    first, second = tcp_pair
    async_select(first, queue, MESSAGE, FD_READ)
    async_select(second, queue, MESSAGE + 1, FD_READ)

    second.send(b"to the first")
    assert queue.get(LIMIT) == NetworkMessage(MESSAGE, first, FD_READ, 0)
    first.send(b"to the second")
    assert queue.get(LIMIT) == NetworkMessage(MESSAGE + 1, second, FD_READ, 0)


def test_a_new_selection_replaces_the_older_one(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, peer = peer_pair
    with Event() as event:
        event_select(ours, event, FD_READ)
        async_select(ours, queue, MESSAGE, FD_READ)

        peer.sendall(b"hello")

        expect(queue, FD_READ)
        assert not event.is_set()


def test_a_mask_of_0_ends_the_messages(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, peer = peer_pair
    async_select(ours, queue, MESSAGE, FD_READ)
    async_select(ours, queue, MESSAGE, 0)

    peer.sendall(b"hello")

    assert no_message(queue)


@pytest.mark.parametrize("mask", [0x400, FD_READ | 0x8000, -1])
def test_an_unknown_bit_is_refused(peer_pair: PeerPair, queue: MessageQueue, mask: int) -> None:
    ours, _ = peer_pair

    with pytest.raises(InvalidParameter) as caught:
        async_select(ours, queue, MESSAGE, mask)

    assert caught.value.winerror == 10022


def test_a_closed_socket_is_refused(peer_pair: PeerPair, queue: MessageQueue) -> None:
    ours, _ = peer_pair
    ours.close()

    with refused_with(10038):
        async_select(ours, queue, MESSAGE, FD_READ)


def test_only_the_thread_of_a_queue_may_take_its_messages(
    queue: MessageQueue, in_thread: InThread
) -> None:
    with pytest.raises(InvalidParameter):
        in_thread(queue.get, 0).result()


def test_an_empty_queue_times_out(queue: MessageQueue) -> None:
    assert queue.get(0) is None
    assert queue.get(0.01) is None


def test_a_queue_may_be_closed_twice_and_before_its_sockets(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    queue = MessageQueue()
    async_select(ours, queue, MESSAGE, FD_READ)

    queue.close()
    queue.close()

    peer.sendall(b"hello")
    assert ours.recv(bytearray(8)) in range(1, 6)
