"""Python-level waits beside the native core: events, APCs and message queues park, nobody polls.

The threads, events and queues are those of `userspace`; only what a waiting thread does differs:
bytes are moved by the core's own thread, so it parks until somebody wakes it. A wait at a port is
the core's affair: to wake one, the thread's `ThreadCore` interrupts it (`private_wake`).
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")

import os
import select
import threading
from collections.abc import Callable

from proactor.clock import seconds_left
from proactor.engines.native import _engine
from proactor.engines.python.selectors.reactor import READ, Served
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.threads import ExitNotice, ThreadRecord

PATIENCE = 1.0
"""Seconds that the end of the program gives to each thread of ours."""


class NativeDispatcher(Dispatcher):
    """The one lock of the Python-level waits, and the threads that wait."""

    def __init__(self, core: _engine.EngineCore, edges: EdgeThread) -> None:
        """Make a dispatcher beside `core`, whose `ThreadCore` each thread is given."""
        super().__init__(edges)
        self._core = core
        self._indicator: threading.Thread | None = None
        self._starting = threading.Lock()
        core.dispatcher = self
        core.start_indicator = self.start_indicator

    # -- threads --

    def _make_record(self) -> ThreadRecord:
        thread = threading.current_thread()
        with self.lock:
            record = self._records.setdefault(thread, ThreadRecord())
            self._give_slot(record)
        self._local.record = record
        self._local.notice = ExitNotice(record, self._thread_ended)
        record.slot.make_current()
        return record

    def record_of(self, thread: threading.Thread) -> ThreadRecord:
        """See `Dispatcher.record_of`."""
        record = super().record_of(thread)
        with self.lock:
            self._give_slot(record)
        return record

    def _give_slot(self, record: ThreadRecord) -> None:
        if record.slot is None:
            record.slot = _engine.ThreadCore(self._core, record)

    def _thread_ended(self, record: ThreadRecord) -> None:
        super()._thread_ended(record)
        record.slot.end()

    def die(self) -> None:
        """See `Dispatcher.die`."""
        super().die()
        self._core.die()

    # -- waiting --

    def pump(self) -> None:
        """See `Dispatcher.pump`: what is ready now is indicated when this returns."""
        self._core.poll_now()
        indicator = self._indicator
        if indicator is not None and threading.current_thread() is not indicator:
            served = threading.Event()
            self._core.call_in_indicator(served.set)
            served.wait(PATIENCE)

    def sleep(self, record: ThreadRecord, deadline: float | None, *, takes_over: bool) -> None:
        """See `Dispatcher.sleep`: park, while the core's own thread moves the bytes."""
        self._core.need_io_thread()
        self._park(record, seconds_left(deadline))

    def leave(self, record: ThreadRecord) -> None:
        """See `Dispatcher.leave`: nobody has a right to poll here."""

    def promote(self, eligible: Callable[[ThreadRecord], bool] | None = None) -> None:
        """See `Dispatcher.promote`: nobody need poll here."""

    # -- the thread that indicates what is no packet --

    def start_indicator(self) -> None:
        """Start the thread that sets events and queues routines, and the one that moves bytes."""
        with self._starting:
            if self._indicator is None:
                self._core.need_io_thread()
                thread = threading.Thread(
                    target=self._core.indicate_all, name="proactor-indications", daemon=True
                )
                thread.start()
                self._indicator = thread

    def end(self) -> None:
        """The program ends: let the thread end first, so that it holds no lock then."""
        thread = self._indicator
        if not self.dead and thread is not None:
            self._core.call_in_indicator(None)
            thread.join(PATIENCE)


class EdgeThread:
    """Waits for the edges of network events; see `EdgeWatch`, whose descriptor it is given.

    It also is the `Reactor` of the dispatcher, which never polls it.
    """

    def __init__(self) -> None:
        """Start nothing: most programs select no network events."""
        self._end = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watched: tuple[int, Served] | None = None
        self._thread: threading.Thread | None = None
        self.polls = 0

    def arm(self, descriptor: int, old: int, new: int, served: Served) -> None:
        """Serve `served` whenever `descriptor` is readable, from `start` on."""
        self._watched = descriptor, served

    def start(self) -> None:
        """Start the thread, unless it runs; the caller's lock keeps others out."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve_all, name="proactor-network-events", daemon=True
            )
            self._thread.start()

    def _serve_all(self) -> None:
        assert self._watched is not None, "start() comes after arm()"
        descriptor, served = self._watched
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.register(self._end, select.POLLIN)
        while True:
            for ready, _ in poller.poll():
                if ready == self._end:
                    return
                self.polls += 1
                served.serve(READ)

    def end(self) -> None:
        """The program ends: let the thread end first."""
        if self._end < 0:
            return  # This is a forked child.
        os.eventfd_write(self._end, 1)
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def close_descriptors(self) -> None:
        """Close what a forked child inherited."""
        os.close(self._end)
        self._end = -1

    def fileno(self) -> int:
        """Return a descriptor that is readable when the program ends."""
        return self._end

    # -- see `Reactor`: nobody polls here --

    def prepare(self) -> None:
        """See `Reactor.prepare`."""

    def poll(self, timeout: float | None) -> None:
        """See `Reactor.poll`."""

    def pump(self) -> None:
        """See `Reactor.pump`."""

    def wake(self) -> None:
        """See `Reactor.wake`."""

    def is_armed(self) -> bool:
        """See `Reactor.is_armed`."""
        return False
