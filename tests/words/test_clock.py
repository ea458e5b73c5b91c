"""Deadlines: a relative time-out is turned into an absolute one, once."""

import pytest

from proactor import clock


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is moved."""
    moment = [1000.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: moment[0])
    return moment


def test_a_deadline_counts_down_and_stops_at_zero(now) -> None:
    deadline = clock.deadline_after(2.5)

    assert clock.seconds_left(deadline) == 2.5
    now[0] += 1.0
    assert clock.seconds_left(deadline) == 1.5
    now[0] += 100.0
    assert clock.seconds_left(deadline) == 0.0


def test_no_time_out_is_no_deadline() -> None:
    assert clock.deadline_after(None) is None
    assert clock.seconds_left(None) is None


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, False])
def test_zero_is_a_deadline_that_has_come(now, timeout) -> None:
    assert clock.seconds_left(clock.deadline_after(timeout)) == 0.0


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_a_time_out_that_is_negative_or_no_number_is_refused_by_its_value(timeout) -> None:
    with pytest.raises(ValueError, match=f"not {timeout!r}"):
        clock.deadline_after(timeout)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 1e7])
def test_a_long_time_out_is_waited_for_in_pieces_that_kernels_take(now, timeout) -> None:
    deadline = clock.deadline_after(timeout)

    assert clock.seconds_left(deadline) == clock.LONGEST_WAIT
    now[0] += 50 * clock.LONGEST_WAIT
    assert clock.seconds_left(deadline) == clock.LONGEST_WAIT
    assert clock.LONGEST_WAIT * 1000 < 2**31  # A C int of milliseconds.


def test_the_last_piece_of_a_long_time_out_is_what_is_left_of_it(now) -> None:
    deadline = clock.deadline_after(clock.LONGEST_WAIT + 5.0)
    now[0] += clock.LONGEST_WAIT

    assert clock.seconds_left(deadline) == 5.0
