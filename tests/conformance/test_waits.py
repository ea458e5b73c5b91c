"""Group W: waiting for one event, for any and for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from proactor import (
    Event,
    WaitCode,
    WaitResult,
    max_wait_objects,
    wait_for_multiple_events,
    wait_for_multiple_objects,
    wait_for_single_object,
)
from tests.support.packets import QUIET
from tests.support.refusals import refused_with
from tests.support.sockets import LIMIT
from tests.support.streams import InThread
from tests.support.threads import Running

Events = Callable[..., list[Event]]


@pytest.fixture
def events(engine: str) -> Iterator[Events]:
    """``events(count, manual_reset=True)`` makes events that are closed at the end."""
    with ExitStack() as stack:
        yield lambda count, **options: [stack.enter_context(Event(**options)) for _ in range(count)]


def test_W01_a_wait_for_no_event_is_refused() -> None:
    with refused_with(87):
        wait_for_multiple_events([], timeout=0)


def test_W01_a_wait_takes_as_many_events_as_the_system_allows(events: Events) -> None:
    # Method: 64 is Windows' limit. Where there is none, a wait for 100 has to find the last one.
    limit = max_wait_objects()
    many = events(100)
    many[-1].set()

    if limit is None:
        assert wait_for_multiple_events(many, timeout=LIMIT) == WaitResult(WaitCode.OBJECT, 99)
    else:
        assert limit == 64
        assert wait_for_multiple_events(many[-64:], timeout=LIMIT) == WaitResult(
            WaitCode.OBJECT, 63
        )
        with refused_with(87):
            wait_for_multiple_events(many[-65:], timeout=0)


def test_W02_wait_any_returns_the_lowest_and_leaves_manual_events_set(events: Events) -> None:
    many = events(8)
    many[5].set()
    many[3].set()

    assert wait_for_multiple_events(many, timeout=LIMIT) == WaitResult(WaitCode.OBJECT, 3)

    assert many[3].is_set()
    assert many[5].is_set()


def test_W04_a_wait_for_all_that_times_out_consumes_none(events: Events) -> None:
    many = events(3, manual_reset=False)
    many[0].set()
    many[2].set()

    result = wait_for_multiple_objects(many, wait_all=True, timeout=0.05)

    assert result.code is WaitCode.TIMEOUT
    assert [event.is_set() for event in many] == [True, False, True]


def test_a_wait_for_all_consumes_all_when_the_last_one_comes(
    events: Events, in_thread: InThread
) -> None:
    many = events(3, manual_reset=False)
    waiting = in_thread(lambda: wait_for_multiple_objects(many, wait_all=True, timeout=LIMIT))
    for event in many:
        assert waiting.is_running()
        event.set()

    assert waiting.result().code is WaitCode.OBJECT
    assert not any(event.is_set() for event in many)


def test_wait_any_consumes_only_the_one_that_it_returns(events: Events) -> None:
    many = events(4, manual_reset=False)
    many[1].set()
    many[2].set()

    assert wait_for_multiple_objects(many, timeout=0) == WaitResult(WaitCode.OBJECT, 1)
    assert wait_for_multiple_objects(many, timeout=0) == WaitResult(WaitCode.OBJECT, 2)
    assert wait_for_multiple_objects(many, timeout=0).code is WaitCode.TIMEOUT


def test_the_same_event_twice_is_refused_only_in_a_wait_for_all(events: Events) -> None:
    [event] = events(1)
    event.set()

    assert wait_for_multiple_objects([event, event], timeout=0) == WaitResult(WaitCode.OBJECT, 0)
    with refused_with(87):
        wait_for_multiple_objects([event, event], wait_all=True, timeout=0)


def test_setting_an_event_ends_the_wait_of_another_thread(
    events: Events, in_thread: InThread
) -> None:
    many = events(3)
    waiting = in_thread(lambda: wait_for_multiple_objects(many, timeout=LIMIT))

    many[2].set()

    assert waiting.result() == WaitResult(WaitCode.OBJECT, 2)


def test_an_auto_reset_event_releases_one_waiter_for_each_set(
    events: Events, in_thread: InThread
) -> None:
    [event] = events(1, manual_reset=False)
    waiting = [in_thread(event.wait, LIMIT) for _ in range(2)]

    event.set()
    released = _first_to_end(waiting)
    assert released.result()
    [other] = [running for running in waiting if running is not released]
    other.thread.join(QUIET)
    assert other.is_running()

    event.set()
    assert other.result()
    assert not event.is_set()


def _first_to_end(waiting: list[Running[bool]]) -> Running[bool]:
    ended = threading.Event()
    order: list[Running[bool]] = []

    def watch(running: Running[bool]) -> None:
        running.thread.join(2 * LIMIT)
        order.append(running)
        ended.set()

    for running in waiting:
        threading.Thread(target=watch, args=(running,), daemon=True).start()
    assert ended.wait(LIMIT)
    return order[0]


def test_a_manual_event_releases_every_waiter(events: Events, in_thread: InThread) -> None:
    [event] = events(1)
    waiting = [in_thread(event.wait, LIMIT) for _ in range(3)]

    event.set()

    assert all(running.result() for running in waiting)
    assert event.is_set()


def test_an_event_is_set_until_it_is_reset(events: Events) -> None:
    [event] = events(1)
    assert not event.is_set()
    event.set()
    event.set()
    assert event.wait(0)
    assert event.wait(0)

    event.reset()

    assert not event.is_set()
    assert not event.wait(0)


def test_asking_an_auto_reset_event_does_not_consume_it(events: Events) -> None:
    [event] = events(1, manual_reset=False, signaled=True)

    assert event.is_set()
    assert event.is_set()
    assert event.wait(0)
    assert not event.is_set()


def test_an_event_may_begin_signaled(events: Events) -> None:
    [event] = events(1, signaled=True)

    assert wait_for_single_object(event, 0) == WaitResult(WaitCode.OBJECT)


def test_a_result_says_whether_something_was_signaled() -> None:
    assert WaitResult(WaitCode.OBJECT, 2).is_signaled
    assert not WaitResult(WaitCode.TIMEOUT).is_signaled
    assert not WaitResult(WaitCode.IO_COMPLETION).is_signaled
    assert [int(code) for code in WaitCode] == [0, 0xC0, 0x102]
