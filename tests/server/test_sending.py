"""The send queue of a session: what each policy does against a reader that never reads."""

from __future__ import annotations

import threading

import pytest

from proactor import (
    DisconnectReason,
    Group,
    Packet,
    RawFraming,
    Session,
    SlowConsumer,
    StreamLimits,
)
from tests.server.serving import FRAMING, Recorded, recorded
from tests.support.streams import eventually

BODY = bytes(8000)
LIMITS = StreamLimits(
    send_high=64_000, send_low=16_000, send_bytes=256_000, inbox_high=256_000, inbox_low=64_000
)


class Slow(Recorded):
    limits = LIMITS

    def on_backpressure(self):
        self.journal.add("backpressure", self.queued_bytes)

    def on_drained(self):
        self.journal.add("drained", self.queued_bytes)


@pytest.fixture
def slow(serving, client):
    """Return a function that starts a server with a policy and a client that does not read."""

    def start(policy, **options):
        player = recorded(Slow, slow_consumer=policy)
        server = serving(player, **options)
        reader = client(server, receive_buffer=4096)
        player.journal.wait(lambda entries: entries)
        return server, player.made[0], reader

    return start


def flood(session, count=600):
    """Send more than the kernel and the queue take; return what `send` said of each packet."""
    said = []
    for number in range(count):
        said.append(session.send(Packet(number, BODY)))
        assert session.queued_bytes <= LIMITS.send_bytes
    return said


def test_a_slow_consumer_is_reset_by_default(slow):
    _, session, reader = slow(SlowConsumer.CLOSE)
    said = flood(session)

    assert said[0] and not said[-1]
    assert said == sorted(said, reverse=True)
    session.journal.wait_for("disconnected", DisconnectReason.SLOW_CONSUMER)
    assert reader.is_reset()
    assert Slow.slow_consumer is SlowConsumer.CLOSE


def test_refusing_leaves_it_to_the_sender(slow):
    server, session, reader = slow(SlowConsumer.REFUSE)
    said = flood(session)
    session.close()

    arrived = [packet.id for packet in reader.receive_all()]
    assert arrived == [number for number, is_queued in enumerate(said) if is_queued]
    assert False in said
    assert server.statistics().refused_packets == said.count(False)
    assert server.statistics().dropped == 0


def test_dropping_the_newest_keeps_what_was_there_first(slow):
    server, session, reader = slow(SlowConsumer.DROP_NEWEST)
    said = flood(session)
    session.close()

    arrived = [packet.id for packet in reader.receive_all()]
    assert arrived == [number for number, is_queued in enumerate(said) if is_queued]
    assert server.statistics().dropped == said.count(False) > 0


def test_dropping_the_oldest_keeps_what_came_last(slow):
    server, session, reader = slow(SlowConsumer.DROP_OLDEST)
    said = flood(session)
    assert all(said)
    session.close()

    arrived = [packet.id for packet in reader.receive_all()]
    assert arrived == sorted(arrived)
    assert arrived[-20:] == list(range(580, 600))
    dropped = server.statistics().dropped
    assert dropped == 600 - len(arrived) > 0


def test_the_latest_of_each_id_is_kept(slow):
    server, session, reader = slow(SlowConsumer.LATEST)
    for turn in range(200):
        for state in range(5):
            assert session.send(Packet(state, turn.to_bytes(2, "little") + BODY))
    assert session.queued_packets <= 5 + 2  # Of a packet that is leaving none is replaced.
    session.close()

    arrived = [
        (packet.id, int.from_bytes(packet.body[:2], "little")) for packet in reader.receive_all()
    ]
    assert sorted(arrived[-5:]) == [(state, 199) for state in range(5)]
    for state in range(5):
        turns = [turn for id, turn in arrived if id == state]
        assert turns == sorted(turns)
    statistics = server.statistics()
    assert statistics.replaced == 1000 - len(arrived) > 0
    assert statistics.dropped == 0


def test_what_a_state_is_can_be_said_by_the_class(serving, client):
    class Units(Slow):
        slow_consumer = SlowConsumer.LATEST

        def key_of(self, item):
            return item.id, item.body[0]  # The number of a unit stands first.

    player = recorded(Units)
    server = serving(player)
    reader = client(server, receive_buffer=4096)
    player.journal.wait(lambda entries: entries)
    session, group = player.made[0], Group()
    group.add(session)
    for turn in range(150):
        for unit in range(4):
            news = Packet(1, bytes([unit, turn]) + BODY)
            session.send(news) if turn % 2 else group.broadcast(news)
    assert session.queued_packets <= 4 + 2
    session.close()

    arrived = [tuple(packet.body[:2]) for packet in reader.receive_all()]
    assert sorted(arrived[-4:]) == [(unit, 149) for unit in range(4)]
    assert server.statistics().replaced == 600 - len(arrived) > 0


def test_with_too_many_states_the_oldest_go(slow):
    server, session, reader = slow(SlowConsumer.LATEST)
    assert all(flood(session))
    session.close()

    arrived = [packet.id for packet in reader.receive_all()]
    assert arrived[-20:] == list(range(580, 600))
    assert server.statistics().dropped == 600 - len(arrived) > 0


def test_a_key_replaces_in_place_whatever_the_policy(slow):
    _, session, reader = slow(SlowConsumer.REFUSE)
    while session.queued_packets < 10:
        session.send(Packet(0, BODY))
    session.send(Packet(1, b"old"), key="score")
    session.send(Packet(2))
    session.send(Packet(3, b"new"), key="score")
    session.close()

    assert reader.receive_all()[-2:] == [Packet(3, b"new"), Packet(2)]


def test_high_water_is_told_once_while_nothing_is_read(slow):
    _, session, _ = slow(SlowConsumer.REFUSE)
    flood(session)
    session.journal.wait(lambda entries: session.journal.of("backpressure"))
    turns = threading.Event()
    session.post(turns.set)  # Behind what a second news would have come with.
    assert turns.wait(5)

    [above] = session.journal.of("backpressure")
    assert above > LIMITS.send_high
    assert session.journal.of("drained") == []


def test_a_queue_that_has_drained_takes_packets_again(slow):
    _, session, reader = slow(SlowConsumer.REFUSE)
    said = flood(session)
    arrived = reader.receive_ids(said.count(True))
    assert len(arrived) == said.count(True)
    session.journal.wait(lambda entries: session.journal.of("drained"))

    assert session.send(Packet(7))
    assert reader.receive() == Packet(7)
    assert session.journal.of("drained")[0] <= LIMITS.send_low


def test_a_ready_frame_is_sent_as_it_is_and_obeys_the_policy(slow):
    _, session, reader = slow(SlowConsumer.DROP_OLDEST)
    for number in range(600):
        assert session.send_frame(FRAMING.encode(Packet(number, BODY)))
    session.close()
    assert reader.receive_all()[-1].id == 599


def test_what_a_turn_sends_is_gathered(serving, client):
    # Method: the packets of one turn leave together; the counter of sends is the kernel's affair,
    # so the order and the count are what is looked at here.
    class Burst(Recorded):
        def on_packet(self, packet):
            for number in range(100):
                self.send(Packet(number))

    player = recorded(Burst)
    one = client(serving(player))
    one.send(1)
    assert one.receive_ids(100) == list(range(100))


def test_an_item_that_fits_no_frame_is_the_senders_error(slow):
    _, session, reader = slow(SlowConsumer.REFUSE)
    with pytest.raises(ValueError, match="max_frame"):
        session.send(Packet(1, bytes(70_000)))
    with pytest.raises(TypeError, match="give a Packet"):
        session.send(b"no packet")
    assert session.send(Packet(2))
    assert reader.receive() == Packet(2)


@pytest.mark.windows_differs("the system takes much more than a peer reads")
def test_many_short_queues_are_too_long_together(serving, client):
    # Method: no queue is above its own high water, and all of them are above the budget.
    player = recorded(Slow, slow_consumer=SlowConsumer.REFUSE)
    server = serving(player, max_queued_bytes=150_000)
    readers = [client(server, receive_buffer=4096) for _ in range(5)]
    player.journal.wait(lambda entries: len(player.made) == 5)
    for session in player.made:
        while session.queued_bytes < 50_000:
            session.send(Packet(1, bytes(4000)))

    assert eventually(lambda: len(server) < len(readers))
    assert eventually(lambda: server.statistics().queued_bytes <= 150_000)
    assert 0 < len(server) < len(readers)  # How much the kernel takes of each is its own affair.
    assert player.journal.of("backpressure") == []


@pytest.mark.windows_differs("the system takes much more than a peer reads")
def test_the_longest_queues_are_cut_when_all_together_are_too_long(serving, client):
    player = recorded(Slow, slow_consumer=SlowConsumer.REFUSE)
    server = serving(player, max_queued_bytes=300_000)
    readers = [client(server, receive_buffer=4096) for _ in range(3)]
    player.journal.wait(lambda entries: len(player.made) == 3)
    longest, *others = player.made
    flood(longest)
    for session in others:
        while session.queued_bytes < 100_000:
            session.send(Packet(1, BODY))

    player.journal.wait_for("disconnected", DisconnectReason.SLOW_CONSUMER)
    assert eventually(lambda: len(server) == 2)
    assert set(server.sessions()) == set(others)
    assert len(readers) == 3


def test_bytes_are_framed_by_the_session(serving, client):
    class Raw(Session):
        framing = RawFraming()

        def on_received(self, received):
            self.send(b"<" + received + b">")

    one = client(serving(Raw))
    one.sock.sendall(b"x")
    assert one.sock.recv(10) == b"<x>"
