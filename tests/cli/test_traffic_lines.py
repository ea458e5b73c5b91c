"""The lines of `serve`, without a server: the rate limit, and what it counts."""

from __future__ import annotations

import threading

import pytest

from proactor.cli import traffic_lines
from proactor.cli.traffic_lines import LINES_A_SECOND, TrafficLines
from proactor.models import Reason

PEER = ("127.0.0.1", 50_000)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: ``clock[0]`` is now."""
    now = [1000.0]
    monkeypatch.setattr(traffic_lines.time, "monotonic", lambda: now[0])
    return now


def test_below_the_limit_every_call_is_a_line(clock):
    lines = TrafficLines()

    lines.connected(PEER)
    lines.received(PEER, 1500)
    lines.sent(PEER, 1500)
    lines.disconnected(PEER, Reason.RESET)

    taken = [line[10:].split(maxsplit=1) for line in lines.take()]
    assert taken == [
        ["127.0.0.1:50000", "connected"],
        ["127.0.0.1:50000", "received 1,500 B"],
        ["127.0.0.1:50000", "sent 1,500 B"],
        ["127.0.0.1:50000", "disconnected: reset by peer"],
    ]
    assert lines.take() == []


def test_a_busy_session_does_not_hide_that_another_one_ends(clock):
    lines = TrafficLines()
    for _ in range(10 * LINES_A_SECOND):
        lines.received(PEER, 1)

    lines.disconnected(PEER, Reason.PEER_CLOSED)

    assert len(lines.take()) == LINES_A_SECOND + 1


def test_what_was_left_out_is_told_when_its_second_is_over(clock):
    lines = TrafficLines()
    for _ in range(LINES_A_SECOND + 3):
        lines.connected(PEER)
    lines.take()

    clock[0] += 0.9
    assert lines.take() == []
    clock[0] += 0.2
    (line,) = lines.take()
    assert line.endswith("left out: 3 connected")

    lines.connected(PEER)  # A new second has a limit of its own.
    assert len(lines.take()) == 1


def test_what_is_left_out_is_still_counted(clock):
    lines = TrafficLines(quiet=True)
    threads = [
        threading.Thread(target=lambda: [lines.received(PEER, 2) for _ in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (lines.messages, lines.bytes_in) == (4000, 8000)
    assert lines.take() == []
