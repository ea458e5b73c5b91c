"""Which thread a port releases, and how many: LIFO waiters, the concurrency value, stalls.

A worker of these tests that *runs* spins: the kernel of Windows takes one that blocks in any call
for blocked, and the other engines take one that blocks in this package for blocked. The strict
port never takes a slow worker for a blocked one, so that each rule can be seen by itself.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proactor import CompletionPort, Event, Overlapped, OverlappedSocket, sleep_ex
from tests.support.packets import QUIET, take, wait_for_waiters
from tests.support.sockets import LIMIT, PeerPair
from tests.support.system import NATIVE
from tests.support.threads import Running

InThread = Callable[..., Running[Any]]

no_limit_on_wine = pytest.mark.windows_differs("row 10: the concurrency value limits nothing")


class Spinner:
    """A worker that takes one packet and then runs, without blocking, until it is told to go on.

    Attributes:
        has_packet: Set once it has taken its packet.
        go_on: Set by the test to end the spinning.
    """

    def __init__(self, port: CompletionPort) -> None:
        self.port = port
        self.has_packet = threading.Event()
        self.go_on = threading.Event()

    def take_and_spin(self) -> Any:
        key = take(self.port).key
        self.has_packet.set()
        deadline = time.monotonic() + LIMIT
        while not self.go_on.is_set():
            assert time.monotonic() < deadline, "nobody told the spinning worker to go on"
        return key


@pytest.fixture
def spinner(strict_port: CompletionPort, in_thread: InThread) -> Iterator[Spinner]:
    """Return a spinner on the strict port, which ends before the threads are joined."""
    made = Spinner(strict_port)
    yield made
    made.go_on.set()


@pytest.mark.windows_differs("row 9: waiting threads are released first-in first-out")
def test_Q01_the_thread_that_waits_shortest_is_released_first(
    port: CompletionPort, in_thread: InThread
) -> None:
    first = in_thread(take, port)
    wait_for_waiters(port, 1)
    second = in_thread(take, port)
    wait_for_waiters(port, 2)

    for key in (3, 4, 5):
        port.post(key)

    assert take(port).key == 5
    assert (second.result().key, first.result().key) == (3, 4)


@pytest.mark.windows_differs("row 9: waiting threads are released first-in first-out")
def test_one_packet_at_a_time_always_goes_to_the_same_of_three_waiters(
    port: CompletionPort, in_thread: InThread
) -> None:
    # Goal: last-in first-out keeps one worker warm and lets the others sleep.
    served = []

    def worker(name: int) -> None:
        while take(port).key != "stop":
            served.append(name)
            done.set()

    done = threading.Event()
    for name in range(3):
        in_thread(worker, name)
        wait_for_waiters(port, name + 1)
    for _ in range(6):
        port.post("work")
        assert done.wait(LIMIT)
        done.clear()
        wait_for_waiters(port, 3)
    for _ in range(3):
        port.post("stop")

    assert served == [2] * 6


@no_limit_on_wine
def test_Q04_a_running_worker_keeps_the_others_from_queued_packets(
    strict_port: CompletionPort, spinner: Spinner, in_thread: InThread
) -> None:
    strict_port.post("for the spinner")
    spinning = in_thread(spinner.take_and_spin)
    assert spinner.has_packet.wait(LIMIT)

    strict_port.post("waits")
    # Both a thread that waits already and one that comes now get nothing.
    assert in_thread(strict_port.get, QUIET).result() is None

    spinner.go_on.set()
    spinning.result()  # The thread ends, which gives its slot back.
    assert take(strict_port).key == "waits"


@no_limit_on_wine
def test_a_worker_that_comes_back_to_the_port_takes_the_next_packet_itself(
    strict_port: CompletionPort, in_thread: InThread
) -> None:
    strict_port.post("first")
    assert take(strict_port).key == "first"
    waiter = in_thread(strict_port.get, QUIET)
    wait_for_waiters(strict_port, 1)

    for key in ("second", "third"):
        strict_port.post(key)
        assert take(strict_port, 1.0).key == key

    assert waiter.result() is None


def test_Q05_a_worker_that_waits_for_an_event_lets_another_run(
    strict_port: CompletionPort, in_thread: InThread
) -> None:
    with Event() as wake_up:
        has_packet = threading.Event()

        def blocks() -> bool:
            take(strict_port)
            has_packet.set()
            return wake_up.wait(LIMIT)

        strict_port.post("for the one that blocks")
        blocked = in_thread(blocks)
        assert has_packet.wait(LIMIT)
        other = in_thread(take, strict_port)
        strict_port.post("for the other")

        assert other.result().key == "for the other"
        assert blocked.is_running()
        wake_up.set()
        assert blocked.result() is True


@pytest.mark.parametrize("way", ["blocking", "sleep_ex", "recv", "other port"])
def test_a_worker_that_blocks_in_the_package_lets_another_run(
    strict_port: CompletionPort,
    second_port: CompletionPort,
    peer_pair: PeerPair,
    in_thread: InThread,
    way: str,
) -> None:
    ours, peer = peer_pair
    has_packet, foreign_lock = threading.Event(), threading.Event()

    def in_blocking_block() -> None:
        with strict_port.blocking():
            assert foreign_lock.wait(LIMIT)

    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "blocking": (in_blocking_block, foreign_lock.set),
        "sleep_ex": (lambda: sleep_ex(0.2), lambda: None),
        "recv": (lambda: ours.recv(bytearray(1)), lambda: peer.sendall(b"x")),
        "other port": (lambda: take(second_port), second_port.post),
    }
    block, unblock = ways[way]

    def blocks() -> None:
        take(strict_port)
        has_packet.set()
        block()

    strict_port.post("for the one that blocks")
    blocked = in_thread(blocks)
    assert has_packet.wait(LIMIT)
    strict_port.post("for the other")

    assert in_thread(take, strict_port).result().key == "for the other"

    unblock()
    blocked.result()


@no_limit_on_wine
def test_after_blocking_a_worker_runs_on_at_once_above_the_value(
    strict_port: CompletionPort, spinner: Spinner, in_thread: InThread
) -> None:
    # Goal: the end of blocking() never waits; until fewer run, nobody else is released.
    strict_port.post("mine")
    take(strict_port)
    with strict_port.blocking():
        strict_port.post("for the spinner")
        spinning = in_thread(spinner.take_and_spin)
        assert spinner.has_packet.wait(LIMIT)

    strict_port.post("for nobody yet")
    assert in_thread(strict_port.get, QUIET).result() is None

    spinner.go_on.set()
    spinning.result()
    assert take(strict_port).key == "for nobody yet"


def test_blocking_in_a_thread_that_took_no_packet_does_nothing(
    strict_port: CompletionPort,
) -> None:
    with strict_port.blocking():
        pass
    strict_port.post("still works")
    assert take(strict_port).key == "still works"


def test_Q07_a_worker_that_ends_gives_its_slot_to_another(
    strict_port: CompletionPort, in_thread: InThread
) -> None:
    ends = in_thread(take, strict_port)
    other = in_thread(take, strict_port)
    wait_for_waiters(strict_port, 2)

    strict_port.post("for the one that ends")
    strict_port.post("for the other")

    keys = [ends.result().key, other.result().key]
    assert sorted(keys) == ["for the one that ends", "for the other"]


def test_Q08_a_worker_that_goes_to_another_port_gives_its_slot_to_another(
    strict_port: CompletionPort, second_port: CompletionPort, in_thread: InThread
) -> None:
    def changes_ports() -> Any:
        take(strict_port)
        strict_port.post("for the other")
        return take(second_port).key

    strict_port.post("for the one that goes")
    goes = in_thread(changes_ports)

    other = in_thread(take, strict_port)

    assert other.result().key == "for the other"
    assert goes.is_running()
    second_port.post("found")
    assert goes.result() == "found"


@no_limit_on_wine
def test_Q10_never_more_handlers_at_once_than_the_value(engine: str, in_thread: InThread) -> None:
    packets = 1000
    running, most, handled = 0, 0, 0
    lock = threading.Lock()

    def spinning_handler() -> None:
        nonlocal running, most, handled
        with lock:
            running += 1
            most = max(most, running)
        until = time.perf_counter() + 0.0001
        while time.perf_counter() < until:
            pass
        with lock:
            running -= 1
            handled += 1

    def worker(port: CompletionPort) -> None:
        while take(port).key != "stop":
            spinning_handler()

    with CompletionPort(2, stall_timeout=None) as port:
        workers = [in_thread(worker, port) for _ in range(4)]
        for _ in range(packets):
            port.post("work")
        for _ in workers:
            port.post("stop")
        for each in workers:
            each.result(30.0)

    assert handled == packets
    assert 1 <= most <= 2


def test_a_batch_occupies_one_slot(strict_port: CompletionPort) -> None:
    for number in range(5):
        strict_port.post(number)

    assert len(strict_port.get_many(3, LIMIT)) == 3
    assert len(strict_port.get_many(3, LIMIT)) == 2


@pytest.mark.engine("selectors", *NATIVE)
def test_a_worker_that_sleeps_does_not_stop_the_others(engine: str, in_thread: InThread) -> None:
    # Goal: the engine cannot see a foreign call block, so a worker that has not come back for
    # stall_timeout counts as blocked while packets wait.
    with CompletionPort(1) as port:
        foreign_call_ends = threading.Event()

        def worker() -> None:
            take(port)
            assert foreign_call_ends.wait(LIMIT)

        sleeping = in_thread(worker)
        wait_for_waiters(port, 1)
        port.post("for the one that sleeps")
        port.post("for the others")

        begin = time.monotonic()
        packet = take(port)
        waited = time.monotonic() - begin

        assert packet.key == "for the others"
        assert sleeping.is_running()
        assert port.statistics().stalls >= 1
        assert waited < 1.0, f"served only after {waited:.3f} s"
        foreign_call_ends.set()
        sleeping.result()


@pytest.mark.engine("selectors", *NATIVE)
def test_a_waiter_that_came_before_the_stall_is_released_by_it(
    engine: str, in_thread: InThread
) -> None:
    with CompletionPort(1) as port:
        foreign_call_ends = threading.Event()

        def worker() -> Any:
            key = take(port).key
            if key == "sleep":
                assert foreign_call_ends.wait(LIMIT)
            return key

        workers = [in_thread(worker) for _ in range(3)]
        wait_for_waiters(port, 3)
        for key in ("sleep", "sleep", "work"):
            port.post(key)

        deadline = time.monotonic() + LIMIT
        while sum(worker.is_running() for worker in workers) > 2:
            assert time.monotonic() < deadline, "two sleeping workers stop the third"
            time.sleep(0.001)
        assert port.statistics().stalls >= 2
        foreign_call_ends.set()
        assert sorted(worker.result() for worker in workers) == ["sleep", "sleep", "work"]


@pytest.mark.engine("selectors", *NATIVE)
def test_a_stall_frees_no_slot_without_a_time_out(
    strict_port: CompletionPort, spinner: Spinner, in_thread: InThread
) -> None:
    strict_port.post("for the spinner")
    spinning = in_thread(spinner.take_and_spin)
    assert spinner.has_packet.wait(LIMIT)
    strict_port.post("waits")

    assert in_thread(strict_port.get, QUIET).result() is None

    assert strict_port.statistics().stalls == 0
    spinner.go_on.set()
    spinning.result()


def test_the_default_concurrency_suits_the_interpreter(engine: str) -> None:
    with CompletionPort() as port:
        assert port.concurrency >= 1
        assert port.statistics().concurrency == port.concurrency


def test_packets_of_operations_and_posted_ones_stand_in_one_queue(
    strict_port: CompletionPort, opened: Callable[..., OverlappedSocket]
) -> None:
    sock = opened(OverlappedSocket(type=socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    strict_port.attach(sock, "socket")

    strict_port.post("before")
    assert sock.send_to(b"to itself", sock.getsockname(), Overlapped()) == 9
    strict_port.post("after")

    assert [take(strict_port).key for _ in range(3)] == ["before", "socket", "after"]
