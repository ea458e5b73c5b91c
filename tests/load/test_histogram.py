"""The histogram: percentiles within one bucket of the truth, over the whole range."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactor.load import Histogram
from tests.load.servers import MessageServer


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50), st.floats(0, 1))
def test_a_percentile_is_within_a_bucket_of_the_value_that_it_stands_for(values, part):
    histogram = filled(values)
    rank = min(max(-(-len(values) * part // 1), 1), len(values))
    truth = sorted(values)[int(rank) - 1] / 1e9

    assert histogram.quantile(part) == pytest.approx(truth, rel=1 / 64, abs=1e-9)
    assert histogram.maximum == max(values) / 1e9
    assert histogram.recorded == len(values)


def test_percentiles_rise_and_do_not_pass_the_largest():
    source = random.Random(7)
    histogram = filled([int(source.expovariate(1e-6)) for _ in range(5000)])
    parts = [0, 0.1, 0.5, 0.9, 0.99, 0.999, 1]

    found = [histogram.quantile(part) for part in parts]

    assert found == sorted(found)
    assert found[-1] <= histogram.maximum
    assert histogram.mean == pytest.approx(1e-3, rel=0.1)


def test_an_empty_one_has_only_zeros():
    histogram = Histogram()

    assert (histogram.quantile(0.5), histogram.mean, histogram.maximum) == (0, 0, 0)


def test_since_leaves_out_what_was_there_before():
    older = filled([1_000] * 100)
    newer = filled([1_000] * 100 + [1_000_000] * 10)

    recent = newer.since(older)

    assert recent.recorded == 10
    assert recent.quantile(0.1) == pytest.approx(1e-3, rel=0.02)


def test_what_is_too_long_for_the_table_is_in_its_last_bucket():
    histogram = filled([2**64])

    assert histogram.buckets[-1] == 1
    assert histogram.maximum == 2**64 / 1e9


def test_both_generators_count_in_the_same_buckets(run, opened):
    def slow(connection: int, message: int, content: bytes) -> bytes:
        time.sleep(0.03)  # So that the latency is known: 30 ms and a little.
        return content

    server = opened(MessageServer(64, slow))

    report = run(server.port, size=64, connections=1, messages=5)

    assert 0.0295 < report.latencies.quantile(0) < 0.3
    assert report.latencies.quantile(1) == pytest.approx(report.latencies.maximum, rel=0.016)
