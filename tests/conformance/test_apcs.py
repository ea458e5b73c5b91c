"""Group U: APCs and completion routines run in their own thread, when it waits alertably."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from proactor import (
    CompletionPort,
    Event,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    WaitCode,
    WaitResult,
    queue_user_apc,
    select,
    sleep_ex,
    wait_for_multiple_events,
    wait_for_multiple_objects,
    wait_for_single_object,
)
from tests.support.packets import QUIET
from tests.support.refusals import refused_with
from tests.support.sockets import LIMIT, PeerPair, reset
from tests.support.streams import InThread, until_readable

QueueHere = Callable[..., None]


class Calls(list[tuple[OSError | None, int, Overlapped, int]]):
    """A completion routine that keeps what it is called with, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    def __call__(
        self, error: OSError | None, transferred: int, overlapped: Overlapped, flags: int
    ) -> None:
        self.append((error, transferred, overlapped, flags))
        self.threads.append(threading.current_thread())


@pytest.fixture
def queue_here() -> Iterator[QueueHere]:
    """Queue an APC to the thread of the test; none is left over for the next one."""
    me = threading.current_thread()
    yield lambda function, *arguments: queue_user_apc(me, function, *arguments)
    while sleep_ex(0):
        pass


def test_U01_one_sleep_runs_all_queued_apcs_in_order(queue_here: QueueHere) -> None:
    ran: list[int] = []
    for number in (1, 2, 3):
        queue_here(ran.append, number)

    assert sleep_ex(None)

    assert ran == [1, 2, 3]
    assert not sleep_ex(0)


def test_U02_only_an_alertable_sleep_runs_an_apc_also_with_no_time_at_all(
    queue_here: QueueHere,
) -> None:
    ran: list[int] = []
    queue_here(ran.append, 1)

    time.sleep(0)
    assert not sleep_ex(0, alertable=False)
    assert not sleep_ex(0.01, alertable=False)
    assert ran == []
    assert sleep_ex(0)

    assert ran == [1]


def test_U03_a_sleep_without_apcs_lasts_its_time() -> None:
    begin = time.monotonic()

    assert not sleep_ex(0.01)

    assert time.monotonic() - begin >= 0.009


def test_U04_an_object_that_is_signaled_wins_over_an_apc(queue_here: QueueHere) -> None:
    ran: list[int] = []
    with Event(signaled=True) as event:
        queue_here(ran.append, 1)

        assert wait_for_single_object(event, LIMIT, alertable=True).code is WaitCode.OBJECT

    assert ran == []
    assert sleep_ex(0)
    assert ran == [1]


def test_U06_an_apc_that_is_queued_by_an_apc_runs_in_the_same_wait(queue_here: QueueHere) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        queue_here(ran.append, "second")

    queue_here(first)

    assert sleep_ex(LIMIT)

    assert ran == ["first", "second"]
    assert not sleep_ex(0)


def test_U07_a_thread_that_has_ended_takes_no_apc(in_thread: InThread) -> None:
    ended = in_thread(lambda: None)
    ended.result()

    with refused_with(31):
        queue_user_apc(ended.thread, print)


def test_a_thread_that_has_not_started_takes_no_apc() -> None:
    with refused_with(31):
        queue_user_apc(threading.Thread(target=print), print)


def test_U09_a_routine_is_called_once_and_the_event_is_left_alone(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    routine, buffer = Calls(), bytearray(8)
    with Event() as event:
        overlapped = Overlapped(event=event, routine=routine)
        assert ours.recv(buffer, overlapped) is None
        peer.sendall(b"hello")

        assert sleep_ex(LIMIT)

        assert routine == [(None, 5, overlapped, 0)]
        assert buffer[:5] == b"hello"
        assert not event.is_set()
    assert not sleep_ex(0)


def test_U10_a_routine_of_an_immediate_success_waits_for_an_alertable_wait(
    peer_pair: PeerPair,
) -> None:
    ours, peer = peer_pair
    peer.sendall(b"hello")
    until_readable(ours)
    routine = Calls()
    overlapped = Overlapped(routine=routine)

    assert ours.recv(bytearray(8), overlapped) == 5

    assert not sleep_ex(0, alertable=False)
    assert routine == []
    assert overlapped.is_in_flight
    assert sleep_ex(LIMIT)
    assert routine == [(None, 5, overlapped, 0)]


def test_U11_a_routine_hears_of_a_reset_in_the_winsock_vocabulary(peer_pair: PeerPair) -> None:
    ours, peer = peer_pair
    routine = Calls()
    ours.recv(bytearray(8), Overlapped(routine=routine))

    reset(peer)

    assert sleep_ex(LIMIT)
    [(error, transferred, _, _)] = routine
    assert isinstance(error, ConnectionResetError)
    assert isinstance(error, ProactorError)
    assert (error.winerror, transferred) == (10054, 0)


def test_U12_a_thread_that_blocks_in_a_recv_runs_an_apc_and_goes_on(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    ran = threading.Event()
    buffer = bytearray(8)
    receiving = in_thread(ours.recv, buffer)

    queue_user_apc(receiving.thread, ran.set)

    assert ran.wait(LIMIT)
    assert receiving.is_running()
    peer.sendall(b"hello")
    assert receiving.result() == 5
    assert buffer[:5] == b"hello"


def test_U13_a_recv_that_need_not_wait_runs_no_apc(
    peer_pair: PeerPair, queue_here: QueueHere
) -> None:
    ours, peer = peer_pair
    peer.sendall(b"hello")
    until_readable(ours)
    ran: list[int] = []
    queue_here(ran.append, 1)

    assert ours.recv(bytearray(8)) == 5

    assert ran == []
    assert sleep_ex(0)
    assert ran == [1]


def test_U15_a_routine_runs_in_the_thread_that_issued_it_and_no_other(
    peer_pair: PeerPair, in_thread: InThread
) -> None:
    ours, peer = peer_pair
    routine = Calls()
    ours.recv(bytearray(8), Overlapped(routine=routine))
    peer.sendall(b"hello")

    assert not in_thread(sleep_ex, QUIET).result()

    assert routine == []
    assert sleep_ex(LIMIT)
    assert routine.threads == [threading.current_thread()]


def test_an_apc_ends_the_sleep_of_another_thread(in_thread: InThread) -> None:
    ran: list[threading.Thread] = []
    sleeping = in_thread(sleep_ex)

    queue_user_apc(sleeping.thread, lambda: ran.append(threading.current_thread()))

    assert sleeping.result()
    assert ran == [sleeping.thread]


@pytest.mark.parametrize(
    "wait",
    [
        lambda event: wait_for_single_object(event, LIMIT, alertable=True),
        lambda event: wait_for_multiple_objects([event], timeout=LIMIT, alertable=True),
        lambda event: wait_for_multiple_events([event], timeout=LIMIT),
    ],
    ids=["single", "multiple objects", "multiple events"],
)
def test_an_apc_ends_an_alertable_wait_and_consumes_nothing(
    queue_here: QueueHere, wait: Callable[[Event], WaitResult]
) -> None:
    # Method: the APC itself signals the object: the wait says "APC" now and "object" next time.
    with Event(manual_reset=False) as event:
        queue_here(event.set)

        assert wait(event).code is WaitCode.IO_COMPLETION
        assert wait(event).code is WaitCode.OBJECT
        assert not event.is_set()


def test_a_wait_that_is_not_alertable_runs_no_apc(queue_here: QueueHere) -> None:
    ran: list[int] = []
    queue_here(ran.append, 1)
    with Event() as event:
        assert wait_for_single_object(event, 0.01).code is WaitCode.TIMEOUT
        assert wait_for_multiple_objects([event], timeout=0.01).code is WaitCode.TIMEOUT
        assert not event.wait(0.01)
    assert ran == []


def test_getting_a_packet_is_not_alertable(port: CompletionPort, queue_here: QueueHere) -> None:
    ran: list[int] = []
    queue_here(ran.append, 1)

    assert port.get(0.01) is None

    assert ran == []


def test_select_runs_apcs_and_goes_on_waiting(peer_pair: PeerPair, queue_here: QueueHere) -> None:
    ours, peer = peer_pair
    queue_here(peer.sendall, b"hello")

    assert select([ours], timeout=LIMIT).read == [ours]


def test_a_thread_that_blocks_in_an_accept_runs_an_apc_and_goes_on(
    listener: OverlappedSocket, in_thread: InThread
) -> None:
    ran = threading.Event()
    accepting = in_thread(listener.accept)
    queue_user_apc(accepting.thread, ran.set)
    assert ran.wait(LIMIT)

    listener.close()

    with pytest.raises(OSError):
        accepting.result()


def test_an_alertable_wait_inside_an_apc_runs_further_apcs(queue_here: QueueHere) -> None:
    ran: list[str] = []

    def outer() -> None:
        ran.append("outer begins")
        queue_here(ran.append, "inner")
        assert sleep_ex(0)
        ran.append("outer ends")

    queue_here(outer)

    assert sleep_ex(LIMIT)

    assert ran == ["outer begins", "inner", "outer ends"]


def test_a_routine_may_start_its_overlapped_again(peer_pair: PeerPair) -> None:
    # Goal: the pattern of a completion-routine server: each routine posts the next receive.
    ours, peer = peer_pair
    received = bytearray()
    buffer = bytearray(4)

    def routine(error: OSError | None, count: int, overlapped: Overlapped, _: int) -> None:
        assert error is None
        received.extend(buffer[:count])
        if count:
            ours.recv(buffer, overlapped)

    overlapped = Overlapped(routine=routine)
    ours.recv(buffer, overlapped)
    for part in (b"aaa", b"bbbb", b"c"):
        peer.sendall(part)
    peer.shutdown(1)

    while overlapped.is_in_flight:
        assert sleep_ex(LIMIT)

    assert received == b"aaabbbbc"


def test_routines_and_apcs_of_one_thread_share_one_queue(
    peer_pair: PeerPair, queue_here: QueueHere
) -> None:
    ours, peer = peer_pair
    peer.sendall(b"hello")
    until_readable(ours)
    ran: list[str] = []
    queue_here(ran.append, "before")
    ours.recv(bytearray(8), Overlapped(routine=lambda *_: ran.append("routine")))
    queue_here(ran.append, "after")

    assert sleep_ex(LIMIT)

    assert ran == ["before", "routine", "after"]


def test_the_arguments_of_an_apc_arrive(queue_here: QueueHere) -> None:
    seen: list[object] = []
    queue_here(lambda *arguments: seen.extend(arguments), 1, "two", None)

    assert sleep_ex(0)

    assert seen == [1, "two", None]


def test_apcs_that_a_thread_leaves_behind_are_dropped(in_thread: InThread) -> None:
    ran: list[int] = []

    def queue_to_itself() -> None:
        queue_user_apc(threading.current_thread(), ran.append, 1)

    in_thread(queue_to_itself).result()

    assert not in_thread(sleep_ex, 0.01).result()
    assert not sleep_ex(0)
    assert ran == []
