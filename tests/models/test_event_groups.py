"""Groups of events: full ones, signaled ones, ended ones."""

from __future__ import annotations

import functools
import threading

import pytest

from proactor import Event
from proactor.models import event_groups
from proactor.models.event_groups import EventGroup, EventGroups
from tests.scenarios.serving import Served, echo
from tests.support.sockets import LIMIT, pattern
from tests.support.streams import eventually
from tests.support.threads import Running


class Probe:
    """A member that notes what happens to it, and in which thread."""

    def __init__(self, *, ends_after: int = 1_000_000, begins: bool = True) -> None:
        self.event = Event()
        self.turns = 0
        self.began = threading.Event()
        self.took_turn = threading.Event()
        self.abandoned = threading.Event()
        self.thread: threading.Thread | None = None
        self._ends_after = ends_after
        self._begins = begins

    def begin(self) -> bool:
        self.thread = threading.current_thread()
        self.began.set()
        return self._begins

    def take_turn(self) -> bool:
        self.event.reset()
        self.turns += 1
        self.took_turn.set()
        return self.turns < self._ends_after

    def abandon(self) -> None:
        self.abandoned.set()


@pytest.fixture
def room_for_three(monkeypatch):
    """One wait takes four events: three members and the one that wakes the group."""
    monkeypatch.setattr(event_groups, "max_wait_objects", lambda: 4)


@pytest.fixture
def members(opened):
    """Ten members, whose events are closed at the end."""
    probes = [Probe() for _ in range(10)]
    for probe in probes:
        opened(probe.event)
    return probes


def test_a_group_refuses_the_member_for_whom_there_is_no_room(room_for_three, members, opened):
    group = opened(EventGroup())

    assert [group.add(member) for member in members[:5]] == [True, True, True, False, False]


def test_where_a_wait_has_no_limit_a_group_has_none(monkeypatch, members, opened):
    monkeypatch.setattr(event_groups, "max_wait_objects", lambda: None)
    group = opened(EventGroup())

    assert all([group.add(member) for member in members])


def test_a_member_that_ends_makes_room(room_for_three, members, opened):
    group = opened(EventGroup())
    running = Running(group.run)
    goes = Probe(ends_after=1)
    opened(goes.event)
    for member in (goes, *members[:2]):
        assert group.add(member)
    assert not group.add(members[2])

    goes.event.set()
    assert goes.took_turn.wait(LIMIT)

    assert eventually(lambda: group.add(members[2]))
    group.stop()
    running.result()
    assert not goes.abandoned.is_set()
    assert all(member.abandoned.is_set() for member in members[:3])


def test_a_member_that_cannot_begin_makes_room(room_for_three, opened):
    group = opened(EventGroup())
    running = Running(group.run)
    for _ in range(8):
        member = Probe(begins=False)
        opened(member.event)
        assert eventually(functools.partial(group.add, member))
        assert member.began.wait(LIMIT)
    group.stop()
    running.result()
    assert member.turns == 0
    assert not member.abandoned.is_set()


def test_every_member_that_is_signaled_gets_its_turn_in_one_wait(members, opened):
    # Goal: a wait names the lowest index only, and high ones must not starve behind it.
    # Method: signal all before the group waits, and let the lowest signal itself again for ever.
    group = opened(EventGroup())

    class Greedy(Probe):
        def take_turn(self) -> bool:
            super().take_turn()
            self.event.set()
            return True

    greedy = Greedy()
    opened(greedy.event)
    for member in (greedy, *members):
        member.event.set()
        group.add(member)
    running = Running(group.run)

    assert all(member.took_turn.wait(LIMIT) for member in members)
    group.stop()
    running.result()
    assert all(member.turns == 1 for member in members)


def test_more_members_than_a_wait_takes_get_more_threads(room_for_three, members):
    groups = EventGroups("group", lambda: None)
    for member in members:
        groups.add(member)
    running = Running(groups.run)
    try:
        assert all(member.began.wait(LIMIT) for member in members)
        assert len({member.thread for member in members}) == 4
        for member in members:
            member.event.set()
            assert member.took_turn.wait(LIMIT)
    finally:
        groups.stop()
        running.result()
        groups.close()

    assert all(member.abandoned.is_set() for member in members)
    assert not any(thread.name.startswith("group-") for thread in threading.enumerate())
    for member in members:
        member.event.close()


@pytest.mark.parametrize("model", ["event-select", "overlapped-event"])
def test_a_server_serves_more_clients_than_one_wait_takes(model, room_for_three):
    # Goal: the groups of Windows, on every system.
    with Served(model) as served:
        clients = [served.client() for _ in range(12)]
        try:
            for turn in range(3):
                for number, client in enumerate(clients):
                    message = pattern(100, number + turn)
                    assert echo(client, message) == message
            groups = [t for t in threading.enumerate() if t.name.startswith(model)]
            assert len(groups) >= 3
        finally:
            for client in clients:
                client.close()
        served.wait_for_departures(12)
