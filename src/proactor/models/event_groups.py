"""A thread that waits for many event objects: how both event models get past the limit of a wait.

Where one wait takes 64 objects, a group is 63 members and one event that wakes the thread; more
members need more groups, each with a thread. Where there is no limit, one group takes them all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from proactor import Event, max_wait_objects, wait_for_multiple_events


class Member(Protocol):
    """Something that hears its news through an event. Only its group's thread calls it."""

    event: Event
    """Manual reset: a scan looks at it without taking the signal."""

    def begin(self) -> bool:
        """Start what signals `event`; False if that failed, and the member has ended."""

    def take_turn(self) -> bool:
        """Take the news behind `event`; False if the member has ended by it."""

    def abandon(self) -> None:
        """End: the group stops."""


class EventGroup:
    """Members that one thread waits for.

    Args:
        before_wait: Called before each wait; does what is due and returns how long the wait may
            last (None: for ever).
    """

    def __init__(self, before_wait: Callable[[], float | None] = lambda: None) -> None:
        """Make an empty group; `run` serves it."""
        limit = max_wait_objects()
        self._room = None if limit is None else limit - 1
        self._before_wait = before_wait
        self._is_stopping = False
        self._members: list[Member] = []
        self._lock = threading.Lock()
        self._size = 0  # Members and newcomers.
        self._newcomers: deque[Member] = deque()
        self._wake = Event(manual_reset=False)

    def add(self, member: Member) -> bool:
        """Hand `member` to the group's thread; False if the group is full. Thread-safe."""
        with self._lock:
            if self._size == self._room:
                return False
            self._size += 1
        self._newcomers.append(member)
        self._wake.set()
        return True

    def stop(self) -> None:
        """Ask `run` to end. Thread-safe."""
        self._is_stopping = True
        self._wake.set()

    def close(self) -> None:
        """Release the event that wakes it. Only after `run` has ended."""
        self._wake.close()

    def run(self) -> None:
        """Serve the members in the calling thread until `stop`, then abandon them."""
        try:
            while not self._is_stopping:
                self._take_in_newcomers()
                self._serve_signaled()
        finally:
            for member in [*self._members, *self._newcomers]:
                member.abandon()
            self._members.clear()
            self._newcomers.clear()

    def _take_in_newcomers(self) -> None:
        # An operation that signals an event dies with the thread that issued it: that thread must
        # be this one, and not the one that accepted.
        while self._newcomers:
            member = self._newcomers.popleft()
            self._members.append(member)
            if not member.begin():
                self._forget({member})

    def _serve_signaled(self) -> None:
        timeout = self._before_wait()
        events = [self._wake, *[member.event for member in self._members]]
        result = wait_for_multiple_events(events, timeout=timeout)
        if not result.is_signaled:
            return
        # The wait names the lowest index only. Whoever serves that one and waits again never gets
        # to the high ones; so look at all from there on, and serve each that is signaled once.
        ended = {
            member
            for member in self._members[max(result.index - 1, 0) :]
            if member.event.is_set() and not member.take_turn()
        }
        if ended:
            self._forget(ended)

    def _forget(self, ended: set[Member]) -> None:
        self._members = [member for member in self._members if member not in ended]
        with self._lock:
            self._size -= len(ended)


class EventGroups:
    """As many groups as the members need: the first is the caller's, each other has a thread."""

    def __init__(self, name: str, before_wait: Callable[[], float | None]) -> None:
        """Make the first group."""
        self._name = name
        self._first = EventGroup(before_wait)
        self._others: list[tuple[EventGroup, threading.Thread]] = []

    def add(self, member: Member) -> None:
        """Give `member` to the first group with room; begin a new one if there is none.

        For the thread that is in `run`, or before it.

        Raises:
            OSError, RuntimeError: A group was needed and its event or thread could not be had.
        """
        if self._first.add(member) or any(group.add(member) for group, _ in self._others):
            return
        group = EventGroup()
        name = f"{self._name}-{len(self._others) + 2}"
        thread = threading.Thread(target=group.run, name=name, daemon=True)
        try:
            thread.start()
        except BaseException:
            group.close()
            raise
        # It stays until the server stops: the next burst will want it again.
        self._others.append((group, thread))
        group.add(member)

    def run(self) -> None:
        """Serve the first group in the calling thread until `stop`; then end the others."""
        try:
            self._first.run()
        finally:
            for group, _ in self._others:
                group.stop()
            for group, thread in self._others:
                thread.join()
                group.close()
            self._others.clear()

    def stop(self) -> None:
        """Ask `run` to end. Thread-safe."""
        self._first.stop()

    def close(self) -> None:
        """Release the first group. Only after `run` has ended, or without it."""
        self._first.close()
