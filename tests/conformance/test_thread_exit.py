"""Group T: what becomes of an operation when the thread that issued it ends."""

from __future__ import annotations

import gc
import threading
import weakref

from proactor import (
    CompletionPort,
    Event,
    OperationAborted,
    Overlapped,
    OverlappedSocket,
    sleep_ex,
    statuses,
)
from tests.support.packets import no_packet, take
from tests.support.refusals import numbers
from tests.support.sockets import LIMIT, PeerPair
from tests.support.streams import InThread, eventually


def test_T01_an_operation_on_a_port_survives_its_thread(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours, "key")
    buffer, overlapped = bytearray(8), Overlapped()

    in_thread(ours.recv, buffer, overlapped).result()

    assert no_packet(port)
    peer.sendall(b"later")
    packet = take(port)
    assert (packet.key, packet.overlapped, packet.result()) == ("key", overlapped, 5)
    assert buffer[:5] == b"later"


def test_T02_without_a_port_it_is_cancelled_and_the_event_set(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    with Event() as event:
        overlapped = Overlapped(event=event)

        in_thread(ours.recv, bytearray(8), overlapped).result()

        assert event.wait(LIMIT)
        assert overlapped.status == statuses.STATUS_CANCELLED
    peer.sendall(b"whole")
    buffer = bytearray(8)
    assert ours.recv(buffer) == 5  # Nothing of the stream went into the cancelled receive.


def test_T03_with_an_event_a_port_does_not_save_it(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    with Event() as event:
        overlapped = Overlapped(event=event)

        in_thread(ours.recv, bytearray(8), overlapped).result()

        packet = take(port)
        assert packet.overlapped is overlapped
        assert numbers(packet) == (995, 995)
        assert event.is_set()


def test_T05_a_cancelled_operation_is_in_flight_until_its_packet_is_taken(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, _ = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    ours.cancel(overlapped)

    # Windows need not update the status before the packet is taken, so either is right.
    assert overlapped.status in (statuses.STATUS_PENDING, statuses.STATUS_CANCELLED)
    assert overlapped.is_in_flight
    assert isinstance(take(port).error, OperationAborted)
    assert overlapped.status == statuses.STATUS_CANCELLED
    assert not overlapped.is_in_flight


def test_the_operations_of_a_thread_that_lives_are_left_alone(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    # Goal: the end of one thread is not taken for the end of another.
    ours, peer = peer_pair
    with Event() as mine, Event() as its:
        overlapped = Overlapped(event=mine)
        ours.recv(bytearray(8), overlapped)

        in_thread(ours.recv, bytearray(8), Overlapped(event=its)).result()

        assert its.wait(LIMIT)
        assert not overlapped.is_complete
        peer.sendall(b"data")
        assert overlapped.get_result(wait=True) == 4


def test_the_routine_of_a_thread_that_ended_is_never_called_and_nothing_is_kept(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    # Goal: the one indication that nobody can take is dropped, and with it all that it kept alive.
    ours, peer = peer_pair
    calls: list[object] = []

    class Session:
        pass

    def issue() -> weakref.ref[Session]:
        session = Session()
        ours.recv(bytearray(8), Overlapped(session, routine=lambda *_: calls.append(_)))
        return weakref.ref(session)

    session = in_thread(issue).result()

    def session_is_dead() -> bool:
        gc.collect()
        return session() is None

    assert eventually(session_is_dead)
    peer.sendall(b"whole")
    buffer = bytearray(8)
    assert ours.recv(buffer) == 5
    assert not sleep_ex(0)
    assert calls == []


def test_a_completed_operation_whose_routine_is_lost_with_its_thread_is_free_again(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    # Goal: the routine that was queued and never ran, since its thread never waited alertably, does
    # not keep its overlapped busy for ever.
    ours, peer = peer_pair
    calls: list[object] = []
    overlapped = Overlapped(routine=lambda *_: calls.append(_))

    in_thread(ours.send, b"sent", overlapped).result()

    assert peer.recv(8) == b"sent"
    assert eventually(lambda: not overlapped.is_in_flight)
    assert overlapped.get_result() == 4
    overlapped.routine = None
    ours.send(b"again", overlapped)
    assert peer.recv(8) == b"again"
    assert not sleep_ex(0)
    assert calls == []


def test_a_packet_that_is_queued_survives_the_thread_of_its_operation(
    port: CompletionPort, peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    parked = threading.Event()
    done = threading.Event()
    overlapped = Overlapped()

    def issue(sock: OverlappedSocket) -> None:
        sock.recv(bytearray(8), overlapped)
        parked.set()
        assert done.wait(LIMIT)

    issuing = in_thread(issue, ours)
    assert parked.wait(LIMIT)
    peer.sendall(b"data")
    packet = take(port)
    done.set()
    issuing.result()

    assert (packet.overlapped, packet.result()) == (overlapped, 4)
    assert no_packet(port)
