"""Worker pools: launched, watched, stopped by packets, and not ended by what a handler raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from proactor import CompletionPacket, CompletionPort, OperationAborted, Overlapped, WorkerPool
from tests.support.sockets import LIMIT, PeerPair
from tests.support.streams import eventually


class Gate:
    """A handler that holds back each packet whose key is "gate" until it is opened."""

    def __init__(self) -> None:
        self.served: list[CompletionPacket] = []
        self.opened = threading.Event()

    def __call__(self, packet: CompletionPacket) -> None:
        if packet.key == "gate":
            assert self.opened.wait(LIMIT), "the test never opened the gate"
        else:
            self.served.append(packet)

    @property
    def keys(self) -> list[object]:
        return [packet.key for packet in self.served]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


def states(pool: WorkerPool) -> list[str]:
    return [report.state for report in pool.report()]


def hold(pool: WorkerPool, count: int) -> None:
    """Post a gate packet for `count` workers, one at a time, so that each takes just one."""
    for held in range(count):
        pool.port.post("gate")
        assert eventually(lambda held=held: states(pool).count("running") == held + 1)  # type: ignore[misc]


def test_every_packet_is_served_by_a_thread_of_the_pool(port: CompletionPort) -> None:
    seen: list[tuple[object, str]] = []
    with WorkerPool(port, lambda p: seen.append((p.key, threading.current_thread().name)), 3):
        for number in range(50):
            port.post(number)

    assert sorted(key for key, _ in seen) == list(range(50))
    assert {name for _, name in seen} <= {"worker-1", "worker-2", "worker-3"}


def test_a_pool_has_five_workers_with_names_of_their_own(port: CompletionPort) -> None:
    assert len(WorkerPool(port, print).report()) == 5
    named = WorkerPool(port, print, 2, name="echo")
    assert [report.name for report in named.report()] == ["echo-1", "echo-2"]


def test_a_report_says_what_each_worker_is_doing(port: CompletionPort, gate: Gate) -> None:
    pool = WorkerPool(port, gate, 2)
    assert states(pool) == ["new", "new"]
    with pool:
        assert states(pool) == ["waiting", "waiting"]
        hold(pool, 1)
        [running] = [report for report in pool.report() if report.state == "running"]
        [waiting] = [report for report in pool.report() if report.state == "waiting"]
        assert running.packet is not None and "gate" in running.packet
        assert running.busy > 0.0
        assert (waiting.packet, waiting.busy) == (None, 0.0)
        gate.opened.set()
        assert eventually(lambda: states(pool) == ["waiting", "waiting"])
        assert sorted(report.served for report in pool.report()) == [0, 1]
    assert states(pool) == ["ended", "ended"]


def test_what_is_queued_before_the_stop_is_served_first(port: CompletionPort, gate: Gate) -> None:
    pool = WorkerPool(port, gate, 2)
    pool.launch()
    hold(pool, 2)
    for number in range(20):
        port.post(number)

    pool.stop()
    assert gate.served == []
    gate.opened.set()

    assert pool.join(LIMIT)
    assert set(gate.keys) == set(range(20))
    assert len(gate.keys) == 20
    assert port.get(0) is None


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_worker_that_takes_the_stops_of_others_leaves_them_theirs(
    port: CompletionPort, gate: Gate, peer_pair: PeerPair, batch: int
) -> None:
    # Goal: with batches, one worker takes all the stops, and packets behind them: the others have
    # to end all the same, and the packet of an operation has to stay whole, with its error.
    ours, _ = peer_pair
    port.attach(ours, "operation")
    pool = WorkerPool(port, gate, 3, batch=batch)
    pool.launch()
    hold(pool, 3)
    overlapped = Overlapped()
    ours.recv(bytearray(8), overlapped)
    port.post("before")
    pool.stop()
    port.post("after")
    ours.cancel(overlapped)

    gate.opened.set()

    assert pool.join(LIMIT)
    left = [packet for packet in iter(lambda: port.get(0.05), None) if packet is not None]
    packets = gate.served + left
    assert "before" in gate.keys  # Of which of the three is not said, nor in what order.
    assert sorted(str(packet.key) for packet in packets) == ["after", "before", "operation"]
    [failed] = [packet for packet in packets if packet.key == "operation"]
    assert failed.overlapped is overlapped
    assert isinstance(failed.error, OperationAborted)


def _value_error() -> None:
    raise ValueError("broken")


def _system_exit() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("fail", [_value_error, _system_exit])
def test_a_handler_that_raises_is_logged_and_counted_and_its_worker_lives_on(
    port: CompletionPort, caplog: pytest.LogCaptureFixture, fail: Callable[[], None]
) -> None:
    served: list[object] = []

    def handler(packet: CompletionPacket) -> None:
        if packet.key == "bad":
            fail()
        served.append(packet.key)

    with caplog.at_level(logging.ERROR, "proactor"), WorkerPool(port, handler, 1) as pool:
        port.post("bad")
        port.post("good")

    assert served == ["good"]
    [report] = pool.report()
    assert (report.served, report.failed) == (2, 1)
    [record] = caplog.records
    assert "worker-1" in record.getMessage()
    assert "'bad'" in record.getMessage()
    assert record.exc_info is not None


def test_a_join_that_times_out_says_so_and_may_be_repeated(
    port: CompletionPort, gate: Gate
) -> None:
    pool = WorkerPool(port, gate, 2)
    pool.launch()
    hold(pool, 1)
    pool.stop()

    assert not pool.join(0.02)
    assert not pool.join(0)

    gate.opened.set()
    assert pool.join(LIMIT)
    assert pool.join()


def test_a_join_refuses_a_negative_time_out(port: CompletionPort) -> None:
    with WorkerPool(port, print, 1) as pool, pytest.raises(ValueError, match="-1"):
        pool.join(-1)


def test_stopping_twice_posts_no_more_packets(port: CompletionPort) -> None:
    with WorkerPool(port, print, 2) as pool:
        pool.stop()
        pool.stop()
        assert pool.join(LIMIT)

    assert port.get(0) is None
    assert port.statistics().posted == 2


def test_closing_the_port_ends_the_workers_and_the_pool_in_order(
    port: CompletionPort, gate: Gate
) -> None:
    with WorkerPool(port, gate, 3) as pool:
        hold(pool, 1)

        port.close()

        assert eventually(lambda: states(pool).count("ended") == 2)
        assert states(pool).count("running") == 1  # A handler is never cut short.
        pool.stop()  # There is nowhere to post its packets to, and nothing left to end.
        gate.opened.set()
        assert pool.join(LIMIT)
    assert gate.keys == []


def test_a_pool_that_was_not_launched_leaves_nothing_behind(port: CompletionPort) -> None:
    pool = WorkerPool(port, print, 2)

    pool.stop()

    assert pool.join(0)
    assert port.get(0) is None
    with pytest.raises(RuntimeError, match="launched once"):
        pool.launch()
    assert states(pool) == ["new", "new"]


def test_a_second_launch_is_refused_and_the_first_goes_on(port: CompletionPort) -> None:
    served: list[object] = []
    with WorkerPool(port, lambda packet: served.append(packet.key), 1) as pool:
        with pytest.raises(RuntimeError, match="launched once"):
            pool.launch()
        port.post("still served")
    assert served == ["still served"]


def test_a_launch_that_runs_out_of_threads_stops_those_that_it_started(
    port: CompletionPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = WorkerPool(port, print, 3)
    start = threading.Thread.start

    def start_two(thread: threading.Thread) -> None:
        if thread.name == "worker-3":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.launch()

    assert pool.join(LIMIT)
    assert states(pool) == ["ended", "ended", "new"]
    assert port.get(0) is None


def test_a_with_block_that_raises_stops_its_workers(port: CompletionPort) -> None:
    pool = WorkerPool(port, print, 2)
    with pytest.raises(KeyError), pool:
        raise KeyError("in the block")

    assert states(pool) == ["ended", "ended"]


def test_a_handler_may_post_and_may_stop_its_own_pool(port: CompletionPort) -> None:
    served: list[object] = []

    def handler(packet: CompletionPacket) -> None:
        served.append(packet.key)
        if packet.key == 3:
            pool.stop()
        else:
            port.post(packet.key + 1)

    pool = WorkerPool(port, handler, 2)
    pool.launch()
    port.post(0)

    assert pool.join(LIMIT)
    assert served == [0, 1, 2, 3]


def test_a_packet_of_the_user_is_never_taken_for_a_stop(port: CompletionPort) -> None:
    served: list[CompletionPacket] = []
    pool = WorkerPool(port, served.append, 1)
    with pool:
        port.post(pool, "mine")
        port.post(None, None)
    assert [packet.overlapped for packet in served] == ["mine", None]


@pytest.mark.parametrize("options", [{"count": 0}, {"count": -1}, {"batch": 0}, {"batch": -5}])
def test_a_pool_of_nobody_or_of_nothing_is_refused(
    port: CompletionPort, options: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"1 (worker|packet) or more"):
        WorkerPool(port, print, **options)
