"""The engine itself: makes ports, sockets, events and queues that share one reactor."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import atexit
import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, cast

from proactor import errors, statuses
from proactor.clock import deadline_after, heeding_signals, seconds_left
from proactor.engines.contract import EngineDescription, EngineEvent, EngineSocket, WaitResult
from proactor.engines.python.selectors.edges import EdgeWatch
from proactor.engines.python.selectors.reactor import SelectorReactor
from proactor.engines.python.selectors.readiness import SelectSets
from proactor.engines.python.selectors.sockets import SelectorsSocket
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.events import UserspaceEvent, wait_for_objects
from proactor.engines.userspace.messages import UserspaceMessageQueue
from proactor.engines.userspace.ports import UserspacePort
from proactor.engines.userspace.threads import ThreadRecord


class SelectorsEngine:
    """See `Engine`."""

    name = "selectors"
    max_wait_objects: int | None = None

    def __init__(self, reason: str, refused: dict[str, str]) -> None:
        """Open the selector; `reason` and `refused` are what `describe` tells."""
        self._reason = reason
        self._refused = refused
        self.reactor = SelectorReactor()
        self.dispatcher = Dispatcher(self.reactor)
        self.reactor.lock = self.dispatcher.lock
        self._edges = EdgeWatch(self.reactor)
        self._selecting: dict[ThreadRecord, None] = {}
        self._spare_wakers = [_open_waker()]
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._die_in_child)
        atexit.register(self.dispatcher.end)

    def _die_in_child(self) -> None:
        self.dispatcher.die()
        self.reactor.close_descriptors()
        self._edges.close_descriptor()
        for waker, woken_end in self._spare_wakers:
            waker.close()
            woken_end.close()

    # -- see `Engine` --

    def open_port(self, concurrency: int, stall_timeout: float | None) -> UserspacePort:
        """See `Engine.open_port`."""
        return UserspacePort(self.dispatcher, concurrency, stall_timeout)

    def open_socket(self, sock: socket.socket, facade: Any, *, overlapped: bool) -> SelectorsSocket:
        """See `Engine.open_socket`."""
        return SelectorsSocket(
            self.dispatcher,
            self.reactor,
            self._edges,
            sock,
            facade,
            overlapped=overlapped,
            on_close=self._wake_selecting,
        )

    def open_event(self, *, manual_reset: bool, signaled: bool) -> UserspaceEvent:
        """See `Engine.open_event`."""
        return UserspaceEvent(self.dispatcher, manual_reset=manual_reset, signaled=signaled)

    def open_message_queue(self) -> UserspaceMessageQueue:
        """See `Engine.open_message_queue`."""
        return UserspaceMessageQueue(self.dispatcher)

    def wait(
        self,
        objects: Sequence[EngineEvent],
        *,
        wait_all: bool,
        timeout: float | None,
        alertable: bool,
    ) -> WaitResult:
        """See `Engine.wait`."""
        events = cast("Sequence[UserspaceEvent]", objects)
        return wait_for_objects(
            self.dispatcher, events, wait_all=wait_all, timeout=timeout, alertable=alertable
        )

    def queue_apc(self, thread: threading.Thread, call: Callable[[], object]) -> None:
        """See `Engine.queue_apc`."""
        self.dispatcher.this_thread()
        self.dispatcher.queue_apc(self.dispatcher.record_of(thread), call)

    def select(
        self,
        read: Sequence[EngineSocket],
        write: Sequence[EngineSocket],
        failed: Sequence[EngineSocket],
        timeout: float | None,
    ) -> tuple[list[int], list[int], list[int]]:
        """See `Engine.select`."""
        members: Any = (list(read), list(write), list(failed))
        for member in chain(*members):
            member.dispatcher.this_thread()  # Refuses a socket of the parent process.
        sets = SelectSets(*members)
        record = self.dispatcher.this_thread()
        deadline = deadline_after(timeout)
        while True:
            gone = sets.first_closed()
            if gone is not None:
                raise errors.refused(
                    statuses.WSAENOTSOCK, f"select refused: {gone!r} is no open socket"
                )
            ready = sets.ready()
            if any(ready) or (deadline is not None and time.monotonic() >= deadline):
                return ready
            self._wait_in_poll(sets, record, deadline)
            self.dispatcher.run_apcs(record)

    def _wait_in_poll(self, sets: SelectSets, record: ThreadRecord, deadline: float | None) -> None:
        """Wait for a member, an APC or a close; serve the other sockets meanwhile."""
        slot = record.slot
        waker, woken_end = self._take_waker()
        try:
            poller = select.poll()
            sets.register(poller)
            poller.register(woken_end, select.POLLIN)
            poller.register(self.reactor.fileno(), select.POLLIN)
            with self.dispatcher.lock:
                if record.apcs or sets.first_closed() is not None:
                    return
                if slot is not None:
                    slot.give_back(record)
                record.private_wake = partial(waker.send, b"\0")
                record.alertable = True
                self._selecting[record] = None
            left = heeding_signals(seconds_left(deadline))
            found = poller.poll(None if left is None else max(1, int(left * 1000 + 0.999)))
            if any(number == self.reactor.fileno() for number, _ in found):
                self.dispatcher.pump()
        finally:
            with self.dispatcher.lock:
                record.private_wake = None
                record.alertable = False
                self._selecting.pop(record, None)
                if slot is not None:
                    slot.take_back(record)
            self._give_waker_back(waker, woken_end)

    def _take_waker(self) -> tuple[socket.socket, socket.socket]:
        try:
            return self._spare_wakers.pop()
        except IndexError:
            return _open_waker()

    def _give_waker_back(self, waker: socket.socket, woken_end: socket.socket) -> None:
        # One is kept: a process that is out of descriptors must still be able to wait.
        if self._spare_wakers:
            waker.close()
            woken_end.close()
            return
        with contextlib.suppress(BlockingIOError):
            while woken_end.recv(64):
                pass
        self._spare_wakers.append((waker, woken_end))

    def _wake_selecting(self) -> None:
        """A socket has closed: whoever selects on it must see that."""
        if self._selecting:
            with self.dispatcher.lock:
                for record in self._selecting:
                    self.dispatcher.wake(record)

    def describe(self) -> EngineDescription:
        """See `Engine.describe`."""
        return EngineDescription(
            name=self.name,
            reason=self._reason,
            features={
                "readiness": f"{self.reactor.kind}, polled by the thread that waits",
                "completion port": "in user space: FIFO packets, LIFO threads",
                "wait limit": "none",
            },
            refused=dict(self._refused),
        )

    def statistics(self) -> dict[str, int]:
        """See `Engine.statistics`."""
        return {
            "polls": self.reactor.polls,
            "wakes": self.reactor.wakes,
            "handovers": self.dispatcher.handovers,
            "backup_polls": self.dispatcher.backup_polls,
        }


def _open_waker() -> tuple[socket.socket, socket.socket]:
    """Return the end to send to and the end that becomes readable by it."""
    waker, woken_end = socket.socketpair()
    woken_end.setblocking(False)
    return waker, woken_end
