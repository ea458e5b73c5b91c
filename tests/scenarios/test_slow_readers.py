"""A client that does not read its echo holds up itself, and costs the server one buffer."""

from __future__ import annotations

import socket

from tests.scenarios.serving import echo, processor_seconds
from tests.support.sockets import LIMIT, pattern, read_to_end

EIGHT_MEGABYTES = 8 << 20
ONE_BUFFER = 64 * 1024


def _slow_client(address: tuple[str, int]) -> socket.socket:
    client = socket.socket()
    # Set before connecting, so that the system does not let it grow.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.settimeout(4 * LIMIT)
    client.connect(address)
    return client


def _send_and_finish(client: socket.socket, message: bytes) -> None:
    client.sendall(message)
    client.shutdown(socket.SHUT_WR)


def test_eight_megabytes_to_a_slow_reader_come_back_whole(served, in_thread):
    # Method: a thread sends all; nothing is read until the server has come to a standstill.
    message = pattern(EIGHT_MEGABYTES)
    with _slow_client(served.address) as client:
        sender = in_thread(_send_and_finish, client, message)
        served.traffic.wait_for(lambda: served.traffic.bytes_in > 0)
        served.traffic.wait_until_quiet()

        assert served.traffic.bytes_in < EIGHT_MEGABYTES
        assert served.traffic.bytes_in - served.traffic.bytes_out <= ONE_BUFFER
        assert read_to_end(client) == message
        sender.result()

    served.wait_for_departures(1)
    assert served.traffic.bytes_in == served.traffic.bytes_out == EIGHT_MEGABYTES


def test_a_slow_reader_holds_up_nobody_else_and_costs_no_processor(served, in_thread):
    with _slow_client(served.address) as slow, served.client() as quick:
        sender = in_thread(_send_and_finish, slow, pattern(EIGHT_MEGABYTES))
        served.traffic.wait_for(lambda: served.traffic.bytes_in > 0)
        served.traffic.wait_until_quiet()

        assert processor_seconds(0.5) < 0.05
        for turn in range(20):
            assert echo(quick, pattern(1000, turn)) == pattern(1000, turn)

        assert len(read_to_end(slow)) == EIGHT_MEGABYTES
        sender.result()
