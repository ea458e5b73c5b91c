"""The port itself: packets in and out, batches, APCs that end a wait, a closed port."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from proactor import (
    CompletionPort,
    InvalidParameter,
    Overlapped,
    OverlappedSocket,
    PortClosed,
    queue_user_apc,
    sleep_ex,
)
from tests.support.packets import no_packet, take, take_count, wait_for_waiters
from tests.support.refusals import refused_with
from tests.support.sockets import LIMIT, PeerPair
from tests.support.threads import Running

InThread = Callable[..., Running[Any]]

packet_wins_on_wine = pytest.mark.windows_differs(
    "xW P11 P12: a queued packet wins over a queued APC, whichever port the thread used last"
)


def test_P01_get_on_an_empty_port_times_out(port: CompletionPort) -> None:
    assert port.get(0.0) is None
    assert port.get(0.02) is None
    assert list(port.get_many(4, 0.0)) == []


def test_P02_a_posted_packet_brings_the_same_three_objects(port: CompletionPort) -> None:
    key, overlapped, transferred = object(), Overlapped(), object()

    port.post(key, overlapped, transferred)
    packet = take(port)

    assert packet.key is key
    assert packet.overlapped is overlapped
    assert packet.transferred is transferred
    assert packet.error is None
    assert packet.result() is transferred


def test_P03_a_posted_packet_may_be_empty(port: CompletionPort) -> None:
    port.post()
    packet = take(port)

    assert (packet.key, packet.overlapped, packet.transferred) == (None, None, 0)
    assert packet.error is None


def test_P04_packets_leave_in_the_order_in_which_they_were_posted(port: CompletionPort) -> None:
    for key in "ABC":
        port.post(key)

    assert [packet.key for packet in take_count(port, 3)] == ["A", "B", "C"]


def test_P05_a_batch_takes_what_is_queued_in_order(port: CompletionPort) -> None:
    port.post("first")
    port.post("second")

    batch = port.get_many(2, LIMIT)

    assert [packet.key for packet in batch] == ["first", "second"]
    assert [packet.error for packet in batch] == [None, None]
    assert not batch.woken_by_apc


def test_P06_a_batch_of_one_leaves_the_rest_in_order(port: CompletionPort) -> None:
    port.post("first")
    port.post("second")

    assert [packet.key for packet in port.get_many(1, LIMIT)] == ["first"]
    assert [packet.key for packet in port.get_many(1, LIMIT)] == ["second"]


def test_P07_a_batch_of_none_is_refused_and_takes_nothing(port: CompletionPort) -> None:
    port.post("kept")

    with refused_with(87) as caught:
        port.get_many(0, 0.0)

    assert isinstance(caught.value, InvalidParameter)
    assert take(port).key == "kept"


def test_P08_a_batch_that_is_not_alertable_runs_no_apc(port: CompletionPort) -> None:
    ran: list[str] = []
    queue_user_apc(threading.current_thread(), ran.append, "apc")

    batch = port.get_many(4, 0.0)

    assert list(batch) == []
    assert not batch.woken_by_apc
    assert ran == []
    assert sleep_ex(0.0)  # Runs it, so that it does not reach another test.
    assert ran == ["apc"]


def test_P09_an_alertable_batch_runs_the_apc_and_says_so(port: CompletionPort) -> None:
    ran: list[str] = []
    queue_user_apc(threading.current_thread(), ran.append, "apc")

    batch = port.get_many(4, 0.0, alertable=True)

    assert list(batch) == []
    assert batch.woken_by_apc
    assert ran == ["apc"]


@packet_wins_on_wine
def test_P11_in_a_thread_that_never_used_the_port_the_apc_wins(
    port: CompletionPort, in_thread: InThread
) -> None:
    # Goal: the exact precedence. A call that an APC ends does not tie the thread to the port, so
    # that the next one is ended by an APC again.
    port.post("kept")
    ran: list[int] = []

    def fresh_thread() -> tuple[list[bool], list[str]]:
        woken = []
        for number in (1, 2):
            queue_user_apc(threading.current_thread(), ran.append, number)
            woken.append(port.get_many(4, LIMIT, alertable=True).woken_by_apc)
        return woken, [packet.key for packet in port.get_many(4, 1.0, alertable=True)]

    assert in_thread(fresh_thread).result() == ([True, True], ["kept"])
    assert ran == [1, 2]


@packet_wins_on_wine
def test_P12_in_a_thread_that_last_used_another_port_the_apc_wins(
    port: CompletionPort, second_port: CompletionPort, in_thread: InThread
) -> None:
    port.post("first")
    second_port.post("second")
    ran: list[str] = []

    def user_of_the_first() -> tuple[bool, list[str]]:
        assert take(port).key == "first"
        queue_user_apc(threading.current_thread(), ran.append, "apc")
        woken = second_port.get_many(4, LIMIT, alertable=True).woken_by_apc
        return woken, [packet.key for packet in second_port.get_many(4, 1.0)]

    assert in_thread(user_of_the_first).result() == (True, ["second"])
    assert ran == ["apc"]


def test_in_a_thread_that_last_used_the_port_the_packet_wins(
    port: CompletionPort, in_thread: InThread
) -> None:
    port.post("first")
    port.post("second")
    ran: list[str] = []

    def worker() -> tuple[list[str], bool, bool]:
        take(port)
        queue_user_apc(threading.current_thread(), ran.append, "apc")
        keys = [packet.key for packet in port.get_many(4, LIMIT, alertable=True)]
        ran_before = bool(ran)
        return keys, ran_before, port.get_many(4, LIMIT, alertable=True).woken_by_apc

    assert in_thread(worker).result() == (["second"], False, True)
    assert ran == ["apc"]


def test_an_apc_ends_an_alertable_wait_that_has_begun(
    port: CompletionPort, in_thread: InThread
) -> None:
    ran: list[threading.Thread] = []
    waiter = in_thread(lambda: port.get_many(4, LIMIT, alertable=True).woken_by_apc)
    wait_for_waiters(port, 1)

    queue_user_apc(waiter.thread, lambda: ran.append(threading.current_thread()))

    assert waiter.result() is True
    assert ran == [waiter.thread]


def test_P20_closing_the_port_wakes_a_waiting_get(
    port: CompletionPort, in_thread: InThread
) -> None:
    waiter = in_thread(port.get, 2.0)
    wait_for_waiters(port, 1)

    port.close()

    with pytest.raises(PortClosed) as caught:
        waiter.result()
    assert caught.value.winerror == 735


def test_P21_closing_the_port_wakes_an_alertable_batch(
    port: CompletionPort, in_thread: InThread
) -> None:
    waiter = in_thread(lambda: port.get_many(4, 2.0, alertable=True))
    wait_for_waiters(port, 1)

    port.close()

    with pytest.raises(PortClosed) as caught:
        waiter.result()
    assert caught.value.winerror == 735


def test_P22_a_closed_port_refuses_everything(
    port: CompletionPort, opened: Callable[..., OverlappedSocket]
) -> None:
    sock = opened(OverlappedSocket())
    port.close()

    calls: list[Callable[[], object]] = [
        lambda: port.get(0.0),
        lambda: port.get_many(4, 0.0),
        lambda: port.post("late"),
        lambda: port.attach(sock),
    ]
    for call in calls:
        with pytest.raises(PortClosed) as caught:
            call()
        assert caught.value.winerror == 6
    port.close()  # Twice is once.
    port.statistics()  # What was counted can still be read.


def test_a_packet_of_an_operation_on_a_closed_port_goes_nowhere(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    # Goal: sockets outlive their port; what they complete is dropped and disturbs nobody.
    ours, peer = peer_pair
    port.attach(ours)
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)

    port.close()
    peer.sendall(b"late")
    ours.close()

    with pytest.raises(PortClosed):
        port.get(0.0)


def test_batches_respect_their_limit_and_the_order(port: CompletionPort) -> None:
    for number in range(200):
        port.post(number)

    sizes, keys = [], []
    while batch := port.get_many(64, 0.0):
        sizes.append(len(batch))
        keys += [packet.key for packet in batch]

    assert max(sizes) <= 64
    assert keys == list(range(200))


def test_a_batch_does_not_wait_to_be_full(port: CompletionPort) -> None:
    port.post("only one")

    assert [packet.key for packet in port.get_many(64)] == ["only one"]


def test_packets_posted_by_many_threads_arrive_once_each_and_in_the_order_of_each(
    port: CompletionPort, in_thread: InThread
) -> None:
    threads, each = 8, 500

    def poster(name: int) -> None:
        for number in range(each):
            port.post(name, transferred=number)

    posters = [in_thread(poster, name) for name in range(threads)]
    seen: dict[int, list[int]] = {name: [] for name in range(threads)}
    taken = 0
    while taken < threads * each:
        batch = port.get_many(64, LIMIT)
        assert batch, f"{threads * each - taken} packets are lost"
        for packet in batch:
            seen[packet.key].append(packet.transferred)
        taken += len(batch)

    for running in posters:
        running.result()
    assert all(numbers == list(range(each)) for numbers in seen.values())
    assert port.get(0.0) is None


def test_packets_taken_by_many_threads_are_taken_once_each(
    port: CompletionPort, in_thread: InThread
) -> None:
    def taker() -> list[int]:
        numbers = []
        while (packet := take(port)).key != "stop":
            numbers.append(packet.transferred)
        return numbers

    takers = [in_thread(taker) for _ in range(4)]
    for number in range(1000):
        port.post("work", transferred=number)
    for _ in takers:
        port.post("stop")

    taken = [running.result() for running in takers]
    assert sorted(number for numbers in taken for number in numbers) == list(range(1000))
    assert all(numbers == sorted(numbers) for numbers in taken)


def test_a_posted_key_is_kept_alive_until_it_is_taken_and_no_longer(port: CompletionPort) -> None:
    class Key:
        """Something that can be referred to weakly."""

    key = Key()
    reference = weakref.ref(key)
    port.post(key)
    del key
    gc.collect()
    assert reference() is not None

    take(port)
    gc.collect()

    assert reference() is None


def test_what_a_closed_port_held_is_let_go(port: CompletionPort) -> None:
    overlapped = Overlapped()
    reference = weakref.ref(overlapped)
    port.post(None, overlapped)
    del overlapped

    port.close()
    gc.collect()

    assert reference() is None


def test_a_time_out_below_zero_is_refused(port: CompletionPort) -> None:
    with pytest.raises(ValueError):
        port.get(-1.0)
    assert no_packet(port, 0.0)


@pytest.mark.parametrize("values", [{"concurrency": -1}, {"stall_timeout": 0.0}])
def test_a_port_that_makes_no_sense_is_refused(engine: str, values: dict[str, Any]) -> None:
    with refused_with(87):
        CompletionPort(**values)


def test_statistics_count_what_was_posted_and_taken(port: CompletionPort) -> None:
    port.post()
    port.post()
    port.post()
    take(port)

    statistics = port.statistics()

    assert statistics.concurrency == port.concurrency == 8
    assert statistics.posted == 3
    assert statistics.delivered == 1
    assert statistics.queued in (2, None)
    assert statistics.waiting in (0, None)
    assert statistics.completed in (0, None)


def test_statistics_count_what_operations_completed(
    port: CompletionPort, peer_pair: PeerPair
) -> None:
    ours, peer = peer_pair
    port.attach(ours)
    ours.recv(bytearray(4), Overlapped())
    peer.sendall(b"data")
    take(port)

    statistics = port.statistics()

    assert statistics.completed in (1, None)
    assert statistics.posted == 0
    assert statistics.delivered == 1
    assert statistics.running in (1, None)


def test_a_port_in_a_with_block_is_closed_at_its_end(engine: str) -> None:
    with CompletionPort() as port:
        port.post()

    with pytest.raises(PortClosed):
        port.get(0.0)
