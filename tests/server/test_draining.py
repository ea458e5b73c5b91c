"""Stopping: accept nothing more, tell the sessions, flush, close, and be gone in bounded time."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack

import pytest

from proactor import DisconnectReason, Packet, Server, ServerState, StreamLimits, serve
from tests.server.serving import FRAMING, Client, Crowd, Recorded, is_turned_away, recorded
from tests.support.sockets import LIMIT
from tests.support.streams import eventually


class Leaving(Recorded):
    def on_draining(self):
        self.send(Packet(1000, b"bye"))
        self.journal.add("draining", self)


def test_sessions_are_told_flushed_and_closed_politely(serving, client, in_thread):
    player = recorded(Leaving)
    server = serving(player)
    clients = [client(server) for _ in range(3)]
    player.journal.wait(lambda entries: len(entries) == 3)
    for session in player.made:
        session.send(Packet(1))
    draining = in_thread(server.drain, 5.0)
    for one in clients:
        assert one.receive_all() == [Packet(1), Packet(1000, b"bye")]
        one.close()

    assert draining.result() is True
    assert player.journal.of("disconnected") == [DisconnectReason.DRAINING] * 3
    assert server.state is ServerState.CLOSED and len(server) == 0
    with pytest.raises(ConnectionRefusedError):
        Client(server)


def test_five_hundred_sessions_end_quickly_and_nothing_queued_is_lost(opened):
    # Method: each has more queued than the kernel takes when the server is told to stop.
    body = bytes(4000)
    frame = FRAMING.encode(Packet(1, body))

    class Full(Recorded):
        limits = StreamLimits(send_bytes=1_000_000)

        def on_packet(self, packet):
            for _ in range(50):
                assert self.send_frame(frame)
            self.journal.add("sent", self)

    player = recorded(Full)
    server = opened(Server(player, port=0, workers=5))
    server.start()
    crowd = opened(Crowd(server.address, 500, FRAMING.encode(Packet(0))))
    player.journal.wait(lambda entries: len(player.journal.of("sent")) == 500, 20)
    crowd.read()
    began = time.monotonic()
    assert server.drain(20.0)
    took = time.monotonic() - began

    crowd.wait()
    assert crowd.ended == {"fin": 500}
    assert set(crowd.received.values()) == {50 * len(frame)}
    assert took < 5.0
    assert server.statistics().ended == {DisconnectReason.DRAINING: 500}


def test_those_who_do_not_read_are_reset_at_the_deadline(serving, client):
    server, stuck = full(serving, client)
    player = server.session_class
    began = time.monotonic()

    assert server.drain(0.2) is False
    assert 0.2 <= time.monotonic() - began < 2.0
    assert stuck.is_reset()
    assert player.journal.of("disconnected") == [DisconnectReason.DRAINING]


def fill(session):
    """Send until 500 KB wait, and go on waiting: the system takes more of it a little later."""
    settled = threading.Event()
    while True:
        while session.queued_bytes < 500_000:
            assert session.send(Packet(1, bytes(60_000)))
        settled.wait(0.05)
        if session.queued_bytes >= 500_000:
            return


def full(serving, client, **options):
    """Return a server, and a client that reads nothing while 500 KB wait for it."""
    player = recorded()
    server = serving(player, **options)
    stuck = client(server, receive_buffer=4096)
    player.journal.wait(lambda entries: entries)
    fill(player.made[0])
    return server, stuck


LOST = re.compile(r"1 sessions did not end in time and were reset; (\d+) bytes for them are lost")


def test_what_a_drain_has_lost_is_told_and_is_the_answer_of_every_later_call(
    serving, client, caplog
):
    server, _ = full(serving, client)
    caplog.set_level(logging.INFO, "proactor.server")

    assert server.drain(0.1) is False
    assert server.drain() is False and server.run() is False
    [record] = [record for record in caplog.records if LOST.search(record.getMessage())]
    assert record.levelno == logging.WARNING
    assert int(LOST.search(record.getMessage())[1]) >= 400_000
    assert server.statistics().cut_off == 1


def test_one_that_its_own_close_timeout_ends_has_not_ended_politely(serving, client, caplog):
    server, stuck = full(serving, client, close_timeout=0.1)

    assert server.drain(20.0) is False
    assert stuck.is_reset()
    assert LOST.search(caplog.text) and server.statistics().cut_off == 1


def test_what_was_cut_off_before_is_not_the_drains(serving, client, caplog):
    server, _ = full(serving, client, close_timeout=0.1)
    server.sessions()[0].kick()
    assert eventually(lambda: server.statistics().cut_off == 1 and not len(server))

    assert server.drain(5.0) is True
    assert not LOST.search(caplog.text)


def test_nobody_is_warned_of_what_a_close_resets(serving, client, caplog):
    server, _ = full(serving, client)
    caplog.set_level(logging.INFO, "proactor.server")
    server.close()

    [record] = [record for record in caplog.records if LOST.search(record.getMessage())]
    assert record.levelno == logging.INFO


def test_nobody_is_warned_of_a_client_that_has_everything_and_does_not_close(
    serving, client, caplog
):
    player = recorded()
    server = serving(player)
    client(server)  # Is there until the end of the test, and closes nothing.
    player.journal.wait(lambda entries: entries)
    caplog.set_level(logging.INFO, "proactor.server")

    assert server.drain(0.1) is False
    [record] = [record for record in caplog.records if LOST.search(record.getMessage())]
    assert (record.levelno, LOST.search(record.getMessage())[1]) == (logging.INFO, "0")


def test_a_session_that_is_made_while_the_server_drains_is_let_go(serving, client):
    # Method: the drain has listed the sessions just before this one is entered.
    player = recorded()
    server = serving(player)
    note = server._reception._made

    def note_while_draining(session):
        server._state = ServerState.DRAINING
        note(session)
        server._state = ServerState.SERVING

    server._reception._made = note_while_draining
    assert is_turned_away(server)
    assert eventually(lambda: len(server) == 0)
    assert player.journal.entries == []


def test_a_second_stop_cuts_the_drain_short(serving, client, in_thread):
    player = recorded()
    server = serving(player)
    stubborn = client(server)
    player.journal.wait(lambda entries: entries)
    running = in_thread(server.drain, 30.0)
    assert stubborn.receive_all() == []  # The server has begun, and waits for our FIN.
    server.stop()
    assert running.result() is False


def test_run_serves_until_stop_and_drains(serving, client, in_thread):
    player = recorded()
    server = Server(player, port=0)
    running = in_thread(server.run)
    one = client(server)
    one.send(1)
    player.journal.wait_for("packet", Packet(1))
    one.close()
    server.stop()
    assert running.result() is True
    assert server.state is ServerState.CLOSED


def test_run_says_that_somebody_was_reset(client, in_thread):
    player = recorded()
    server = Server(player, port=0, drain_timeout=0.1)
    running = in_thread(server.run)
    stubborn = client(server)
    player.journal.wait(lambda entries: entries)
    server.stop()
    assert running.result() is False
    stubborn.close()


def test_run_ends_when_somebody_else_has_closed_the_server(in_thread):
    server = Server(recorded(), port=0)
    running = in_thread(server.run)
    assert eventually(lambda: server.state is ServerState.SERVING)
    server.close()
    running.result()


def test_a_session_may_stop_the_server_but_not_wait_for_it(serving, client, in_thread):
    def on_packet(self, packet):
        try:
            self.server.drain()
        except RuntimeError as error:
            self.journal.add("refused", str(error))
        self.server.stop()

    player = recorded(on_packet=on_packet)
    server = Server(player, port=0, drain_timeout=0.1)
    running = in_thread(server.run)
    client(server).send(1)
    running.result()
    assert "call stop()" in player.journal.of("refused")[0]


def test_no_thread_is_left(serving):
    before = set(threading.enumerate())
    server = Server(recorded(), port=0, workers=7)
    server.start()
    assert len(threading.enumerate()) >= len(before) + 7
    server.close()
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("worker")] == []


def test_a_server_serves_once(serving):
    server = serving(recorded())
    with pytest.raises(RuntimeError, match="serves once"):
        server.start()


def test_serve_is_a_server_in_one_call(in_thread):
    ready = []
    came = threading.Event()

    def note(server):
        ready.append(server)
        came.set()

    running = in_thread(lambda: serve(recorded(), port=0, workers=1, ready=note))
    assert came.wait(LIMIT)
    ready[0].stop()
    assert running.result() is True
    assert ready[0].state is ServerState.CLOSED


PROGRAM = textwrap.dedent(
    """
    import proactor
    class Player(proactor.Session):
        framing = proactor.PacketFraming()
        def on_packet(self, packet):
            self.send(packet)
        def on_disconnected(self, reason):
            print(reason.name, flush=True)
    proactor.serve(
        Player, port=0, drain_timeout=DRAIN,
        ready=lambda server: print(server.address[1], flush=True),
    )
    print("ended", flush=True)
    """
)


class Address:
    def __init__(self, port):
        self.address = ("127.0.0.1", port)


@pytest.fixture
def program():
    """Return a function that starts the program in a process of its own."""
    with ExitStack() as stack:

        def start(drain):
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.replace("DRAIN", str(drain))],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process, Client(Address(int(process.stdout.readline())))

        yield start


needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_the_program(program, number):
    process, one = program(drain=20)
    one.send(1)
    assert one.receive() == Packet(1)
    process.send_signal(number)
    assert one.receive_all() == []
    one.close()

    out, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, errors) == (0, "DRAINING\nended\n", "")


@needs_signals
def test_a_second_signal_ends_it_at_once(program):
    process, stubborn = program(drain=60)
    stubborn.send(1)
    assert stubborn.receive() == Packet(1)
    process.send_signal(signal.SIGINT)
    assert stubborn.receive_all() == []
    process.send_signal(signal.SIGINT)

    out, errors = process.communicate(timeout=LIMIT)
    stubborn.close()
    assert (process.returncode, out, errors) == (0, "DRAINING\nended\n", "")
