"""Event objects and waits in user space: any or all of several, atomically, alertably.

A wait is satisfied by the thread that signals, under the one lock: an auto-reset event can release
only one waiter, and a wait for all takes nothing until everything is signaled.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from proactor.clock import deadline_after
from proactor.engines.contract import WaitCode, WaitResult
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.threads import ThreadRecord


class ObjectWait:
    """One thread's wait for one or all of several events; guarded by the dispatcher's lock."""

    __slots__ = ("index", "objects", "record", "wait_all")

    def __init__(
        self, record: ThreadRecord, objects: Sequence[UserspaceEvent], wait_all: bool
    ) -> None:
        """Describe the wait; `index` is None until it is satisfied."""
        self.record = record
        self.objects = objects
        self.wait_all = wait_all
        self.index: int | None = None

    def try_satisfy(self) -> bool:
        """Consume what the wait needs if it is all there; say whether the wait is satisfied."""
        if self.wait_all:
            if not all(event.signaled for event in self.objects):
                return False
            for event in self.objects:
                event.consume()
            self.index = 0
            return True
        for index, event in enumerate(self.objects):
            if event.signaled:
                event.consume()
                self.index = index
                return True
        return False


class UserspaceEvent:
    """A manual- or auto-reset flag."""

    __slots__ = ("_dispatcher", "_manual_reset", "signaled", "waits")

    def __init__(self, dispatcher: Dispatcher, *, manual_reset: bool, signaled: bool) -> None:
        """Make an event in the given state."""
        self._dispatcher = dispatcher
        self._manual_reset = manual_reset
        self.signaled = signaled
        self.waits: list[ObjectWait] = []

    def check_owner(self) -> None:
        """Refuse an event of the parent process.

        Raises:
            ForkedError: This process is a child and the event was made before the fork.
        """
        if self._dispatcher.dead:
            self._dispatcher.this_thread()

    def consume(self) -> None:
        """A wait was satisfied by this event: reset it if that is its kind. Lock held."""
        if not self._manual_reset:
            self.signaled = False

    def set(self) -> None:
        """See `EngineEvent.set`."""
        self.check_owner()
        with self._dispatcher.lock:
            self.signaled = True
            for wait in self.waits:
                if wait.index is None and wait.try_satisfy():
                    self._dispatcher.wake(wait.record)
                    if not self.signaled:
                        break

    def reset(self) -> None:
        """See `EngineEvent.reset`."""
        self.check_owner()
        self.signaled = False

    def is_set(self) -> bool:
        """See `EngineEvent.is_set`."""
        self.check_owner()
        return self.signaled

    def close(self) -> None:
        """See `EngineEvent.close`: there is nothing to release."""


def wait_for_objects(
    dispatcher: Dispatcher,
    objects: Sequence[UserspaceEvent],
    *,
    wait_all: bool,
    timeout: float | None,
    alertable: bool,
) -> WaitResult:
    """See `Engine.wait`."""
    for event in objects:
        event.check_owner()
    record = dispatcher.this_thread()
    deadline = deadline_after(timeout)
    wait = ObjectWait(record, objects, wait_all)
    if timeout == 0:
        dispatcher.pump()
    with dispatcher.lock:
        dispatcher.visits += 1
        if not (objects and wait.try_satisfy()) and not (alertable and record.apcs):
            _sleep_until(dispatcher, wait, deadline, alertable)
    if wait.index is not None:
        return WaitResult(WaitCode.OBJECT, wait.index)
    if alertable and dispatcher.run_apcs(record):
        return WaitResult(WaitCode.IO_COMPLETION)
    return WaitResult(WaitCode.TIMEOUT)


def _sleep_until(
    dispatcher: Dispatcher, wait: ObjectWait, deadline: float | None, alertable: bool
) -> None:
    """Wait until `wait` is satisfied, APCs came, or the time is up; the lock is held."""
    record = wait.record
    if deadline is not None and time.monotonic() >= deadline:
        return
    slot = record.slot
    if slot is not None:
        slot.give_back(record)
    for event in wait.objects:
        event.waits.append(wait)
    record.alertable = alertable
    try:
        while wait.index is None and not (alertable and record.apcs):
            if deadline is not None and time.monotonic() >= deadline:
                break
            dispatcher.sleep(record, deadline, takes_over=False)
    finally:
        record.alertable = False
        dispatcher.leave(record)
        for event in wait.objects:
            event.waits.remove(wait)
        if slot is not None:
            slot.take_back(record)
        # A thread that waits for objects is not sure to come back soon: let another poll.
        dispatcher.promote()
