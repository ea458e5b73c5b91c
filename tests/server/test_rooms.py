"""Rooms: serial on any worker, in the order of the mailbox; ticks, moves, caps."""

from __future__ import annotations

import threading
import time

import pytest

from proactor import (
    DisconnectReason,
    LengthFraming,
    Packet,
    Room,
    UnknownPacket,
    handles,
)
from tests.server.serving import Journal, Recorded, recorded
from tests.support.streams import eventually


class Telling(Room):
    """Writes what happens into a journal."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.journal = Journal()

    def on_join(self, session):
        self.journal.add("join", session)

    def on_leave(self, session):
        self.journal.add("leave", session)

    def on_packet(self, session, packet):
        self.journal.add("packet", packet.id)

    def on_dispose(self):
        self.journal.add("dispose", None)


class Member(Recorded):
    """Forwards its packets to its room."""

    def on_packet(self, packet):
        if self.room is not None:  # It may have left by now.
            self.room.deliver(self, packet)


@pytest.fixture
def members(serving, client):
    """Return a function that gives so many sessions of one server, and their clients."""

    def gather(count, **options):
        player = recorded(Member)
        server = serving(player, workers=5, **options)
        clients = []
        for number in range(1, count + 1):
            clients.append(client(server))
            player.journal.wait(lambda entries, number=number: len(player.made) == number)
        return server, player.made, clients

    return gather


def settle(room):
    """Wait until everything that is in the mailbox now has run."""
    done = threading.Event()
    assert room.post(done.set)
    assert done.wait(5)


def test_a_member_is_told_of_in_the_order_join_packets_leave(members):
    _, [session], [one] = members(1)
    room = Telling()
    assert room.join(session)
    for number in range(5):
        one.send(number)
    room.journal.wait_for("packet", 4)
    room.leave(session)
    settle(room)

    assert room.journal.entries == [
        ("join", session),
        *(("packet", number) for number in range(5)),
        ("leave", session),
    ]
    assert session.room is None and len(room) == 0


def test_joining_and_leaving_twice_does_nothing(members):
    _, [session], _ = members(1)
    room = Telling()
    assert room.join(session) and room.join(session)
    settle(room)
    assert list(room) == [session] and session in room
    room.leave(session)
    room.leave(session)
    settle(room)
    assert room.journal.entries == [("join", session), ("leave", session)]


def test_a_session_that_ends_leaves_its_rooms_after_its_last_packet(members):
    _, [session], [one] = members(1)
    first, second = Telling("first"), Telling("second")
    first.join(session)
    second.join(session)
    one.send(7)
    one.close()
    second.journal.wait_for("leave", session)
    first.journal.wait_for("leave", session)

    assert second.journal.entries == [("join", session), ("packet", 7), ("leave", session)]
    assert first.journal.entries == [("join", session), ("leave", session)]
    assert not second.join(session)  # Too late.


def test_broadcasts_are_in_order_with_joins_and_leaves(members):
    # Goal: a session gets what was posted after its join and before its leave, no more, no less.
    _, sessions, clients = members(2)
    room = Telling()
    room.join(sessions[0])
    room.broadcast(Packet(1))
    room.join(sessions[1])
    room.broadcast(Packet(2))
    room.leave(sessions[1])
    room.broadcast(Packet(3))
    room.broadcast(Packet(4), exclude=sessions[0])
    settle(room)
    for session in sessions:
        session.send(Packet(9))

    assert clients[0].receive_ids(4) == [1, 2, 3, 9]
    assert clients[1].receive_ids(2) == [2, 9]


def test_a_room_is_never_run_by_two_workers_at_once(members):
    # Method: 5 workers, 8 clients that all talk; a handler that would meet itself sees it.
    class Exclusive(Telling):
        inside = 0
        met = 0
        count = 0

        def on_packet(self, session, packet):
            self.inside += 1
            self.met += self.inside - 1
            seen = self.count
            time.sleep(0.0002)  # Another worker would come in here.
            self.count = seen + 1
            self.inside -= 1

    _, sessions, clients = members(8)
    room = Exclusive()
    for session in sessions:
        room.join(session)
    for _ in range(50):
        for one in clients:
            one.send(1)

    assert eventually(lambda: room.count == 400)
    assert room.met == 0


def test_each_members_packets_stay_in_order(members):
    class Ordered(Telling):
        def on_packet(self, session, packet):
            self.journal.add(session, packet.id)

    _, sessions, clients = members(4)
    room = Ordered()
    for session in sessions:
        room.join(session)
    for number in range(200):
        for one in clients:
            one.send(number)
    room.journal.wait(lambda entries: len(entries) == 4 + 800)

    for session in sessions:
        ids = [entry[1] for entry in room.journal.entries if entry[0] is session]
        assert ids == list(range(200))


def test_two_rooms_run_side_by_side(members):
    # Method: each waits for the other inside its turn; one worker alone would never get through.
    server, _, _ = members(1)
    rooms = Room("left"), Room("right")
    meeting = threading.Barrier(2)
    met = []
    for room in rooms:
        server.add_room(room)
        room.post(lambda: met.append(meeting.wait(5)))

    assert eventually(lambda: sorted(met) == [0, 1])


def test_calls_of_the_rooms_own_turn_happen_at_once(members):
    _, [session], [one] = members(1)
    room = Telling()
    order = []

    def in_turn():
        room.join(session)
        order.append(list(room))
        room.broadcast(Packet(5))
        room.leave(session)
        order.append(list(room))

    room.post(in_turn)
    room.post(order.append, "later")
    session.server.add_room(room)

    assert one.receive() == Packet(5)
    assert eventually(lambda: order == [[session], [], "later"])


def test_a_mailbox_waits_for_a_server_and_then_runs(members):
    server, _, _ = members(1)
    room = Room()
    ran = []
    assert room.post(ran.append, 1)
    assert ran == []
    server.add_room(room)
    assert eventually(lambda: ran == [1])


def test_a_full_mailbox_refuses_calls(members):
    room = Room(mailbox=3)
    assert [room.post(print) for _ in range(4)] == [True, True, True, False]


def test_members_of_a_busy_room_are_paused_and_lose_nothing(members):
    # Goal: a room that is slow does not gather packets without bound: TCP makes the clients wait.
    _, [session], [one] = members(1)
    gate = threading.Event()
    room = Telling(mailbox=100)
    room.join(session)
    settle(room)
    room.post(gate.wait, 10)
    sender = threading.Thread(
        target=lambda: [one.send(number % 1000) for number in range(2000)], daemon=True
    )
    sender.start()
    assert eventually(lambda: session in room._paused)
    assert len(room._mailbox) <= 100
    gate.set()

    room.journal.wait(lambda entries: len(room.journal.of("packet")) == 2000)
    assert room.journal.of("packet") == [number % 1000 for number in range(2000)]
    sender.join(5)


def test_a_room_that_is_full_refuses(members):
    _, sessions, _ = members(3)
    room = Room(max_members=2)
    assert [room.join(session) for session in sessions] == [True, True, False]
    assert sessions[2].room is None
    room.leave(sessions[0])
    assert room.join(sessions[2])


def test_a_move_is_a_leave_here_and_then_a_join_there(members):
    _, [session], [one] = members(1)
    here, there = Telling("here"), Telling("there")
    there.journal = here.journal  # One for both, to see the order.
    here.join(session)
    for number in range(50):
        one.send(number)
        if number == 20:
            here.journal.wait_for("packet", 10)
            assert here.move(session, there)
            assert not here.move(session, there)
    here.journal.wait_for("packet", 49)

    assert here.journal.of("packet") == list(range(50))
    kinds = [entry[0] for entry in here.journal.entries if entry[0] != "packet"]
    assert kinds == ["join", "leave", "join"]
    assert session.room is there and list(there) == [session] and list(here) == []


def test_many_moves_lose_and_reorder_nothing(members):
    _, sessions, clients = members(4)
    rooms = [Telling(str(number)) for number in range(3)]
    journal = Journal()
    for room in rooms:
        room.on_packet = lambda session, packet: journal.add(session, packet.id)
    for session in sessions:
        rooms[0].join(session)
    for number in range(300):
        for one, session in zip(clients, sessions, strict=True):
            one.send(number)
            if number % 7 == 0:
                here = session.room
                here.move(session, rooms[(rooms.index(here) + 1) % 3])
    journal.wait(lambda entries: len(entries) == 1200)

    for session in sessions:
        ids = [entry[1] for entry in journal.entries if entry[0] is session]
        assert ids == list(range(300))
    for room in rooms:
        settle(room)
    whole = [entry for room in rooms for entry in room.journal.entries]
    joins = sum(entry[0] == "join" for entry in whole)
    assert joins == sum(entry[0] == "leave" for entry in whole) + 4


def test_what_waits_for_a_mover_is_bounded_too(members):
    # Goal: the old room hangs, and the mover floods the new one, where it has not arrived yet.
    _, [session], [one] = members(1)
    gate = threading.Event()
    here, there = Telling("here"), Telling("there", mailbox=100)
    here.join(session)
    settle(here)
    here.post(gate.wait, 60)
    assert here.move(session, there)
    # More than the system's buffers take, so that a client that is not paused sends on.
    sender = threading.Thread(
        target=lambda: [one.send(number % 1000, bytes(500)) for number in range(4000)], daemon=True
    )
    sender.start()
    # Held back, and expected: the mailbox that is full may not have come to that yet.
    assert eventually(lambda: session in there._paused and session in there._arriving)
    waiting = there._arriving[session]
    assert len(waiting) < 50 + 2 * session.limits.frames_a_turn
    gate.set()

    there.journal.wait(lambda entries: len(there.journal.of("packet")) == 4000, 10)
    assert there.journal.of("packet") == [number % 1000 for number in range(4000)]
    sender.join(5)


def test_a_session_may_move_on_and_back_before_it_has_arrived(members):
    # Method: both rooms are held; what happens meanwhile is only in their mailboxes.
    _, [session], _ = members(1)
    gate = threading.Event()
    here, there = Telling("here"), Telling("there")
    there.journal = here.journal
    here.join(session)
    session.server.add_room(there)
    settle(here)
    for room in (here, there):
        room.post(gate.wait, 10)
    here.deliver(session, Packet(1))
    assert here.move(session, there)
    there.deliver(session, Packet(2))
    assert there.move(session, here)
    here.deliver(session, Packet(3))
    assert here.move(session, there)
    there.deliver(session, Packet(4))
    here.deliver(session, Packet(5))  # It finds the session where it is.
    gate.set()
    here.journal.wait_for("packet", 5)

    shown = [entry if entry[0] == "packet" else entry[0] for entry in here.journal.entries]
    assert shown == [
        "join",
        ("packet", 1),
        *("leave", "join", ("packet", 2)),
        *("leave", "join", ("packet", 3)),
        *("leave", "join", ("packet", 4), ("packet", 5)),
    ]
    assert list(there) == [session] and list(here) == []


def test_a_move_into_a_full_room_changes_nothing(members):
    _, sessions, _ = members(2)
    here, there = Room("here"), Room("there", max_members=1)
    here.join(sessions[0])
    there.join(sessions[1])
    assert not here.move(sessions[0], there)
    settle(here)
    assert sessions[0].room is here and sessions[0] in here


def test_a_session_that_ends_on_its_way_arrives_and_leaves(members):
    _, [session], [one] = members(1)
    here, there = Telling("here"), Telling("there")
    here.join(session)
    gate = threading.Event()
    here.post(gate.wait, 5)
    assert here.move(session, there)
    one.close()
    session.journal.wait_for("disconnected", DisconnectReason.PEER_CLOSED)
    gate.set()
    settle(here)
    settle(there)

    assert here.journal.entries == [("join", session), ("leave", session)]
    assert there.journal.entries == [("join", session), ("leave", session)]
    assert len(there._places) == len(there) == 0


def raising(*arguments):
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize("method", ["on_join", "on_packet", "on_leave"])
def test_an_error_about_a_session_closes_that_one_and_the_room_goes_on(members, caplog, method):
    server, sessions, clients = members(2)
    room = Telling()
    setattr(room, method, lambda session, *rest: session is sessions[0] and raising())
    for session in sessions:
        room.join(session)
    for one in clients:
        one.send(1)
    if method == "on_leave":
        room.leave(sessions[0])

    assert clients[0].receive_all() == []
    clients[0].close()
    sessions[0].journal.wait_for("disconnected", DisconnectReason.HANDLER_ERROR)
    assert eventually(lambda: list(room) == [sessions[1]])
    assert "broken on purpose" in caplog.text and f"{sessions[0].id:#x}" in caplog.text
    assert server.statistics().handler_errors == 1


def test_an_error_in_a_posted_call_is_logged_and_the_room_goes_on(members, caplog):
    server, _, _ = members(0)
    room = Telling()
    server.add_room(room)
    room.post(raising)
    settle(room)
    assert "broken on purpose" in caplog.text


def test_an_error_in_on_dispose_is_logged_and_the_room_is_over(members, caplog):
    server, _, _ = members(0)
    room = Telling()
    room.on_dispose = raising
    server.add_room(room)
    room.dispose()
    assert eventually(lambda: server.statistics().rooms == 0)
    assert "on_dispose raised" in caplog.text


class Arena(Telling):
    unknown_packet = UnknownPacket.CLOSE

    @handles(1, 2)
    def on_move(self, session, packet):
        self.journal.add("move", packet.id)


def test_a_room_has_handlers_by_id_too(members):
    server, [session], [one] = members(1)
    room = Arena()
    room.join(session)
    for number in (1, 2, 3):
        one.send(number)
    assert one.receive_all() == []
    one.close()
    session.journal.wait_for("disconnected", DisconnectReason.UNKNOWN_PACKET)

    assert room.journal.of("move") == [1, 2]
    assert server.statistics().unknown_packets == 1


def test_without_an_override_a_session_hands_its_packets_to_its_room(serving, client):
    class Plain(Recorded):
        on_packet = Recorded.__mro__[1].on_packet

    player = recorded(Plain)
    one = client(serving(player))
    player.journal.wait(lambda entries: entries)
    room = Telling()
    room.join(player.made[0])
    one.send(3)
    room.journal.wait_for("packet", 3)


def test_a_room_ticks_with_its_fixed_step(members):
    class Ticking(Telling):
        def on_tick(self, step):
            self.journal.add("tick", (step, time.monotonic()))

    server, _, _ = members(1)
    room = Ticking(tick=0.02)
    began = time.monotonic()
    server.add_room(room)
    room.journal.wait(lambda entries: len(entries) >= 10)
    server.close()

    steps = room.journal.of("tick")
    assert {step for step, _ in steps} == {0.02}
    assert steps[9][1] - began >= 0.02 * 9  # The first may be late, and the others are not for it.
    statistics = room.tick_statistics()
    assert statistics.ticks == len(steps)
    assert statistics.latest >= statistics.lateness >= 0


def test_a_tick_comes_in_time_although_others_are_busy(members):
    # Method: every worker but one sits in a handler that never comes back.
    server, _, _ = members(1)
    gate = threading.Event()
    busy = [Room(str(number)) for number in range(4)]
    for room in busy:
        server.add_room(room)
        room.post(gate.wait, 10)

    class Ticking(Telling):
        def on_tick(self, step):
            self.journal.add("tick", step)

    room = Ticking(tick=0.01)
    server.add_room(room)
    room.journal.wait(lambda entries: len(entries) >= 5)
    gate.set()


def test_missed_ticks_are_caught_up_to_a_limit_and_counted(members):
    class Stuck(Telling):
        catch_up = 3

        def on_tick(self, step):
            self.journal.add("tick", step)

    server, _, _ = members(1)
    room = Stuck(tick=0.01)
    server.add_room(room)
    room.post(time.sleep, 0.2)
    settle(room)
    assert eventually(lambda: room.tick_statistics().skipped >= 10)
    assert room.tick_statistics().latest < 0.2


def test_a_room_whose_ticks_take_too_long_still_does_the_rest(members):
    class Slow(Telling):
        def on_tick(self, step):
            time.sleep(2 * step)

    server, _, _ = members(1)
    room = Slow(tick=0.01)
    server.add_room(room)
    settle(room)
    assert eventually(lambda: room.tick_statistics().overruns >= 5)
    settle(room)
    assert room.tick_statistics().skipped > 0


def test_an_error_in_on_tick_is_logged_and_the_ticks_go_on(members, caplog):
    class Broken(Telling):
        def on_tick(self, step):
            self.journal.add("tick", step)
            raise RuntimeError("broken on purpose")

    server, _, _ = members(1)
    room = Broken(tick=0.01)
    server.add_room(room)
    room.journal.wait(lambda entries: len(entries) >= 3)
    assert "on_tick raised" in caplog.text


def test_the_timers_of_a_room_run_in_its_turn_and_end_with_it(members):
    server, _, _ = members(1)
    room = Telling()
    every = []
    room.call_every(0.01, lambda: every.append(room._mailbox.is_mine))  # Before it has a server.
    server.add_room(room)
    once = threading.Event()
    room.call_later(0.01, once.set)
    never = room.call_later(0.01, raising)
    never.cancel()

    assert once.wait(5)
    assert eventually(lambda: len(every) >= 3)
    assert all(every)
    room.dispose()
    room.journal.wait_for("dispose", None)
    assert room.call_later(0, raising).is_cancelled


def test_a_room_that_is_disposed_lets_everybody_go_and_takes_nothing(members):
    server, sessions, _ = members(2)
    room = Telling()
    for session in sessions:
        room.join(session)
    assert server.statistics().rooms == 1
    room.dispose()
    room.dispose()
    room.journal.wait_for("dispose", None)

    assert [entry[0] for entry in room.journal.entries] == [
        "join",
        "join",
        "leave",
        "leave",
        "dispose",
    ]
    assert eventually(lambda: server.statistics().rooms == 0)
    assert not room.join(sessions[0]) and not room.post(print)
    assert len(server) == 2 and sessions[0].room is None
    room.broadcast(Packet(1))


def test_a_room_may_end_with_its_last_member(members):
    class Passing(Telling):
        dispose_when_empty = True

    _, sessions, _ = members(2)
    room, other = Passing(), Room()
    room.join(sessions[0])
    room.join(sessions[1])
    room.leave(sessions[0])
    settle(room)
    assert not room.is_disposed
    assert room.move(sessions[1], other)
    room.journal.wait_for("dispose", None)
    assert room.is_disposed and not room.join(sessions[0])
    assert sessions[1].room is other


def test_a_room_does_not_end_while_somebody_is_coming(members):
    # Goal: who has been promised a place is not thrown out because the last one left before.
    class Passing(Telling):
        dispose_when_empty = True

    _, sessions, _ = members(2)
    room = Passing()
    room.join(sessions[0])
    gate = threading.Event()
    room.post(gate.wait, 5)
    room.leave(sessions[0])
    assert room.join(sessions[1])
    gate.set()
    settle(room)
    assert not room.is_disposed and list(room) == [sessions[1]]


def test_an_empty_room_is_true(members):
    server, _, _ = members(0)
    assert Room() and server and len(Room()) == len(server) == 0


def test_rooms_end_with_their_server(members):
    server, [session], _ = members(1)
    room = Telling()
    room.join(session)
    server.close()

    assert [entry[0] for entry in room.journal.entries] == ["join", "leave", "dispose"]
    assert room.is_disposed


def test_a_room_without_a_server_is_disposed_at_once():
    room = Telling()
    room.dispose()
    assert room.journal.entries == [("dispose", None)]


def test_a_room_belongs_to_one_server_and_one_framing(members, serving, client):
    server, [session], _ = members(1)
    _, [stranger], _ = members(1)
    room = Room("meeting")
    room.join(session)
    with pytest.raises(ValueError, match="lives with another server"):
        room.join(stranger)

    player = recorded(framing=LengthFraming())
    client(serving(player))
    player.journal.wait(lambda entries: entries)
    with pytest.raises(ValueError, match="use a room for each"):
        room.join(player.made[0])
    server.close()
    with pytest.raises(ValueError, match="which has ended"):
        server.add_room(Room())


def test_a_room_says_what_it_is(members):
    _, [session], _ = members(1)
    room = Room("lobby")
    room.join(session)
    settle(room)
    assert repr(room) == "<Room 'lobby' 1 members>"
    assert room.members() == [session]
