"""The crew by itself: what workers took is everybody's, and so is the time."""

from __future__ import annotations

import threading
import time

import pytest

from proactor import CompletionPort
from proactor.server.crews import Crew


@pytest.fixture
def crew():
    """Five workers that a test launches; a port of their own."""
    with CompletionPort() as port:
        made = Crew(port, 5)
        yield made
        made.stop()
        assert made.join(5)


def test_every_worker_leaves_although_one_took_all_that_was_said(crew):
    # Method: the words for all five wait in the port before the first worker looks.
    crew.stop()
    crew.launch()
    assert crew.join(5)


def test_what_one_worker_took_is_handled_by_others_while_it_is_blocked(crew):
    gate, done = threading.Event(), threading.Event()
    count = []

    def last():
        count.append(1)
        if len(count) == 60:
            done.set()

    crew.post(lambda: gate.wait(10))
    for _ in range(60):
        crew.post(last)
    crew.launch()
    assert done.wait(5)
    gate.set()


def test_a_timer_is_run_although_the_workers_that_knew_of_it_are_blocked(crew):
    gate, called = threading.Event(), threading.Event()
    crew.launch()
    for _ in range(4):
        crew.post(lambda: gate.wait(10))
    began = time.monotonic()
    crew.timers.call_later(0.1, called.set)
    assert called.wait(5)
    assert time.monotonic() - began < 2.0
    gate.set()


def test_a_worker_knows_whose_it_is(crew):
    asked = []
    crew.launch()
    done = threading.Event()
    crew.post(lambda: (asked.append(crew.is_mine), done.set()))
    assert done.wait(5)
    assert asked == [True] and not crew.is_mine


def test_a_port_that_is_closed_ends_the_workers():
    port = CompletionPort()
    crew = Crew(port, 3)
    crew.launch()
    port.close()
    assert crew.join(5)
    crew.timers.call_later(0, print)  # Nobody will run it; it does not raise.
