"""What the kernel writes to stays where it is until the indication is taken, and no longer."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "win32":
    pytest.skip("the iocp engine runs on Windows", allow_module_level=True)

import gc
import weakref

from proactor import (
    CompletionPort,
    Event,
    InvalidParameter,
    Overlapped,
    OverlappedSocket,
    SocketClosed,
)
from proactor.engines import choose
from proactor.engines.python.iocp.in_flight import table
from tests.support.packets import no_packet, take
from tests.support.sockets import LIMIT, PeerPair, pattern, plain_pair
from tests.support.streams import InThread, eventually
from tests.support.system import under_wine


def test_all_that_the_user_drops_lives_until_the_packet_is_taken(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)

    class Session:
        pass

    def begin() -> weakref.ref[Session]:
        session = Session()
        ours.recv([bytearray(3), bytearray(64)], Overlapped(session))
        return weakref.ref(session)

    session = begin()
    gc.collect()
    assert session() is not None

    peer.sendall(b"written to memory that nobody but the engine holds")

    packet = take(port)
    assert packet.overlapped.owner is session()
    assert packet.transferred == 50
    del packet
    gc.collect()
    assert session() is None


def test_a_structure_is_used_again_but_never_while_it_is_in_flight(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    addresses = []
    for _ in range(3):
        overlapped = Overlapped()
        ours.recv(bytearray(1), overlapped)
        operation = overlapped._operation
        assert operation is not None
        addresses.append(operation.engine_state.address)
        assert table.find(addresses[-1]) is operation
        peer.sendall(b"1")
        assert take(port).overlapped is overlapped
        assert table.find(addresses[-1]) is None
    assert len(set(addresses)) == 1

    pending = [Overlapped() for _ in range(3)]
    for overlapped in pending:
        ours.recv(bytearray(1), overlapped)
    states = [o._operation.engine_state.address for o in pending if o._operation is not None]
    assert len(set(states)) == 3
    ours.cancel()
    for _ in pending:
        take(port)


def test_an_operation_with_nobody_to_tell_is_let_go_when_its_time_comes(
    peer_pair: PeerPair,
) -> None:
    # Goal: no port, no event, and the overlapped dropped: nobody will ever ask, yet nothing leaks.
    ours, peer = peer_pair
    before = len(table)

    ours.recv(bytearray(8), Overlapped())
    assert len(table) == before + 1
    peer.sendall(b"12345678")

    def is_let_go() -> bool:
        table.sweep()
        return len(table) == before

    assert eventually(is_let_go)


def test_an_event_only_operation_is_free_for_use_when_it_is_asked(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    buffer, overlapped = bytearray(4), Overlapped()

    for data in (b"one!", b"two!"):
        ours.recv(buffer, overlapped)
        assert overlapped.is_in_flight
        peer.sendall(data)
        assert eventually(lambda: overlapped.is_complete)
        assert not overlapped.is_in_flight
        assert (overlapped.get_result(), bytes(buffer)) == (4, data)


def test_a_wait_for_the_event_publishes_all_that_it_reads(peer_pair: PeerPair) -> None:
    # Method: the plain attributes are looked at first: reading them asks nobody.
    ours, peer = peer_pair
    with Event(manual_reset=False) as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(8), overlapped)
        peer.sendall(b"five!")

        assert event.wait(LIMIT)

        assert overlapped.transferred == 5
        assert overlapped._operation is None


def test_with_a_port_and_an_event_the_event_tells_and_the_packet_takes(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    with Event() as event:
        overlapped = Overlapped(event=event)
        ours.recv(bytearray(8), overlapped)
        peer.sendall(b"five!")
        assert event.wait(LIMIT)

        assert overlapped.get_result() == 5
        assert overlapped.is_in_flight

        assert take(port).overlapped is overlapped
        assert not overlapped.is_in_flight


def test_an_operation_that_ends_before_the_port_comes_queues_no_packet(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    done, pending = Overlapped(), Overlapped()
    ours.recv(bytearray(4), done)
    ours.recv(bytearray(4), pending)
    peer.sendall(b"done")
    assert eventually(lambda: done.is_complete)

    port.attach(ours, "key")
    peer.sendall(b"late")

    packet = take(port)
    assert (packet.key, packet.overlapped, packet.transferred) == ("key", pending, 4)
    assert no_packet(port)


def test_a_read_only_buffer_is_sent_from_where_it_lies(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    data = pattern(1000)

    ours.send([data, memoryview(data)[10:20], b"", bytearray(data)[990:]], Overlapped())

    assert take(port).result() == 1020
    assert peer.recv(2000) == data + data[10:20] + data[990:]


def test_a_refused_call_leaves_nothing_behind(port: CompletionPort) -> None:
    before = choose.current().statistics()
    with OverlappedSocket() as unconnected:
        overlapped = Overlapped()
        for _ in range(3):
            with pytest.raises(OSError):
                unconnected.recv(bytearray(4), overlapped)
            assert not overlapped.is_in_flight
        overlapped.event = object()
        with pytest.raises(AttributeError):
            unconnected.recv(bytearray(4), overlapped)
        assert not overlapped.is_in_flight
        overlapped.event = None
        with pytest.raises(OverflowError):
            unconnected.connect(("127.0.0.1", 65536), overlapped)
        assert not overlapped.is_in_flight
    assert choose.current().statistics() == before


def test_a_refused_call_with_a_routine_keeps_nothing_alive(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)

    class Session:
        pass

    session = Session()
    watched = weakref.ref(session)
    overlapped = Overlapped(session, routine=print)
    with pytest.raises(InvalidParameter):
        ours.recv(bytearray(4), overlapped)
    del session, overlapped
    gc.collect()

    assert watched() is None


def test_a_handle_that_is_closed_at_once_takes_its_operations_along(
    port: CompletionPort, in_thread: InThread
) -> None:
    # Goal: a call never reaches another socket that got the number of one that is just closed.
    # Method: one thread receives on a socket that another thread closes, while new sockets come.
    for _ in range(50):
        server, client = map(OverlappedSocket.adopt, plain_pair())
        port.attach(server)
        started = [0]

        def receive(sock: OverlappedSocket = server, count: list[int] = started) -> None:
            with pytest.raises(SocketClosed):
                while True:
                    sock.recv(bytearray(1), Overlapped())
                    count[0] += 1

        receiving = in_thread(receive)
        assert eventually(lambda count=started: count[0] > 20)
        server.close()
        others = [OverlappedSocket() for _ in range(4)]
        receiving.result()
        for other in others:
            assert not other.cancel()
            other.close()
        client.close()
        for _ in range(started[0]):
            packet = take(port)
            assert packet.transferred == 0
            # Wine shuts a socket down before it cancels what is in flight: on a busy machine one of
            # these may read the end there.
            assert packet.error is not None or under_wine()
        assert port.get(0) is None
