"""Clients that fall silent: idle, heartbeats, the first packet."""

from __future__ import annotations

import threading
import time

from proactor import DisconnectReason, Packet, SessionState
from tests.server.serving import Recorded, recorded
from tests.support.streams import eventually

PING = Packet(99, b"ping")


class Beating(Recorded):
    heartbeat_packet = PING


class Pausing(Recorded):
    def on_connected(self) -> None:
        self.pause()
        super().on_connected()


def test_a_silent_session_is_closed_as_idle(serving, client):
    player = recorded()
    server = serving(player, idle_timeout=0.1)
    one = client(server)
    began = time.monotonic()
    assert one.receive_all() == []
    assert time.monotonic() - began >= 0.09
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.IDLE)


def test_traffic_keeps_a_session_alive(serving, client):
    player = recorded()
    server = serving(player, idle_timeout=0.2)
    one = client(server)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        one.send(1)
        time.sleep(0.02)  # The traffic of a client that is there.
    assert player.journal.of("disconnected") == []
    assert one.receive_all() == []
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.IDLE)


def test_a_session_that_we_have_paused_is_not_idle(serving, client):
    player = recorded(Pausing)
    server = serving(player, idle_timeout=0.05)
    one = client(server)
    player.journal.wait(lambda entries: entries)
    session = player.made[0]
    assert not threading.Event().wait(0.25)  # Several times the limit.
    assert session.state is SessionState.OPEN
    session.resume()
    assert one.receive_all() == []


def test_heartbeats_are_sent_to_the_silent_until_they_are_given_up(serving, client):
    player = recorded(Beating)
    server = serving(player, heartbeat=0.05, heartbeat_misses=3)
    one = client(server)

    assert one.receive_all() == [PING] * 3
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.HEARTBEAT)
    assert server.statistics().heartbeats == 3


def test_an_answer_is_a_sign_of_life(serving, client):
    player = recorded(Beating)
    server = serving(player, heartbeat=0.05, heartbeat_misses=2)
    one = client(server)
    for _ in range(6):
        assert one.receive() == PING
        one.send(1)
    assert player.journal.of("disconnected") == []


def test_no_heartbeat_is_sent_while_traffic_comes(serving, client):
    player = recorded(Beating)
    server = serving(player, heartbeat=0.2)
    one = client(server)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        one.send(1)
        time.sleep(0.02)  # The traffic of a client that is there.
    assert server.statistics().heartbeats == 0


def test_without_a_packet_of_its_own_the_silent_are_closed_all_the_same(serving, client):
    player = recorded()
    server = serving(player, heartbeat=0.05, heartbeat_misses=2)
    one = client(server)
    assert one.receive_all() == []
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.HEARTBEAT)


def test_who_sends_no_whole_packet_at_first_is_closed(serving, client):
    player = recorded()
    server = serving(player, first_packet_timeout=0.1)
    talking, dripping = client(server), client(server)
    talking.send(1)
    dripping.sock.sendall(b"\x08\x00\x01")  # Bytes, but no packet.

    assert dripping.receive_all() == []
    dripping.close()
    player.journal.wait_for("disconnected", DisconnectReason.FIRST_PACKET)
    assert eventually(lambda: len(server) == 1)
    talking.send(2)
    player.journal.wait_for("packet", Packet(2))


def test_a_session_that_ends_leaves_no_timer(serving, client):
    player = recorded()
    server = serving(player, idle_timeout=60, heartbeat=60, first_packet_timeout=60)
    one = client(server)
    player.journal.wait(lambda entries: entries)
    assert server.statistics().timers == 1
    one.close()
    player.journal.wait_for("disconnected", DisconnectReason.PEER_CLOSED)
    assert server.statistics().timers == 0
