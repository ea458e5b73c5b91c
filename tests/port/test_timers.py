"""Timers: due in order, moved and cancelled at next to no cost, on a clock that the test turns."""

from __future__ import annotations

import logging
import random
import threading
import time

import pytest

from proactor import CompletionPort, TimerQueue
from tests.support.threads import Running


class Clock:
    """A clock that stands still until it is told to go on, and counts who looks at it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers(clock: Clock) -> TimerQueue:
    return TimerQueue(clock=clock)


def test_timers_run_in_the_order_of_their_deadlines(timers, clock):
    ran = []
    for delay in (5, 1, 3, 2, 4):
        timers.call_later(delay, lambda delay=delay: ran.append(delay))

    clock.now += 3
    assert timers.run_due() == 3
    assert ran == [1, 2, 3]
    clock.now += 10
    assert timers.run_due() == 2
    assert ran == [1, 2, 3, 4, 5]
    assert timers.run_due() == 0


def test_timers_of_one_deadline_run_in_the_order_in_which_they_were_set(timers, clock):
    ran = []
    for i in range(20):
        timers.call_at(1001.0, lambda i=i: ran.append(i))

    clock.now = 1001.0
    timers.run_due()

    assert ran == list(range(20))


def test_nothing_runs_before_its_deadline(timers, clock):
    ran = []
    timer = timers.call_later(1.0, lambda: ran.append(1))
    assert (timer.deadline, timer.is_active) == (1001.0, True)

    clock.now = 1000.999
    assert timers.run_due() == 0
    clock.now = 1001.0
    assert timers.run_due() == 1
    assert not timer.is_active


def test_the_next_timeout_is_that_of_the_earliest(timers, clock):
    assert timers.next_timeout() is None
    timers.call_later(5, print)
    assert timers.next_timeout() == 5
    early = timers.call_later(2, print)
    assert timers.next_timeout() == 2

    clock.now += 1
    assert timers.next_timeout() == 1
    early.cancel()
    assert timers.next_timeout() == 4
    clock.now += 100
    assert timers.next_timeout() == 0


def test_a_delay_of_nothing_is_due_at_once(timers):
    ran = []
    timers.call_later(0, lambda: ran.append(1))
    timers.call_later(-5, lambda: ran.append(2))

    assert timers.next_timeout() == 0
    timers.run_due()

    assert ran == [2, 1]


def test_a_cancelled_timer_does_not_run(timers, clock):
    ran = []
    timer = timers.call_later(1, lambda: ran.append(1))
    timer.cancel()
    timer.cancel()

    clock.now += 2

    assert timers.run_due() == 0
    assert (ran, len(timers), timers.next_timeout()) == ([], 0, None)


def test_a_timer_that_another_one_cancels_does_not_run(timers, clock):
    ran = []
    second = timers.call_later(2, lambda: ran.append(2))
    timers.call_later(1, second.cancel)

    clock.now += 5
    timers.run_due()

    assert ran == []


def test_postponing_moves_a_timer_later(timers, clock):
    ran = []
    timer = timers.call_later(1, lambda: ran.append(clock.now))
    clock.now += 0.5
    timer.postpone(2)

    clock.now = 1001.5
    assert timers.run_due() == 0
    assert timers.next_timeout() == 1.0
    clock.now = 1002.5
    assert timers.run_due() == 1
    assert ran == [1002.5]


def test_postponing_moves_a_timer_earlier_too(timers, clock):
    ran = []
    timer = timers.call_later(10, lambda: ran.append(1))

    timer.postpone(1)
    assert timers.next_timeout() == 1
    clock.now += 1
    assert timers.run_due() == 1
    clock.now += 100
    assert timers.run_due() == 0
    assert (ran, len(timers)) == ([1], 0)


def test_a_timer_that_is_moved_back_and_forth_runs_once(timers, clock):
    ran = []
    timer = timers.call_later(10, lambda: ran.append(clock.now))
    for delay in (1, 20, 5, 10, 2, 10):
        timer.postpone(delay)

    for _ in range(40):
        clock.now += 1
        timers.run_due()

    assert ran == [1010.0]


def test_postponing_what_is_over_does_nothing(timers, clock):
    ran = []
    called = timers.call_later(1, lambda: ran.append(1))
    cancelled = timers.call_later(1, lambda: ran.append(2))
    cancelled.cancel()
    clock.now += 1
    timers.run_due()

    called.postpone(0.5)
    cancelled.postpone(-10)
    clock.now += 5

    assert (timers.run_due(), ran, timers.next_timeout()) == (0, [1], None)


def test_a_periodic_timer_keeps_its_absolute_deadlines(timers, clock):
    ran = []
    timer = timers.call_every(1.0, lambda: ran.append(clock.now))

    for now in (1001.3, 1002.1, 1003.0, 1003.9, 1004.2):
        clock.now = now
        timers.run_due()

    assert ran == [1001.3, 1002.1, 1003.0, 1004.2]
    assert timer.deadline == 1005.0


def test_a_periodic_timer_skips_what_a_stall_made_it_miss(timers, clock):
    ran = []
    timers.call_every(1.0, lambda: ran.append(clock.now))

    clock.now += 100.5
    assert timers.run_due() == 1
    assert timers.next_timeout() == 0.5
    clock.now += 0.5
    assert timers.run_due() == 1


def test_a_periodic_timer_can_cancel_itself(timers, clock):
    ran = []

    def tick() -> None:
        ran.append(1)
        if len(ran) == 3:
            timer.cancel()

    timer = timers.call_every(1.0, tick)
    for _ in range(10):
        clock.now += 1
        timers.run_due()

    assert (len(ran), len(timers)) == (3, 0)


def test_a_period_is_above_zero(timers):
    for period in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="period"):
            timers.call_every(period, print)


def test_a_burst_is_run_in_portions(timers, clock):
    ran = []
    for i in range(10):
        timers.call_later(1, lambda i=i: ran.append(i))
    clock.now += 1

    assert timers.run_due(4) == 4
    assert timers.next_timeout() == 0
    assert timers.run_due(100) == 6
    assert ran == list(range(10))


def test_a_timer_that_raises_is_logged_and_the_others_run(timers, clock, caplog):
    ran = []

    def fail() -> None:
        raise ValueError("in a timer")

    timers.call_later(1, fail)
    timers.call_later(2, lambda: ran.append(1))
    clock.now += 5
    with caplog.at_level(logging.ERROR, "proactor"):
        assert timers.run_due() == 2

    assert ran == [1]
    assert "in a timer" in caplog.text


def test_a_timer_that_a_timer_sets_runs_too(timers, clock):
    ran = []
    timers.call_later(1, lambda: timers.call_later(0, lambda: ran.append(1)))
    clock.now += 1

    timers.run_due()

    assert ran == [1]


def test_only_a_timer_before_all_others_tells_the_waiter(clock):
    told = []
    timers = TimerQueue(lambda: told.append(timers.next_timeout()), clock)

    first = timers.call_later(5, print)
    timers.call_later(6, print)
    timers.call_later(5, print)
    assert told == [5]
    timers.call_later(2, print)
    assert told == [5, 2]
    first.postpone(1)
    assert told == [5, 2, 1]
    first.postpone(10)
    assert told == [5, 2, 1]


def test_a_hundred_thousand_time_outs_are_refreshed_without_touching_the_heap(timers, clock):
    # Method: what is counted is entries of the heap, not seconds.
    idle = [timers.call_later(30, print) for _ in range(100_000)]
    entries = len(timers._heap)

    for _ in range(5):
        clock.now += 1
        for timer in idle[:50_000]:
            timer.postpone(30)
    assert len(timers._heap) == entries == 100_000
    assert timers.run_due() == 0

    clock.now = 1030.0
    # Half of them are due; the others, which stand too early, are put right as they come up.
    assert timers.run_due(200_000) == 50_000
    assert len(timers) == 50_000


def test_cancelled_timers_do_not_pile_up(timers):
    keep = [timers.call_later(1000, print) for _ in range(100)]
    for _ in range(100_000):
        timers.call_later(500, print).cancel()

    assert len(timers._heap) <= 2 * len(keep) + 66
    assert len(timers) == 100


def test_timers_moved_earlier_do_not_pile_up(timers):
    timer = timers.call_later(1_000_000, print)
    for i in range(10_000):
        timer.postpone(900_000 - i)

    assert len(timers) == 1
    assert len(timers._heap) <= 200


def test_a_random_program_runs_what_a_plain_list_would(timers, clock):
    rng = random.Random(7)
    ran: list[int] = []
    expected: list[int] = []
    alive: dict[int, tuple[float, object]] = {}
    for i in range(3000):
        action = rng.random()
        if action < 0.5 or not alive:
            delay = rng.randrange(1, 50)
            alive[i] = (clock.now + delay, timers.call_later(delay, lambda i=i: ran.append(i)))
        elif action < 0.7:
            alive.pop(rng.choice(list(alive)))[1].cancel()  # type: ignore[attr-defined]
        elif action < 0.9:
            chosen, delay = rng.choice(list(alive)), rng.randrange(1, 50)
            alive[chosen][1].postpone(delay)  # type: ignore[attr-defined]
            alive[chosen] = (clock.now + delay, alive[chosen][1])
        else:
            clock.now += rng.randrange(1, 5)
            due = {number for number, (deadline, _) in alive.items() if deadline <= clock.now}
            before = len(ran)
            timers.run_due(10_000)
            assert set(ran[before:]) == due
            expected += due
            for number in due:
                del alive[number]
    assert len(ran) == len(set(ran)) == len(expected)
    assert len(timers) == len(alive)


def test_a_port_is_waited_for_no_longer_than_a_timer_allows(opened):
    # Goal: the loop that the module describes, with a timer that another thread sets.
    port = opened(CompletionPort())
    timers = TimerQueue(lambda: port.post("earlier"))
    ran = threading.Event()
    timers.call_later(60, print)
    began = time.monotonic()

    def loop() -> None:
        while not ran.is_set():
            port.serve(64, timers.next_timeout())
            timers.run_due()

    serving = Running(loop)
    timers.call_later(0.02, ran.set)
    serving.result()

    assert 0.02 <= time.monotonic() - began < 4


def test_threads_may_set_cancel_and_postpone_at_the_same_time():
    timers = TimerQueue()
    ran: list[int] = []
    stop = threading.Event()

    def play(seed: int) -> int:
        rng = random.Random(seed)
        left = 0
        for i in range(2000):
            timer = timers.call_later(rng.random() * 0.01, lambda i=i: ran.append(i))
            if i % 3 == 0:
                timer.postpone(rng.random() * 0.02)
            if i % 2 == 0:
                timer.cancel()
            left += 1
        return left

    def serve() -> None:
        while not stop.is_set() or len(timers):
            timers.run_due(100)

    serving = Running(serve)
    players = [Running(play, seed) for seed in range(4)]
    for player in players:
        player.result()
    stop.set()
    serving.result()

    assert len(timers) == 0
    assert len(ran) >= 4 * 1000
    assert timers.next_timeout() is None
