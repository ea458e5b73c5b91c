"""Groups: one encode for all, and each member's own policy."""

from __future__ import annotations

import pytest

from proactor import (
    DisconnectReason,
    Group,
    LengthFraming,
    Packet,
    PacketFraming,
    SlowConsumer,
    StreamLimits,
)
from tests.server.serving import recorded
from tests.support.streams import eventually


@pytest.fixture
def crowd(serving, client):
    """Return a function that gives so many connected sessions, and their clients."""

    def gather(count, **members):
        player = recorded(**members)
        server = serving(player)
        clients = []
        for number in range(1, count + 1):
            clients.append(client(server, receive_buffer=4096))
            player.journal.wait(lambda entries, number=number: len(player.made) == number)
        return player.made, clients

    return gather


def test_every_member_but_the_excluded_one_gets_the_packet(crowd):
    sessions, clients = crowd(4)
    group = Group()
    for session in sessions[:3]:
        group.add(session)

    assert group.broadcast(Packet(1, b"hello"), exclude=sessions[0]) == []
    assert group.broadcast(Packet(2)) == []
    assert clients[0].receive() == Packet(2)
    for one in clients[1:3]:
        assert [one.receive(), one.receive()] == [Packet(1, b"hello"), Packet(2)]
    assert sessions[3].statistics().packets_sent == 0


def test_a_packet_is_encoded_once_for_all(crowd):
    encoded = []

    class Counting(PacketFraming):
        def encode(self, item, /):
            encoded.append(item)
            return super().encode(item)

    sessions, clients = crowd(5, framing=Counting())
    group = Group()
    for session in sessions:
        group.add(session)
    group.broadcast(Packet(9))

    assert [one.receive().id for one in clients] == [9] * 5
    assert encoded == [Packet(9)]


def test_members_come_once_and_leave_once(crowd):
    sessions, clients = crowd(2)
    group = Group()
    group.add(sessions[0])
    group.add(sessions[0])
    group.add(sessions[1])
    assert len(group) == 2 and list(group) == sessions and sessions[1] in group

    group.discard(sessions[1])
    group.discard(sessions[1])
    assert group.members() == [sessions[0]] and sessions[1] not in group
    group.broadcast(Packet(1))
    assert clients[0].receive() == Packet(1)


def test_an_empty_group_sends_to_nobody():
    assert Group().broadcast(Packet(1)) == []


def test_a_session_that_ends_leaves_by_itself(crowd):
    sessions, clients = crowd(2)
    group = Group()
    for session in sessions:
        group.add(session)
    clients[0].close()

    assert eventually(lambda: list(group) == [sessions[1]])
    group.add(sessions[0])  # Too late.
    assert list(group) == [sessions[1]]


def test_a_session_with_another_framing_is_refused(crowd):
    [one], _ = crowd(1)
    [other], _ = crowd(1, framing=LengthFraming())
    group = Group()
    group.add(one)
    with pytest.raises(ValueError, match="use a group for each framing"):
        group.add(other)


def test_a_session_of_another_server_is_refused(crowd):
    [one], _ = crowd(1)
    [other], _ = crowd(1)
    group = Group()
    group.add(one)
    with pytest.raises(ValueError, match="of another server"):
        group.add(other)


def test_an_equal_framing_is_the_same_framing(crowd):
    sessions, clients = crowd(1, framing=PacketFraming())
    group = Group()
    group.add(sessions[0])
    group.broadcast(Packet(1, b"", PacketFraming(1000)))
    assert clients[0].receive() == Packet(1)


def test_each_slow_member_is_treated_by_its_own_policy_and_delays_nobody(serving, client):
    # Method: four members, one of each kind, of which only the last reads.
    policies = [
        SlowConsumer.CLOSE,
        SlowConsumer.REFUSE,
        SlowConsumer.DROP_OLDEST,
        SlowConsumer.LATEST,
        SlowConsumer.CLOSE,
    ]

    def on_connected(self):
        self.slow_consumer = policies[len(self.made)]
        self.made.append(self)
        self.journal.add("connected", self)

    limits = StreamLimits(send_bytes=100_000, send_high=60_000, send_low=10_000)
    player = recorded(on_connected=on_connected, limits=limits)
    server = serving(player)
    clients = []
    for number in range(5):
        clients.append(client(server, receive_buffer=4096))
        player.journal.wait(lambda entries, number=number: len(player.made) > number)
    closing, refusing, dropping, latest, reading = player.made
    group = Group()
    for session in player.made:
        group.add(session)

    refused = set()
    for number in range(600):
        for session in group.broadcast(Packet(number % 2, number.to_bytes(2, "little") * 3000)):
            refused.add(session)
        assert clients[4].receive().id == number % 2
        assert all(session.queued_bytes <= 100_000 for session in player.made)

    assert refused == {closing, refusing}
    player.journal.wait_for("disconnected", DisconnectReason.SLOW_CONSUMER)
    assert len(player.journal.of("disconnected")) == 1
    assert latest.statistics().replaced > 0 and latest.queued_packets <= 4
    assert dropping.statistics().dropped > 0
    assert reading.statistics().refused == 0
