"""Who may come in, how fast, and how much a session may send."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack

import pytest

from proactor import DisconnectReason, Overlapped, Packet, RateAction, Refusal, ServerOptions
from proactor.server.admission import Admission
from tests.server.serving import FRAMING, is_turned_away, recorded
from tests.support.streams import eventually
from tests.support.system import has_ipv6


def test_beyond_the_cap_connections_are_reset_and_counted(serving, client):
    player = recorded()
    server = serving(player, max_sessions=2)
    inside = [client(server), client(server)]
    player.journal.wait(lambda entries: len(entries) == 2)
    assert is_turned_away(server)
    assert server.statistics().refused == {Refusal.FULL: 1}
    assert server.statistics().peak_sessions == 2

    inside[0].close()
    assert eventually(lambda: len(server) == 1)
    late = client(server)
    late.send(1)
    player.journal.wait_for("packet", Packet(1))


def test_one_address_has_a_cap_of_its_own(serving, client):
    player = recorded()
    server = serving(player, max_per_address=1)
    first = client(server)
    player.journal.wait(lambda entries: entries)
    assert is_turned_away(server)
    assert server.statistics().refused == {Refusal.ADDRESS_FULL: 1}
    first.close()
    assert eventually(lambda: len(server) == 0)
    again = client(server)
    again.send(1)
    player.journal.wait_for("packet", Packet(1))


def test_the_table_of_addresses_does_not_grow():
    admission = Admission(10, 2)
    for number in range(100):
        assert admission.enter() is None
        assert admission.enter_from(str(number)) is None
        admission.leave_from(str(number))
        admission.leave()
    assert admission._by_host == {} and admission.taken == 0


def test_the_accept_rate_makes_clients_wait_and_loses_none(serving, client):
    player = recorded()
    server = serving(player, accept_rate=50, accept_burst=1, accepts=1)
    began = time.monotonic()
    clients = [client(server) for _ in range(12)]
    player.journal.wait(lambda entries: len(entries) == 12)
    assert time.monotonic() - began >= 0.18
    assert len(clients) == len(server) == 12


def test_too_many_packets_close_the_session(serving, client):
    player = recorded()
    server = serving(player, packets_per_second=10, packet_burst=20)
    fast, slow = client(server), client(server)
    for _ in range(25):
        fast.send(1)
    slow.send(2)
    assert fast.receive_all() == []
    fast.close()
    player.journal.wait_for("disconnected", DisconnectReason.RATE)
    player.journal.wait_for("packet", Packet(2))
    assert player.journal.of("packet").count(Packet(1)) == 20
    assert eventually(lambda: len(server) == 1)


def test_too_many_packets_are_dropped_if_that_is_the_policy(serving, client):
    player = recorded()
    server = serving(player, packets_per_second=1, packet_burst=5, rate_action=RateAction.DROP)
    one = client(server)
    for number in range(50):
        one.send(number)
    assert eventually(lambda: server.statistics().limited_packets == 45)
    assert [packet.id for packet in player.journal.of("packet")] == list(range(5))
    assert player.journal.of("disconnected") == []


def test_too_many_packets_are_delayed_if_that_is_the_policy(serving, client):
    player = recorded()
    server = serving(player, packets_per_second=100, packet_burst=10, rate_action=RateAction.DELAY)
    one = client(server)
    began = time.monotonic()
    for number in range(30):
        one.send(number)
    player.journal.wait(lambda entries: len(player.journal.of("packet")) == 30)
    assert time.monotonic() - began >= 0.18
    assert [packet.id for packet in player.journal.of("packet")] == list(range(30))


def test_bytes_are_counted_too(serving, client):
    player = recorded()
    server = serving(player, bytes_per_second=1000, byte_burst=2000, rate_action=RateAction.DROP)
    one = client(server)
    for number in range(4):
        one.send(number, bytes(996))
    assert eventually(lambda: server.statistics().limited_packets == 2)
    assert [packet.id for packet in player.journal.of("packet")] == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux' own")
def test_the_user_timeout_is_set_on_every_connection(serving, client):
    seen = []

    class Seeing:
        def setsockopt(self, level, option, value):
            seen.append((level, option, value))

    from proactor.engines.dead_peers import set_user_timeout

    assert set_user_timeout(Seeing(), 1.5)
    assert seen == [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1500)]
    player = recorded()
    server = serving(player, tcp_user_timeout=1.5)
    client(server).send(1)
    player.journal.wait_for("packet", Packet(1))


@pytest.mark.skipif(sys.platform == "win32", reason="lowers RLIMIT_NOFILE")
def test_the_server_outlives_a_lack_of_descriptors():
    # Method: a process with few descriptors; more clients than it can take. Those that wait are
    # accepted once others have gone.
    program = textwrap.dedent(
        """
        import resource, sys, proactor
        class Echo(proactor.Session):
            def on_received(self, received):
                self.send(received)
        with proactor.Server(Echo, port=0, workers=2) as server:
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
            print(server.address[1], flush=True)
            sys.stdin.read()
            print(server.statistics().accept_failures > 0, flush=True)
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ExitStack() as stack:
        stack.callback(process.kill)
        address = ("127.0.0.1", int(process.stdout.readline()))
        clients = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(40)]
        for one in clients[:5]:
            one.sendall(b"inside")
            assert one.recv(10) == b"inside"
        clients[-1].settimeout(0.2)
        clients[-1].sendall(b"outside")
        with pytest.raises(TimeoutError):
            clients[-1].recv(10)
        for one in clients[:30]:
            one.close()
        clients[-1].settimeout(5)
        assert clients[-1].recv(10) == b"outside"
        out, errors = process.communicate("", 10)
    assert out == "True\n"
    assert errors.count("an accept failed") == 1


def test_an_accept_that_fails_for_want_of_something_is_tried_again(serving, client, caplog):
    player = recorded()
    server = serving(player)
    for _ in range(3):
        server._acceptor._failed(Overlapped(), OSError(errno.EMFILE, "too many"))
    server._acceptor._failed(Overlapped(), ConnectionResetError())
    client(server).send(1)
    player.journal.wait_for("packet", Packet(1))
    assert caplog.text.count("an accept failed") == 1
    assert server.statistics().accept_failures == 3


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_a_server_listens_on_ipv6_too(serving):
    player = recorded()
    server = serving(player, host="::1", max_per_address=1)
    with socket.create_connection(server.address, 5) as one:
        one.sendall(FRAMING.encode(Packet(1)))
        player.journal.wait_for("packet", Packet(1))
        assert player.made[0].peer[0] == "::1"
    assert f"[::1]:{server.address[1]}" in repr(server)


def test_an_unknown_option_is_refused_with_the_list_of_those_that_there_are():
    with pytest.raises(TypeError, match=r"called idle_time, prot: .* idle_timeout, .* workers"):
        ServerOptions.from_names({"prot": 1, "idle_time": 2})


def test_the_options_of_a_server_are_those_that_were_given(serving):
    options = ServerOptions(port=0, max_sessions=7)
    server = serving(recorded(), options=options, workers=3)
    assert (server.options.max_sessions, server.options.workers) == (7, 3)
