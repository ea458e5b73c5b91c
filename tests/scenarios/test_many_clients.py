"""Everybody is served, and every byte once: the reference programs served one, or the last one."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.scenarios.serving import Served, echo
from tests.support.descriptors import COUNTS_DESCRIPTORS, descriptors
from tests.support.sockets import pattern, read_exactly, read_to_end

MESSAGE = pattern(100)


def test_three_messages_of_one_client_come_back_one_by_one(served):
    with served.client() as client:
        for turn in range(3):
            message = pattern(100, turn)
            assert echo(client, message) == message


def test_a_second_client_is_served_while_the_first_is_there(served):
    with served.client() as first, served.client() as second:
        assert echo(first, MESSAGE) == MESSAGE
        assert echo(second, MESSAGE) == MESSAGE
        assert echo(first, MESSAGE) == MESSAGE
        served.wait_for_sessions(2)


def test_a_client_is_served_after_another_has_gone(served):
    with served.client() as first:
        assert echo(first, MESSAGE) == MESSAGE

    with served.client() as second:
        assert echo(second, MESSAGE) == MESSAGE


def test_two_clients_that_send_in_turn_are_both_served_every_time(served):
    # Goal: the reference program re-armed the receive of one client on the socket of another.
    with served.client() as first, served.client() as second:
        for turn in range(6):
            for name, client in ((b"first", first), (b"second", second)):
                message = name + bytes([turn])
                assert echo(client, message) == message


def test_five_clients_are_served_in_each_of_three_rounds(served):
    with ExitStack() as stack:
        clients = [stack.enter_context(served.client()) for _ in range(5)]
        for turn in range(3):
            for number, client in enumerate(clients):
                message = pattern(100 + number, turn)
                client.sendall(message)
            for number, client in enumerate(clients):
                message = pattern(100 + number, turn)
                assert read_exactly(client, len(message)) == message


def test_a_burst_of_ten_messages_is_counted_once(served):
    # Goal: the reference program reported the same bytes as result of the call and in the routine.
    with served.client() as client:
        burst = b"".join(pattern(100, number) for number in range(10))
        for start in range(0, len(burst), 100):
            client.sendall(burst[start : start + 100])
        assert read_exactly(client, len(burst)) == burst
        served.traffic.wait_for(lambda: served.traffic.bytes_out == len(burst))

    assert served.traffic.bytes_in == len(burst)
    assert served.traffic.bytes_out == len(burst)
    assert 1 <= served.traffic.messages <= 10


def test_2500_bytes_in_one_send_come_back_whole(served):
    message = pattern(2500)
    with served.client() as client:
        assert echo(client, message) == message
        served.traffic.wait_for(lambda: served.traffic.bytes_out == len(message))

    assert served.traffic.bytes_in == len(message)


def test_what_was_sent_before_the_server_receives_is_not_lost(model):
    # Goal: the receive that is posted last finds the data already there.
    # Method: the client connects, sends and ends its side before the server serves at all.
    served = Served(model)
    client = served.client()
    with client:
        client.sendall(pattern(300))
        client.shutdown(1)
        with served:
            assert read_to_end(client) == pattern(300)


def test_a_hundred_clients_at_once_are_all_served(served):
    # Goal: past the 64 sockets of one wait, and the 62 sessions of the first group.
    with ExitStack() as stack:
        clients = [stack.enter_context(served.client()) for _ in range(100)]
        for number, client in enumerate(clients):
            client.sendall(pattern(50, number))
        for number, client in enumerate(clients):
            assert read_exactly(client, 50) == pattern(50, number)
        served.wait_for_sessions(100)


@pytest.mark.skipif(not COUNTS_DESCRIPTORS, reason="counts descriptors in Linux' own table")
def test_after_forty_short_clients_every_descriptor_is_back(served):
    with served.client() as client:  # The first one may open what stays open.
        assert echo(client, MESSAGE) == MESSAGE
    served.wait_for_departures(1)
    before = descriptors()

    for _ in range(40):
        with served.client() as client:
            assert echo(client, MESSAGE) == MESSAGE

    served.wait_for_departures(41)
    assert served.sessions == 0
    assert descriptors() == before


def test_forty_short_clients_are_all_counted(served):
    for number in range(40):
        with served.client() as client:
            assert echo(client, pattern(100, number)) == pattern(100, number)

    served.wait_for_departures(40)
    assert served.traffic.connects == 40
    assert sum(served.traffic.disconnects.values()) == 40
    assert served.traffic.bytes_in == served.traffic.bytes_out == 4000
