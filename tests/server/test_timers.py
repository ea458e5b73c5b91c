"""Timers of sessions and servers: in their owner's turn, and gone with it."""

from __future__ import annotations

import threading
import time

import pytest

from proactor import DisconnectReason
from tests.server.serving import recorded
from tests.support.streams import eventually


def raising(*arguments):
    raise RuntimeError("broken on purpose")


@pytest.fixture
def session(serving, client):
    player = recorded()
    server = serving(player, workers=5)
    one = client(server)
    player.journal.wait(lambda entries: entries)
    made = player.made[0]
    made.client = one
    return made


def test_a_call_comes_once_after_its_delay_with_its_arguments(session):
    began, called = time.monotonic(), threading.Event()
    came = []

    def call(*arguments):
        came.append((arguments, time.monotonic() - began))
        called.set()

    session.call_later(0.05, call, 1, 2)
    assert called.wait(5)
    [(arguments, after)] = came
    assert arguments == (1, 2)
    assert 0.05 <= after < 1.0
    assert len(session._timers) == 0


def test_a_periodic_call_comes_until_it_is_cancelled(session):
    came = []

    def call():
        came.append(time.monotonic())
        if len(came) == 3:
            timer.cancel()

    timer = session.call_every(0.01, call)
    assert eventually(lambda: timer.is_cancelled)
    done = threading.Event()
    session.call_later(0.05, done.set)
    assert done.wait(5)
    assert len(came) == 3


def test_a_timer_runs_in_the_sessions_turn(session):
    # Method: a turn is held; the timer that is due meanwhile waits for its end.
    gate, order = threading.Event(), []

    def hold():
        gate.wait(5)
        order.append("turn")

    session.post(hold)
    session.call_later(0.01, order.append, "timer")
    periodic = session.call_every(0.005, order.append, "again")
    assert not gate.wait(0.1)
    assert order == []
    session.post(order.append, "end")
    gate.set()
    assert eventually(lambda: "end" in order)
    periodic.cancel()
    # Of the many periods that passed meanwhile one call was waiting, not all.
    first, *rest, last = order[: order.index("end") + 1]
    assert (first, last) == ("turn", "end") and sorted(rest) == ["again", "timer"]


def test_what_is_cancelled_in_the_turn_is_never_called_although_it_was_due(session):
    called = []

    def turn():
        timer = session.call_later(0, called.append, 1)
        time.sleep(0.05)  # It is due now, and posted.
        timer.cancel()
        timer.cancel()

    session.post(turn)
    done = threading.Event()
    session.call_later(0.1, done.set)
    assert done.wait(5)
    assert called == []


def test_timers_end_with_their_session(session):
    session.call_later(60, raising)
    session.call_every(60, raising)
    session.client.close()
    session.journal.wait_for("disconnected", DisconnectReason.PEER_CLOSED)

    assert len(session._timers) == 0
    assert eventually(lambda: session.server.statistics().timers == 0)
    assert session.server.statistics().handler_errors == 0


def test_an_error_in_a_timer_is_the_sessions(session, caplog):
    session.call_later(0, raising)
    assert session.client.receive_all() == []
    session.client.close()
    session.journal.wait_for("disconnected", DisconnectReason.HANDLER_ERROR)


def test_a_period_is_positive(session):
    with pytest.raises(ValueError, match="positive"):
        session.call_every(0, raising)


def test_a_server_has_timers_and_posts_too(session):
    server, came = session.server, []
    server.call_later(0.01, came.append, "later")
    timer = server.call_every(0.01, came.append, "again")
    server.post(came.append, "posted")
    server.post(lambda: came.append("called"))
    assert eventually(lambda: came.count("again") >= 2 and len(set(came)) == 4)
    timer.cancel()


def test_an_error_in_a_call_of_the_server_is_logged_and_the_worker_lives_on(session, caplog):
    server, came = session.server, threading.Event()
    for _ in range(10):
        server.post(raising)
    server.call_later(0.01, raising)
    server.call_later(0.05, came.set)
    assert came.wait(5)
    assert caplog.text.count("broken on purpose") >= 11


def test_an_earlier_timer_shortens_the_wait_for_a_later_one(session):
    server, came = session.server, threading.Event()
    server.call_later(60, raising)
    assert not came.wait(0.05)  # The workers wait for that one now.
    began = time.monotonic()
    server.call_later(0.02, came.set)
    assert came.wait(5)
    assert time.monotonic() - began < 1.0
