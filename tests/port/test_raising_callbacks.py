"""APCs and completion routines that raise: logged, and the wait goes on with the others."""

from __future__ import annotations

import logging
import threading

import pytest

from proactor import Overlapped, queue_user_apc, sleep_ex
from tests.support.sockets import LIMIT, PeerPair


def test_an_apc_that_raises_is_logged_and_the_others_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran: list[str] = []

    def broken() -> None:
        raise ValueError("broken APC")

    me = threading.current_thread()
    queue_user_apc(me, ran.append, "before")
    queue_user_apc(me, broken)
    queue_user_apc(me, ran.append, "after")

    with caplog.at_level(logging.ERROR, "proactor"):
        assert sleep_ex(LIMIT)

    assert ran == ["before", "after"]
    [record] = caplog.records
    assert "broken" in record.getMessage()
    assert record.exc_info is not None


def test_a_routine_that_raises_is_logged_with_its_overlapped_and_the_others_run(
    peer_pair: PeerPair, caplog: pytest.LogCaptureFixture
) -> None:
    ours, peer = peer_pair
    ran: list[int] = []

    class Session(Overlapped):
        pass

    def broken(*_: object) -> None:
        raise ValueError("broken routine")

    ours.recv(bytearray(2), Session(routine=broken))
    ours.recv(bytearray(3), Overlapped(routine=lambda error, count, *_: ran.append(count)))
    peer.sendall(b"hello")

    with caplog.at_level(logging.ERROR, "proactor"):
        while not ran:
            assert sleep_ex(LIMIT)

    assert ran == [3]
    [record] = caplog.records
    assert "<Session recv" in record.getMessage()


def test_a_routine_that_is_no_callable_ends_in_the_log(
    peer_pair: PeerPair, caplog: pytest.LogCaptureFixture
) -> None:
    ours, peer = peer_pair
    ours.recv(bytearray(8), Overlapped(routine="no routine"))  # type: ignore[arg-type]
    peer.sendall(b"hello")

    with caplog.at_level(logging.ERROR, "proactor"):
        assert sleep_ex(LIMIT)

    assert "no routine" in caplog.text


def test_a_routine_that_stops_the_program_is_not_kept_from_it(peer_pair: PeerPair) -> None:
    # Goal: Ctrl-C inside a routine is no failure of the routine: it ends the wait.
    ours, peer = peer_pair

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    overlapped = Overlapped(routine=interrupted)
    ours.recv(bytearray(8), overlapped)
    peer.sendall(b"hello")

    with pytest.raises(KeyboardInterrupt):
        sleep_ex(LIMIT)

    assert not overlapped.is_in_flight
