"""The life of a session: each way to begin and to end, with exactly one pair of calls."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
import weakref

import pytest

from proactor import (
    DelimiterFraming,
    DisconnectReason,
    OverlappedSocket,
    Packet,
    Refusal,
    Server,
    ServerState,
    Session,
    SessionState,
    UnknownPacket,
    handles,
)
from tests.server.serving import Recorded, is_turned_away, recorded
from tests.support.sockets import plain_pair, read_exactly, read_to_end, reset, wait_readable
from tests.support.streams import eventually
from tests.support.system import has_gil, under_wine


def ends(player) -> DisconnectReason:
    """Wait for the end; return its reason. There was one beginning, and is one end."""
    journal = player.journal
    journal.wait(lambda entries: any(entry[0] == "disconnected" for entry in entries))
    assert len(journal.of("connected")) == 1
    [reason] = journal.of("disconnected")
    assert journal.entries[-1] == ("disconnected", reason)
    return reason


def nothing_is_left(server: Server) -> bool:
    return eventually(lambda: len(server) == 0)


def test_a_session_is_connected_first_and_disconnected_last(serving, client):
    player = recorded()
    server = serving(player)
    sender = client(server)
    for number in range(10):
        sender.send(number, bytes(number))
    sender.close()

    assert ends(player) is DisconnectReason.PEER_CLOSED
    assert [entry[0] for entry in player.journal.entries] == [
        "connected",
        *["packet"] * 10,
        "disconnected",
    ]
    assert player.journal.of("packet") == [Packet(number, bytes(number)) for number in range(10)]
    assert nothing_is_left(server)
    statistics = server.statistics()
    assert statistics.ended == {DisconnectReason.PEER_CLOSED: 1}
    assert (statistics.frames_received, statistics.bytes_received) == (10, 40 + 45)


def raising(self, *arguments):
    raise RuntimeError("broken on purpose")


def connected_and_raising(self):
    Recorded.on_connected(self)
    raise RuntimeError("broken on purpose")


def calling(method, *arguments):
    return lambda self, *_: getattr(self, method)(*arguments)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"on_packet": calling("close")}, DisconnectReason.CLOSED),
        ({"on_packet": calling("kick", "cheating")}, DisconnectReason.KICKED),
        ({"on_packet": calling("abort")}, DisconnectReason.ABORTED),
        ({"on_packet": raising}, DisconnectReason.HANDLER_ERROR),
        ({"on_connected": connected_and_raising}, DisconnectReason.HANDLER_ERROR),
    ],
    ids=["close", "kick", "abort", "raise", "raise at once"],
)
def test_each_way_to_end_a_session_from_inside_has_its_reason(serving, client, members, reason):
    player = recorded(**members)
    server = serving(player)
    ended = client(server)
    ended.send(1)

    assert ended.is_reset() == (reason is DisconnectReason.ABORTED) or under_wine()
    ended.close()
    assert ends(player) is reason
    assert player.made[0].state is SessionState.CLOSED
    assert nothing_is_left(server)


def test_a_reset_of_the_peer_is_told_as_one(serving, client):
    player = recorded()
    server = serving(player)
    gone = client(server)
    player.journal.wait(lambda entries: entries)
    reset(gone.sock)

    assert ends(player) is DisconnectReason.RESET


def test_a_frame_that_breaks_the_protocol_ends_the_session_and_no_other(serving, client, caplog):
    caplog.set_level(logging.INFO, "proactor.server")
    player = recorded()
    server = serving(player)
    good, bad = client(server), client(server)
    player.journal.wait(lambda entries: len(entries) == 2)
    bad.sock.sendall(b"\x01\x00\x00\x00")  # A size that is smaller than its own header.

    player.journal.wait_for("disconnected", DisconnectReason.PROTOCOL_ERROR)
    good.send(3)
    player.journal.wait_for("packet", Packet(3))
    assert "the size says 1 bytes" in caplog.text
    assert eventually(lambda: len(server) == 1)


def test_what_came_before_the_breach_is_delivered(serving, client):
    player = recorded()
    server = serving(player)
    bad = client(server)
    bad.sock.sendall(b"\x04\x00\x07\x00" + b"\x01\x00\x00\x00")

    assert ends(player) is DisconnectReason.PROTOCOL_ERROR
    assert player.journal.of("packet") == [Packet(7)]


def test_an_error_in_a_handler_is_logged_with_the_session(serving, client, caplog):
    player = recorded(on_packet=raising)
    server = serving(player)
    ended = client(server)
    player.journal.wait(lambda entries: entries)
    other = client(server)
    ended.send(1)
    assert ended.receive_all() == []
    ended.close()
    player.journal.wait_for("disconnected", DisconnectReason.HANDLER_ERROR)

    [record] = [record for record in caplog.records if record.exc_info]
    assert f"{player.made[0].id:#x} 127.0.0.1:" in record.getMessage()
    assert record.exc_info[0] is RuntimeError
    assert server.statistics().handler_errors == 1
    assert other.sock.fileno() > 0 and eventually(lambda: len(server) == 1)


def test_an_error_in_on_disconnected_is_logged_and_the_session_still_ends(serving, client, caplog):
    player = recorded(on_disconnected=raising)
    server = serving(player)
    client(server).close()

    assert eventually(lambda: "on_disconnected raised" in caplog.text)
    assert nothing_is_left(server)


def test_the_first_reason_counts(serving, client):
    def on_packet(self, packet):
        self.kick("first")
        self.close()
        self.abort()

    player = recorded(on_packet=on_packet)
    server = serving(player)
    client(server).send(1)

    assert ends(player) is DisconnectReason.KICKED


def test_nothing_is_delivered_after_close(serving, client):
    def on_packet(self, packet):
        self.journal.add("packet", packet)
        self.close()

    player = recorded(on_packet=on_packet)
    server = serving(player)
    sender = client(server)
    sender.sock.sendall(b"\x04\x00\x01\x00" * 50)

    assert sender.receive_all() == []
    sender.close()
    assert ends(player) is DisconnectReason.CLOSED
    assert player.journal.of("packet") == [Packet(1)]


def test_what_is_queued_before_a_polite_close_arrives(serving, client):
    def on_connected(self):
        Recorded.on_connected(self)
        for number in range(100):
            self.send(Packet(number, bytes(1000)))
        self.kick()

    player = recorded(on_connected=on_connected)
    server = serving(player)
    leaving = client(server)

    assert [packet.id for packet in leaving.receive_all()] == list(range(100))
    leaving.close()
    assert ends(player) is DisconnectReason.KICKED


def test_a_peer_that_does_not_close_is_reset_after_the_close_timeout(serving, client):
    player = recorded(on_packet=calling("close"))
    server = serving(player, close_timeout=0.05)
    stubborn = client(server)
    stubborn.send(1)

    assert stubborn.receive_all() == []
    assert ends(player) is DisconnectReason.CLOSED
    assert nothing_is_left(server)


def test_a_peer_that_has_sent_all_still_gets_its_answers(serving, client):
    def on_packet(self, packet):
        self.send(packet)

    player = recorded(on_packet=on_packet)
    server = serving(player)
    half = client(server)
    for number in range(20):
        half.send(number)
    half.sock.shutdown(socket.SHUT_WR)

    assert [packet.id for packet in half.receive_all()] == list(range(20))
    assert ends(player) is DisconnectReason.PEER_CLOSED


def test_a_session_that_cannot_be_made_is_let_go_and_counted(serving, client, caplog):
    server = serving(recorded(__init__=raising), max_sessions=1)

    assert is_turned_away(server)
    assert is_turned_away(server)  # Its place is free.
    assert "Player() raised" in caplog.text
    assert eventually(lambda: server.statistics().refused == {Refusal.BROKEN: 2})


def test_a_session_that_ends_before_its_first_turn_is_never_heard_of(serving, client):
    # Method: as when the server drains between the accept and the first turn.
    player = recorded()
    server = serving(player, max_sessions=1)
    note = server._reception._made

    def note_and_abort(session):
        note(session)
        session.abort()

    server._reception._made = note_and_abort
    assert is_turned_away(server)
    assert nothing_is_left(server)
    server._reception._made = note
    one = client(server)  # Its place is free.
    one.send(1)
    player.journal.wait_for("packet", Packet(1))
    assert [entry[0] for entry in player.journal.entries] == ["connected", "packet"]


def test_ids_are_never_used_again(serving, client):
    player = recorded()
    server = serving(player)
    seen = set()
    for count in range(1, 6):
        sender = client(server)
        player.journal.wait(lambda entries, count=count: len(player.made) == count)
        session = player.made[-1]
        seen.add(session.id)
        assert server.find(session.id) is session
        sender.close()
        assert nothing_is_left(server)
        assert server.find(session.id) is None
    assert len(seen) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="a reset socket still knows its peer there")
def test_one_that_was_reset_while_it_was_admitted_ends_as_every_session(serving, monkeypatch):
    # Goal: whose address the stream could not ask for any more is counted out where it was counted
    # in. Method: a connection that is reset already, and a socket that tells the address it had.
    player = recorded()
    server = serving(player, max_per_address=1)
    accepted, peer = plain_pair()
    ours = OverlappedSocket.adopt(accepted)
    reset(peer)
    wait_readable(ours)
    monkeypatch.setattr(OverlappedSocket, "getpeername", lambda _: ("192.0.2.9", 9))

    server._reception.admit(ours)

    player.journal.wait(lambda entries: [entry for entry in entries if entry[0] == "disconnected"])
    assert eventually(lambda: len(server) == 0)
    assert server.statistics().handler_errors == 0


def test_a_session_knows_its_peer_its_server_and_its_state(serving, client):
    player = recorded()
    server = serving(player)
    one = client(server)
    player.journal.wait(lambda entries: entries)
    [session] = server.sessions()

    assert session.peer == one.sock.getsockname()
    assert session.server is server
    assert session.state is SessionState.OPEN
    assert session.statistics().frames_received == 0
    session.anything = 1  # A free attribute.
    assert f"{session.id:#x}" in repr(session)


def test_raw_bytes_go_to_on_received(serving, client):
    class Echo(Session):
        def on_received(self, received):
            self.send(received)

    one = client(serving(Echo))
    one.sock.sendall(b"as they come")
    assert read_exactly(one.sock, 12) == b"as they come"


def test_raw_bytes_go_to_on_packet_if_there_is_no_on_received(serving, client):
    class Echo(Session):
        def on_packet(self, received):
            self.send(received)

    one = client(serving(Echo))
    one.sock.sendall(b"as they come")
    assert read_exactly(one.sock, 12) == b"as they come"


def test_a_framing_that_is_set_later_is_heeded(serving, client):
    class Lines(Session):
        def on_packet(self, line):
            self.send(line.upper())

        def on_received(self, received):
            raise AssertionError("not raw")

    Lines.framing = DelimiterFraming(b"\n")
    one = client(serving(Lines))
    one.sock.sendall(b"one\ntwo\n")
    one.sock.shutdown(socket.SHUT_WR)
    assert read_to_end(one.sock) == b"ONE\nTWO\n"


class Handling(Recorded):
    @handles(1, 2)
    def greeted(self, packet):
        self.journal.add("greeted", packet.id)


def test_packets_go_to_the_handlers_of_their_ids(serving, client):
    player = recorded(Handling)
    server = serving(player)
    one = client(server)
    for number in (1, 2, 3):
        one.send(number)
    one.close()

    assert ends(player) is DisconnectReason.PEER_CLOSED
    assert player.journal.of("greeted") == [1, 2]
    assert server.statistics().unknown_packets == 1


def test_an_unknown_packet_closes_the_session_if_its_class_says_so(serving, client):
    player = recorded(Handling, unknown_packet=UnknownPacket.CLOSE)
    server = serving(player)
    one = client(server)
    one.send(3)

    assert one.receive_all() == []
    one.close()
    assert ends(player) is DisconnectReason.UNKNOWN_PACKET


def test_handlers_by_id_need_a_framing_with_ids():
    class Raw(Session):
        @handles(1)
        def one(self, packet): ...

    with pytest.raises(TypeError, match="RawFraming, which knows no packets"):
        Server(Raw, port=0)


def test_a_paused_session_gets_nothing_until_it_goes_on(serving, client):
    def on_packet(self, packet):
        self.journal.add("packet", packet)
        if packet.id == 0:
            self.pause()

    player = recorded(on_packet=on_packet)
    server = serving(player)
    one = client(server)
    for number in range(3):
        one.send(number)
    player.journal.wait_for("packet", Packet(0))
    [session] = server.sessions()
    ran = []
    assert session.post(ran.append, 1)  # Posted calls go on.
    assert eventually(lambda: ran == [1])
    assert player.journal.of("packet") == [Packet(0)]

    session.resume()
    player.journal.wait_for("packet", Packet(2))


def test_a_session_that_has_ended_takes_nothing_more(serving, client):
    player = recorded()
    server = serving(player)
    client(server).close()
    ends(player)
    [session] = player.made

    assert not session.post(raising)
    assert not session.send(Packet(1))
    assert not session.send_frame(b"\x04\x00\x01\x00")
    timer = session.call_later(0, raising)
    assert timer.is_cancelled
    session.close()
    session.kick()
    session.abort()
    assert player.journal.of("disconnected") == [DisconnectReason.PEER_CLOSED]


def test_closing_the_server_resets_its_sessions_and_ends_each_once(serving, client):
    player = recorded()
    server = serving(player)
    clients = [client(server) for _ in range(5)]
    player.journal.wait(lambda entries: len(entries) == 5)
    server.close()

    assert player.journal.of("disconnected") == [DisconnectReason.DRAINING] * 5
    assert all(one.is_reset() for one in clients)
    assert server.state is ServerState.CLOSED
    server.close()


def test_a_server_that_was_never_started_can_be_closed():
    server = Server(recorded(), port=0)
    server.close()
    with pytest.raises(RuntimeError, match="serves once, and this is closed"):
        server.start()


def test_an_address_in_use_is_refused_with_its_name(serving):
    server = serving(recorded())
    with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{server.address[1]}"):
        Server(recorded(), port=server.address[1])


@pytest.mark.parametrize("options", [{}, {"packets_per_second": 10, "idle_timeout": 60}])
def test_an_ended_session_goes_with_its_last_reference(serving, client, options):
    # Goal: thousands of sessions come and go; none may wait for the garbage collector.
    seen, ended = [], threading.Event()

    class Short(Session):
        def on_connected(self):
            seen.append(weakref.ref(self))
            self.call_later(60, self.close)

        def on_received(self, received):
            self.send(received)

        def on_disconnected(self, reason):
            ended.set()

    server = serving(Short, **options)

    def come_and_go():
        one = client(server)
        one.sock.sendall(b"x")
        assert read_exactly(one.sock, 1) == b"x"
        one.close()

    def is_gone():
        if not has_gil():
            come_and_go()  # What another thread let go of goes when the one that made it runs.
        return seen[0]() is None

    gc.disable()
    try:
        come_and_go()
        assert ended.wait(5)
        assert eventually(is_gone)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["received", "told", "ended", "failed"])
def test_a_name_by_which_the_stream_calls_its_session_is_refused(name):
    with pytest.raises(TypeError, match=rf"Player.{name}: .* choose another name"):
        type("Player", (Session,), {name: 0})
