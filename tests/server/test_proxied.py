"""Sessions behind a proxy: the client that the header names, and connections without one."""

from __future__ import annotations

import logging
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proactor import DisconnectReason, FramingError, Packet, PacketFraming, Refusal
from proactor.server.proxied import ProxiedFraming
from proactor.server.proxy_protocol import ProxyHeader
from tests.server.serving import FRAMING, Recorded, recorded
from tests.server.test_proxy_protocol import GOOD, V4, v2
from tests.support.sockets import reset
from tests.support.streams import eventually

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.7 5000 7777\r\n"


@pytest.fixture
def behind(serving, client):
    """Return a function that starts a server behind a proxy; and its class."""

    def start(**options):
        player = recorded()
        return serving(player, proxy_protocol=True, **options), player

    return start


@pytest.mark.parametrize("header", [LINE, v2(V4)], ids=["version 1", "version 2"])
def test_the_session_begins_with_the_header_and_has_the_clients_address(behind, client, header):
    server, player = behind()
    one = client(server)
    one.sock.sendall(header + FRAMING.encode(Packet(1)))
    player.journal.wait_for("packet", Packet(1))
    assert player.made[0].peer == ("192.0.2.1", 5000)
    one.send(2)
    player.journal.wait_for("packet", Packet(2))
    one.close()

    player.journal.wait_for("disconnected", DisconnectReason.PEER_CLOSED)
    assert [entry[0] for entry in player.journal.entries] == [
        "connected",
        "packet",
        "packet",
        "disconnected",
    ]
    assert eventually(lambda: server.statistics().sessions == 0)


def test_a_health_check_of_the_proxy_keeps_the_proxys_address(behind, client):
    server, player = behind()
    one = client(server)
    one.sock.sendall(v2(command=0x20, family=0))
    player.journal.wait(lambda entries: entries)
    assert player.made[0].peer == one.sock.getsockname()


def test_the_time_limit_is_for_the_header_alone(behind, client):
    server, player = behind(proxy_timeout=0.1)
    one = client(server)
    one.sock.sendall(LINE)
    player.journal.wait(lambda entries: entries)
    assert server.statistics().timers == 0
    assert not threading.Event().wait(0.2)
    one.send(1)
    player.journal.wait_for("packet", Packet(1))


def test_a_header_in_pieces_is_a_header(behind, client):
    server, player = behind()
    one = client(server)
    one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in LINE:
        one.sock.sendall(bytes([byte]))
    one.send(1)
    player.journal.wait_for("packet", Packet(1))


@pytest.mark.parametrize("how", ["no header", "closed", "reset", "too late"])
def test_a_connection_without_a_header_becomes_no_session(behind, client, how, caplog):
    caplog.set_level(logging.DEBUG, "proactor.server")
    server, player = behind(proxy_timeout=0.1 if how == "too late" else 5.0, max_sessions=1)
    one = client(server)
    one.sock.sendall(b"PROXY TC")
    if how != "too late":
        assert eventually(lambda: server.statistics().timers == 1)  # It waits for the header.
    if how == "no header":
        one.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert one.is_reset()
    elif how == "closed":
        one.close()
    elif how == "reset":
        reset(one.sock)
    else:
        assert one.is_reset()

    assert eventually(lambda: server.statistics().refused == {Refusal.PROXY: 1})
    assert eventually(lambda: len(server) == 0) and player.journal.entries == []
    assert eventually(lambda: server.statistics().timers == 0)
    one = client(server)  # Its place is free again, and the others are untouched.
    one.sock.sendall(LINE)
    player.journal.wait(lambda entries: entries)


def test_the_cap_of_an_address_is_that_of_the_client(behind, client):
    server, player = behind(max_per_address=1)
    first, second, other = client(server), client(server), client(server)
    first.sock.sendall(LINE)
    player.journal.wait(lambda entries: len(entries) == 1)
    other.sock.sendall(LINE.replace(b"192.0.2.1", b"192.0.2.2"))
    player.journal.wait(lambda entries: len(entries) == 2)
    second.sock.sendall(LINE)
    assert second.is_reset()

    assert eventually(lambda: server.statistics().refused == {Refusal.ADDRESS_FULL: 1})
    assert eventually(lambda: len(server) == 2)


def raising(self, *arguments):
    raise RuntimeError("broken on purpose")


def test_a_session_that_cannot_be_made_behind_a_proxy_is_let_go(serving, client, caplog):
    server = serving(recorded(__init__=raising), proxy_protocol=True, max_sessions=1)
    for count in (1, 2):
        one = client(server)
        one.sock.sendall(LINE)
        assert one.is_reset()
        assert eventually(
            lambda count=count: server.statistics().refused == {Refusal.BROKEN: count}
        )


def test_an_error_in_on_connected_behind_a_proxy_is_the_sessions(serving, client, caplog):
    def on_connected(self):
        Recorded.on_connected(self)
        raise RuntimeError("broken on purpose")

    player = recorded(on_connected=on_connected)
    one = client(serving(player, proxy_protocol=True))
    one.sock.sendall(LINE + FRAMING.encode(Packet(1)))
    assert one.receive_all() == []
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.HANDLER_ERROR)
    assert player.journal.of("packet") == []


def test_rate_limits_hold_behind_a_proxy_too(behind, client):
    server, player = behind(packets_per_second=1, packet_burst=2)
    one = client(server)
    one.sock.sendall(LINE + FRAMING.encode(Packet(1)) * 3)
    assert one.receive_all() == []
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.RATE)
    assert player.journal.of("packet") == [Packet(1)] * 2


def test_a_server_that_closes_lets_those_go_that_have_sent_no_header(behind, client):
    server, player = behind()
    one = client(server)
    one.sock.sendall(b"PROXY")
    server.close()
    one.is_reset()
    assert player.journal.entries == []


@settings(max_examples=60)
@given(
    st.sampled_from(GOOD),
    st.lists(st.binary(max_size=20), max_size=4),
    st.lists(st.integers(1, 40), max_size=8),
)
def test_any_cut_gives_the_header_and_then_the_frames(case, bodies, cuts):
    wire, header = case
    packets = [Packet(number, body) for number, body in enumerate(bodies)]
    stream = wire + b"".join(FRAMING.encode(packet) for packet in packets)
    decoder = ProxiedFraming(PacketFraming()).decoder()
    items = []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        if piece:
            items += decoder.feed(piece)

    assert items == [header, *packets]
    assert decoder.pending == 0


def test_what_was_whole_before_a_breach_comes_with_the_header():
    decoder = ProxiedFraming(PacketFraming()).decoder()
    with pytest.raises(FramingError) as caught:
        decoder.feed(LINE + FRAMING.encode(Packet(1)) + b"\x01\x00\x00\x00")
    header, packet = caught.value.items
    assert isinstance(header, ProxyHeader) and packet == Packet(1)
