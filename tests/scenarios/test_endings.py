"""How a session ends: by FIN, by reset, by half-close, or because its user let go of it."""

from __future__ import annotations

import gc
import socket
import sys

import pytest

from proactor.models import Reason
from tests.scenarios.serving import Served, close_waits, echo, processor_seconds
from tests.support.sockets import pattern, read_to_end, reset
from tests.support.streams import eventually
from tests.support.system import under_wine

MESSAGE = pattern(100)
OVERLAPPED_MODELS = ["overlapped-event", "overlapped-routine", "completion-port"]


def test_a_closed_client_is_seen_off_with_its_reason(served):
    with served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE
        peer = client.getsockname()

    assert served.wait_for_departures(1) == [Reason.PEER_CLOSED]
    assert served.traffic.departures[0][0][:2] == peer[:2]
    assert served.sessions == 0


def test_an_ended_client_does_not_make_the_server_spin(served):
    # Goal: the reference program printed "0 bytes" 20,000 times a second after a client's FIN.
    # Method: one client ends, one stays idle, one has ended its side only after its echo; then
    # measure the processor time of an idle half second.
    window = 0.5
    with served.client() as stays, served.client() as goes:
        assert echo(stays, MESSAGE) == echo(goes, MESSAGE) == MESSAGE
        goes.close()
        served.wait_for_departures(1)

        used = processor_seconds(window)

        assert used < 0.1 * window
        assert echo(stays, MESSAGE) == MESSAGE


def test_a_server_without_clients_uses_no_processor(served):
    assert processor_seconds(0.5) < 0.05


def test_a_half_close_is_answered_with_everything_and_then_our_half(served):
    # Goal: end of stream means that the peer sends no more, not that it reads no more.
    message = pattern(300_000)
    with served.client() as client:
        # Small enough for the buffers of both sides: nothing is read before all is sent.
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == message

    assert served.wait_for_departures(1) == [Reason.PEER_CLOSED]


def test_a_half_close_right_after_the_last_byte_loses_nothing(served):
    # Goal: data and end may be reported together, and the data comes first.
    for size in (1, 100, 5_000, 70_000):
        with served.client() as client:
            client.sendall(pattern(size))
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == pattern(size)


def test_a_client_that_closes_without_sending_is_seen_off(served):
    served.client().close()

    assert served.wait_for_departures(1) == [Reason.PEER_CLOSED]


def test_a_reset_ends_one_session_and_no_other(served):
    with served.client() as stays:
        goes = served.client()
        assert echo(stays, MESSAGE) == echo(goes, MESSAGE) == MESSAGE

        reset(goes)

        reasons = served.wait_for_departures(1)
        # Wine 8 reports a reset as an end of the stream.
        assert reasons == [Reason.RESET] or (under_wine() and reasons == [Reason.PEER_CLOSED])
        assert echo(stays, MESSAGE) == MESSAGE
        assert served.sessions == 1


def test_a_reset_while_the_echo_is_unsent_ends_the_session(served):
    # Goal: a send that is pending, or waits for room, ends with the connection.
    client = served.client()
    served.wait_for_sessions(1)  # One that is reset while nobody has accepted it never is one.
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.sendall(pattern(64 << 20))  # It never reads.

    reset(client)

    assert len(served.wait_for_departures(1)) == 1
    assert served.sessions == 0


def test_a_reset_before_the_accept_is_survived(model):
    served = Served(model)
    reset(served.client())

    with served, served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' own table of connections")
def test_no_connection_stays_in_close_wait(served):
    for _ in range(20):
        with served.client() as client:
            assert echo(client, MESSAGE) == MESSAGE
    served.wait_for_departures(20)

    port = served.address[1]
    assert eventually(lambda: close_waits(port) == 0)


@pytest.mark.parametrize("model", OVERLAPPED_MODELS)
def test_a_session_dropped_by_its_user_is_still_served(served):
    # Goal: the reference program deleted the session while its receive was pending, and the next
    # client got the same memory. Here the engine holds what it has been given.
    # Method: take the server's own reference away, then use the session that nobody holds.
    with served.client() as client:
        assert echo(client, MESSAGE) == MESSAGE
        served.server._sessions.clear()
        gc.collect()

        assert echo(client, MESSAGE) == MESSAGE
        with served.client() as other:
            assert echo(other, pattern(90)) == pattern(90)
            assert echo(client, MESSAGE) == MESSAGE
    assert len(served.wait_for_departures(2)) == 2


@pytest.mark.parametrize("model", OVERLAPPED_MODELS)
def test_a_session_closed_by_its_user_ends_in_order(served):
    # Goal: a receive is pending when its socket is closed under it, from another thread.
    with served.client() as client, served.client() as other:
        assert echo(client, MESSAGE) == MESSAGE
        [session] = [
            session
            for session in list(served.server._sessions)
            if session.peer[:2] == client.getsockname()[:2]
        ]

        session.socket.close()

        served.wait_for_departures(1)
        assert read_to_end(client) == b""
        assert echo(other, MESSAGE) == MESSAGE
        assert served.sessions == 1
