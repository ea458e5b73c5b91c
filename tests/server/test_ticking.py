"""The tick's clock: absolute deadlines, catching up, skipping, counting."""

from __future__ import annotations

import pytest

from proactor.server.ticking import TickClock, TickStatistics


def ticks(clock, now):
    """Return how many ticks are due at `now`."""
    count = 0
    while clock.begin(now):
        count += 1
    return count


def test_a_tick_is_due_at_each_multiple_of_the_period():
    clock = TickClock(0.05, 5, 100.0)
    assert ticks(clock, 100.04) == 0
    assert clock.deadline == pytest.approx(100.05)
    assert ticks(clock, 100.05) == 1
    assert clock.deadline == pytest.approx(100.10)


def test_lateness_does_not_add_up():
    clock = TickClock(0.05, 5, 100.0)
    for number in range(1, 1001):
        assert ticks(clock, 100.0 + number * 0.05 + 0.02) == 1
    assert clock.deadline == pytest.approx(100.0 + 1001 * 0.05)
    assert clock.statistics().lateness == pytest.approx(0.02)
    assert clock.statistics().latest == pytest.approx(0.02)


def test_missed_ticks_are_caught_up():
    clock = TickClock(0.05, 5, 100.0)
    assert ticks(clock, 100.20) == 4
    assert clock.statistics().skipped == 0


def test_beyond_the_limit_they_are_skipped_and_counted():
    clock = TickClock(0.05, 3, 100.0)
    assert ticks(clock, 100.50) == 3
    assert clock.statistics().skipped == 7
    assert clock.deadline == pytest.approx(100.55)
    assert clock.statistics().ticks == 3


def test_a_tick_that_takes_longer_than_the_period_is_an_overrun():
    clock = TickClock(0.05, 3, 100.0)
    clock.begin(100.05)
    clock.end(0.05)
    clock.begin(100.10)
    clock.end(0.06)
    assert clock.statistics().overruns == 1


def test_a_clock_that_never_ticked_has_nothing_to_tell():
    assert TickClock(0.05, 3, 0.0).statistics() == TickStatistics(0, 0, 0, 0.0, 0.0)


@pytest.mark.parametrize(("period", "catch_up"), [(0, 1), (-1, 1), (0.1, 0)])
def test_a_clock_that_makes_no_sense_is_refused(period, catch_up):
    with pytest.raises(ValueError, match=r"a tick comes|catch_up is"):
        TickClock(period, catch_up, 0.0)
