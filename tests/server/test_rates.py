"""The token bucket, with a clock that the test turns."""

from __future__ import annotations

import pytest

from proactor.server.rates import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_full_bucket_gives_its_burst_and_then_the_rate(clock):
    bucket = TokenBucket(10, 3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    clock.now += 0.1
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_it_never_holds_more_than_its_burst(clock):
    bucket = TokenBucket(10, 3, clock=clock)
    clock.now += 1000
    assert sum(bucket.take() for _ in range(10)) == 3


def test_the_burst_is_one_second_unless_told_otherwise(clock):
    assert TokenBucket(10, clock=clock).burst == 10
    assert TokenBucket(0.1, clock=clock).burst == 1


def test_what_is_larger_than_the_burst_is_granted_once_and_paid_off(clock):
    bucket = TokenBucket(10, 10, clock=clock)
    assert bucket.take(30)
    clock.now += 2.0
    assert not bucket.take(1)
    clock.now += 0.1
    assert bucket.take(1)


def test_a_debt_says_how_long_until_it_is_paid(clock):
    bucket = TokenBucket(10, 5, clock=clock)
    assert bucket.owe(5) == 0.0
    assert bucket.owe(5) == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.owe(1) == pytest.approx(0.1)


def test_it_says_when_there_will_be_enough(clock):
    bucket = TokenBucket(10, 5, clock=clock)
    assert bucket.wait() == 0.0
    bucket.take(5)
    assert bucket.wait(2) == pytest.approx(0.2)
    clock.now += bucket.wait(2)
    assert bucket.take(2)


@pytest.mark.parametrize(("rate", "burst"), [(0, None), (-1, None), (float("nan"), None), (1, 0)])
def test_a_rate_and_a_burst_that_make_no_sense_are_refused(rate, burst):
    with pytest.raises(ValueError, match=r"a (rate|burst) is"):
        TokenBucket(rate, burst)
