"""Who waits, who polls, and who is woken: the heart of the engines without a kernel port.

**The newest waiter polls.** There is no I/O thread in the fast path. A thread that waits in the
package and finds nobody polling runs the reactor itself; completions that are its own it takes
with it, at no hand-over, and others it hands to the threads they belong to. A worker that returns
to its port is the newest waiter, which is the one that LIFO order releases first, so it takes the
polling over. Exactly one thread polls at a time: a successor is let in when the predecessor left.

**A backup thread** looks every few milliseconds, while there is something to look at, whether
somebody polls. If nobody does (every thread is busy in user code) it polls, so that the kernel's
news is never older than that; and it counts workers that have not come back as blocked (the
stall rule of the design). When nothing happens it sleeps, and costs nothing.

Lock order: a socket's lock, then `Dispatcher.lock`. It is re-entrant so that a signal handler may
post a packet or set an event in a thread that it interrupted here; a handler must not wait.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from proactor import errors, statuses
from proactor.clock import heeding_signals, seconds_left
from proactor.engines.indications import RoutineCall, call_apc
from proactor.engines.userspace.threads import ExitNotice, ThreadRecord

TICK = 0.005
"""Seconds between two looks of the backup thread."""

_PATIENCE = 1.0

IDLE_TICKS = 200
"""Looks at an unchanged scene after which the backup thread sleeps."""


class Reactor(Protocol):
    """What moves bytes: the part of an engine that the polling thread runs."""

    def prepare(self) -> None:
        """`poll` is about to be called: from now on `wake` must make it return. Lock held."""

    def poll(self, timeout: float | None) -> None:
        """Wait for readiness up to `timeout` seconds and serve it; return early if woken."""

    def pump(self) -> None:
        """Serve what is ready now, in any thread, whoever polls."""

    def wake(self) -> None:
        """Make the thread that is in `poll` return, unless it is serving already. Lock held."""

    def is_armed(self) -> bool:
        """Say whether there is anything to poll for."""


class StallWatch(Protocol):
    """A port, as the backup thread sees it."""

    def release_stalled(self, now: float) -> bool:
        """Count threads that have not come back as blocked; say if packets wait. Lock held."""


class Dispatcher:
    """The one lock, the threads that wait, and the right to poll."""

    def __init__(self, reactor: Reactor) -> None:
        """Make a dispatcher whose waiting threads run `reactor`."""
        self.lock = threading.RLock()
        self.dead = False
        self.ports: weakref.WeakSet[StallWatch] = weakref.WeakSet()
        self._reactor = reactor
        self._local = threading.local()
        self._records: weakref.WeakKeyDictionary[threading.Thread, ThreadRecord] = (
            weakref.WeakKeyDictionary()
        )
        self._poller: ThreadRecord | None = None
        self._successor: ThreadRecord | None = None
        self._parked: list[ThreadRecord] = []
        self._turns = 0
        self._backup: ThreadRecord | None = None
        self._backup_thread: threading.Thread | None = None
        self._backup_sleeps = False
        self._backup_polls_on = False
        self._ended = False
        self.visits = 0
        self.handovers = 0
        self.backup_polls = 0

    def die(self) -> None:
        """This is a forked child: the threads are the parent's, and its locks may be held."""
        self.dead = True
        self.lock = threading.RLock()

    # -- threads --

    def this_thread(self) -> ThreadRecord:
        """Return the calling thread's record; refuse if the engine belongs to a parent process."""
        if self.dead:
            raise errors.forked(
                "this object was made before fork, in the parent process: a child makes its own"
            )
        try:
            record: ThreadRecord = self._local.record
        except AttributeError:
            record = self._make_record()
        return record

    def _make_record(self) -> ThreadRecord:
        thread = threading.current_thread()
        with self.lock:
            record = self._records.setdefault(thread, ThreadRecord())
        self._local.record = record
        self._local.notice = ExitNotice(record, self._thread_ended)
        return record

    def record_of(self, thread: threading.Thread) -> ThreadRecord:
        """Return the record of a running thread, which need not have used the package yet.

        Raises:
            ProactorError: It has not started or has ended (31).
        """
        if not thread.is_alive():
            raise errors.refused(
                statuses.ERROR_GEN_FAILURE,
                f"cannot queue an APC to {thread.name!r}: the thread does not run",
            )
        with self.lock:
            return self._records.setdefault(thread, ThreadRecord())

    def _thread_ended(self, record: ThreadRecord) -> None:
        if self.dead or sys.is_finalizing():
            return  # At the end of the interpreter a daemon thread may hold the lock for ever.
        with self.lock:
            record.ended = True
            lost = [call for call in record.apcs if isinstance(call, RoutineCall)]
            record.apcs.clear()
            if record.slot is not None:
                record.slot.give_back(record)
            doomed = list(record.mortal.items())
        for operation, cancel in doomed:
            cancel(operation)
        for call in lost:
            call.lose()

    # -- APCs --

    def queue_apc(self, record: ThreadRecord, call: Callable[[], object]) -> bool:
        """Queue `call` to a thread and wake it if it waits alertably; False if it has ended."""
        with self.lock:
            if record.ended:
                return False
            record.apcs.append(call)
            if record.alertable:
                self.wake(record)
            return True

    def run_apcs(self, record: ThreadRecord) -> bool:
        """Run all APCs of the calling thread, also those queued meanwhile; say whether any ran."""
        ran = False
        while record.apcs:
            call_apc(record.apcs.popleft())
            ran = True
        return ran

    # -- waiting --

    def pump(self) -> None:
        """Serve what is ready now, whoever polls: for waits that do not wait."""
        self._reactor.pump()

    def sleep(self, record: ThreadRecord, deadline: float | None, *, takes_over: bool) -> None:
        """Poll, or park until woken, up to `deadline`; the lock is held before and after.

        Returns early at will: the caller looks at its condition and comes back. With `takes_over`
        the thread becomes the poller even if another one polls; the backup thread gives way to all.
        """
        if self._poller is None or self._poller is record:
            self._poll(record, seconds_left(deadline))
            return
        if takes_over or self._poller is self._backup:
            self._successor = record
            self._reactor.wake()
        self._park(record, seconds_left(deadline))

    def _poll(self, record: ThreadRecord, timeout: float | None) -> None:
        self._poller = record
        self._turns += 1
        self._reactor.prepare()
        self.lock.release()
        try:
            self._reactor.poll(heeding_signals(timeout))
        finally:
            self._lock_again()
            self._poller = None
            self._let_in_successor()

    def _let_in_successor(self) -> None:
        successor, self._successor = self._successor, None
        if successor is not None:
            self.handovers += 1
            # Reserved: the predecessor, which is awake, must not be there first again.
            self._poller = successor
            self._open_gate(successor)
        elif self._backup_sleeps:
            self._wake_backup()

    def leave(self, record: ThreadRecord) -> None:
        """`record` waits no longer: if the right to poll was reserved for it, it is free."""
        if self._poller is record:
            self._poller = None
            if self._backup_sleeps:
                self._wake_backup()

    def _park(self, record: ThreadRecord, timeout: float | None) -> None:
        self._parked.append(record)
        self.lock.release()
        taken = False
        timeout = heeding_signals(timeout)
        try:
            taken = record.gate.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self._lock_again()
            self._parked.remove(record)
            if record.signaled and not taken:
                record.gate.acquire(blocking=False)
            record.signaled = False
            if self._successor is record:
                self._successor = None

    def _lock_again(self) -> None:
        """Take the lock back, also if Ctrl-C comes meanwhile, which is raised once it is held."""
        interrupt: BaseException | None = None
        while True:
            try:
                self.lock.acquire()
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def wake(self, record: ThreadRecord) -> None:
        """Make a waiting thread look at its condition; the lock is held."""
        if record.private_wake is not None:
            record.private_wake()
        elif self._poller is record:
            self._reactor.wake()
        else:
            self._open_gate(record)

    def _open_gate(self, record: ThreadRecord) -> None:
        if not record.signaled and record in self._parked:
            record.signaled = True
            record.gate.release()

    def promote(self, eligible: Callable[[ThreadRecord], bool] | None = None) -> None:
        """Let the newest parked thread that is `eligible` poll, if nobody does; lock held."""
        if self._poller is not None:
            return
        for record in reversed(self._parked):
            if record is not self._backup and (eligible is None or eligible(record)):
                self._open_gate(record)
                return

    # -- the backup thread --

    def starve(self) -> None:
        """Packets wait at a port that is full, maybe of threads that are blocked; lock held."""
        self.watch()
        if self._backup_polls_on:  # Until a socket has news, for no packet had waited before.
            self._backup_polls_on = False
            self._reactor.wake()

    def watch(self) -> None:
        """There is something to look after (a descriptor was armed, a port starves); lock held."""
        if self._backup is None:
            self._backup = ThreadRecord()
            self._backup_thread = threading.Thread(
                target=self._look_after, name="proactor-backup", daemon=True
            )
            self._backup_thread.start()
        elif self._backup_sleeps:
            self._wake_backup()

    def _wake_backup(self) -> None:
        assert self._backup is not None, "only a backup thread that exists sleeps"
        self._backup_sleeps = False
        self._open_gate(self._backup)

    def end(self) -> None:
        """The program ends: let the backup thread end first, so that it holds no lock then."""
        thread = self._backup_thread
        if self.dead or thread is None or not thread.is_alive():
            return
        if not self.lock.acquire(timeout=_PATIENCE):
            return
        try:
            self._ended = True
            assert self._backup is not None, "the thread has a record"
            self.wake(self._backup)
        finally:
            self.lock.release()
        thread.join(_PATIENCE)

    def _look_after(self) -> None:
        backup = self._backup
        assert backup is not None, "watch() made the record before it started the thread"
        seen, idle = -1, 0
        while True:
            with self.lock:
                if self._ended:
                    return
                starved = self._release_stalled()
                if self._turns == seen:
                    starved = self._stand_in(backup, starved)
                idle = idle + 1 if self._turns == seen and not starved else 0
                seen = self._turns
                self._backup_sleeps = idle > IDLE_TICKS
                self._park(backup, None if self._backup_sleeps else TICK)
                self._backup_sleeps = False

    def _stand_in(self, backup: ThreadRecord, starved: bool) -> bool:
        """Poll while nobody else comes to the package; say whether packets wait for a thread."""
        visits = self.visits
        while self._poller is None and self._reactor.is_armed() and not self._ended:
            if self.visits != visits:
                break  # Whoever comes, be it to a queue that is not empty, will poll soon.
            self.backup_polls += 1
            self._backup_polls_on = not starved
            self._poll(backup, TICK if starved else None)
            self._backup_polls_on = False
            starved = self._release_stalled()
        return starved

    def _release_stalled(self) -> bool:
        now = time.monotonic()
        starved = False
        for port in list(self.ports):
            starved = port.release_stalled(now) or starved
        return starved
