"""The verdict of a soak: what is flat passes, and each thing that is not is told."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tests.soak.watch import Sample, Watched, complaints

COUNTS = {"started": 108, "indicated": 100, "served": 9, "messages": 50, "sessions": 0}
COUNTS |= {"cancels": 1, "resets": 1, "closes": 1}
BEFORE = Sample(0.0, 15_000, 9, COUNTS)
IDLE = Sample(60.0, 20_000, 10, COUNTS)
FLAT = [Sample(float(at), 20_000 + at % 7 * 100, 70, COUNTS) for at in range(60)]


def test_a_flat_run_has_no_complaint() -> None:
    assert complaints(FLAT, IDLE, BEFORE, 0) == []


def test_memory_that_grows_is_told() -> None:
    leaking = [replace(one, resident=one.resident + round(one.at) * 300) for one in FLAT]

    (text,) = complaints(leaking, IDLE, BEFORE, 0)
    assert "memory has grown" in text


@pytest.mark.parametrize(
    "changed, word",
    [
        ({"sessions": 1}, "1 sessions are left"),
        ({"indicated": 99}, "started 108, indicated 99"),
        ({"messages": 0}, "nothing was echoed"),
        ({"cancels": 0}, "not all that was to happen"),
    ],
)
def test_counters_that_are_wrong_are_told(changed: dict[str, int], word: str) -> None:
    idle = replace(IDLE, counts={**COUNTS, **changed})

    (text,) = complaints(FLAT, idle, BEFORE, 0)
    assert word in text


def test_descriptors_and_a_bad_end_are_told() -> None:
    found = complaints(FLAT, replace(IDLE, descriptors=12), BEFORE, -6)

    assert found == ["3 descriptors are left", "the server ended with status -6"]


@pytest.mark.skipif(sys.platform != "linux", reason="a process is looked at in /proc")
def test_the_server_of_a_soak_counts_and_ends_well() -> None:
    server = Watched("selectors")
    try:
        sample = server.sample(0.0)
        assert sample.counts["started"] == 8 and sample.resident > 1000 and sample.descriptors > 3
    finally:
        assert server.end() == 0
