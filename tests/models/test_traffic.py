"""Counters of a server, and the reasons why its sessions end."""

from __future__ import annotations

import threading

import pytest

from proactor import ConnectionReset, SocketClosed
from proactor.models import Reason, Traffic, address_text
from proactor.models.echo import failure_reason

PEER = ("127.0.0.1", 50_000)


def test_traffic_counts_what_passes():
    traffic = Traffic()

    traffic.connected(PEER)
    traffic.received(PEER, 100)
    traffic.received(PEER, 20)
    traffic.sent(PEER, 120)
    traffic.disconnected(PEER, Reason.PEER_CLOSED)

    assert (traffic.connects, traffic.messages) == (1, 2)
    assert (traffic.bytes_in, traffic.bytes_out) == (120, 120)
    assert traffic.disconnects == {Reason.PEER_CLOSED: 1}


def test_no_count_is_lost_between_threads():
    # Goal: five workers count in one object.
    traffic, rounds = Traffic(), 2_000

    def count() -> None:
        for _ in range(rounds):
            traffic.received(PEER, 3)
            traffic.sent(PEER, 3)

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert traffic.messages == 5 * rounds
    assert traffic.bytes_in == traffic.bytes_out == 15 * rounds


def test_a_reason_is_text():
    assert str(Reason.PEER_CLOSED) == "peer closed"
    assert len({str(reason) for reason in Reason}) == len(Reason)


def test_a_connection_error_is_a_reset_and_another_one_an_error():
    number = {"winerror": 64, "wsaerror": 10054}

    assert failure_reason(ConnectionReset(104, "reset", **number), PEER) is Reason.RESET
    assert failure_reason(BrokenPipeError(), PEER) is Reason.RESET
    assert failure_reason(SocketClosed(9, "closed", **number), PEER) is Reason.ERROR


def test_what_is_no_operating_error_is_logged_with_its_session(caplog):
    assert failure_reason(ZeroDivisionError("a hook"), PEER) is Reason.ERROR

    [record] = caplog.records
    assert "127.0.0.1:50000" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 7777), "127.0.0.1:7777"),
        (("::1", 7777, 0, 0), "[::1]:7777"),
        (("localhost", 0), "localhost:0"),
    ],
)
def test_an_address_is_written_as_people_write_it(address, text):
    assert address_text(address) == text
