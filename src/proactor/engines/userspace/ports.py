"""The completion port in user space: FIFO packets, LIFO waiters, and the concurrency value.

The rules are those of NT's kernel queue. A thread that takes packets holds a *slot* until it comes
back, exits, waits in the package, enters a blocking region, goes to another port, or stalls. A
packet is handed to the newest waiter at once if a slot is free, else it is queued; so while
packets are queued, either nobody waits or no slot is free.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

from proactor import errors
from proactor.clock import deadline_after
from proactor.engines.contract import EngineSocket, PortStatistics
from proactor.engines.userspace.dispatcher import Dispatcher
from proactor.engines.userspace.threads import ThreadRecord
from proactor.packets import CompletionPacket, PacketBatch


class AttachableSocket(Protocol):
    """A socket of an engine that uses this port."""

    def attach_port(self, port: UserspacePort, key: Any) -> None:
        """Remember port and key, and pass on what has completed meanwhile."""


class UserspacePort:
    """A completion port. Everything is guarded by the dispatcher's lock."""

    def __init__(
        self, dispatcher: Dispatcher, concurrency: int, stall_timeout: float | None
    ) -> None:
        """Make an empty port."""
        self._dispatcher = dispatcher
        self._concurrency = concurrency
        self._stall_timeout = stall_timeout
        self._queue: deque[CompletionPacket] = deque()
        self._waiters: list[ThreadRecord] = []
        self._runners: dict[ThreadRecord, None] = {}
        self._closed = False
        self._delivered = 0
        self._posted = 0
        self._completed = 0
        self._stalls = 0
        with dispatcher.lock:
            dispatcher.ports.add(self)

    # -- packets in --

    def attach(self, sock: EngineSocket, key: Any) -> None:
        """See `EnginePort.attach`."""
        self._dispatcher.this_thread()
        with self._dispatcher.lock:
            if self._closed:
                raise self._refusal("attach a socket to", while_waiting=False)
        attachable: AttachableSocket = sock  # type: ignore[assignment]
        attachable.attach_port(self, key)

    def post(self, packet: CompletionPacket) -> None:
        """See `EnginePort.post`."""
        if self._dispatcher.dead:
            self._dispatcher.this_thread()
        with self._dispatcher.lock:
            if self._closed:
                raise self._refusal("post to", while_waiting=False)
            self._posted += 1
            self._push(packet)

    def push_completion(self, packet: CompletionPacket) -> None:
        """Queue the packet of an operation; on a closed port it is lost, as on Windows."""
        with self._dispatcher.lock:
            if self._closed:
                assert packet.operation is not None, "only an operation completes"
                packet.operation.release()
                return
            self._completed += 1
            self._push(packet)

    def _push(self, packet: CompletionPacket) -> None:
        if self._waiters and len(self._runners) < self._concurrency:
            self._hand(packet, self._waiters.pop())
        else:
            self._queue.append(packet)
            if self._waiters:
                self._dispatcher.starve()

    def _hand(self, packet: CompletionPacket, record: ThreadRecord) -> None:
        record.handed = packet
        self._take_slot(record)
        self._dispatcher.wake(record)

    # -- packets out --

    def get_many(self, limit: int, timeout: float | None, alertable: bool) -> PacketBatch:
        """See `EnginePort.get_many`."""
        dispatcher = self._dispatcher
        record = dispatcher.this_thread()
        deadline = deadline_after(timeout)
        batch = PacketBatch()
        with dispatcher.lock:
            self._enter(record)
            if not self._queue and timeout == 0:
                self._pump()
            associated, record.association = record.association is self, self
            if alertable and record.apcs and not (associated and self._queue):
                # A thread that has not used this port yet is not associated by such a call.
                record.association = self if associated else None
            else:
                self._wait(record, deadline, alertable)
                self._fill(batch, record, limit)
        if not batch and alertable:
            batch.woken_by_apc = dispatcher.run_apcs(record)
        return batch

    def _enter(self, record: ThreadRecord) -> None:
        self._dispatcher.visits += 1
        if record.slot is self:
            # The caller takes the next packet itself before an older waiter gets the slot.
            del self._runners[record]
            record.slot = None
        elif record.slot is not None:
            record.slot.give_back(record)
        if self._closed:
            raise self._refusal("get from", while_waiting=False)

    def _pump(self) -> None:
        # Out of the lock: serving a socket takes that socket's lock first.
        lock = self._dispatcher.lock
        lock.release()
        try:
            self._dispatcher.pump()
        finally:
            lock.acquire()

    def _may_take(self) -> bool:
        return bool(self._queue) and len(self._runners) < self._concurrency

    def _wait(self, record: ThreadRecord, deadline: float | None, alertable: bool) -> None:
        """Wait until a packet may be taken or was handed over, APCs came, or the time is up."""
        if self._may_take():
            return
        self._waiters.append(record)
        if self._queue:
            self._dispatcher.starve()
        record.alertable = alertable
        newest = True
        try:
            while not (record.handed is not None or self._closed or (alertable and record.apcs)):
                if deadline is not None and time.monotonic() >= deadline:
                    break
                # Only at first: the one that is displaced by a newer waiter lets it poll.
                self._dispatcher.sleep(record, deadline, takes_over=newest and not self._is_full())
                newest = False
        finally:
            record.alertable = False
            self._dispatcher.leave(record)
            if record.handed is None and record in self._waiters:
                self._waiters.remove(record)
        if self._closed and record.handed is None:
            raise self._refusal("get from", while_waiting=True)

    def _is_full(self) -> bool:
        return len(self._runners) >= self._concurrency

    def _fill(self, batch: PacketBatch, record: ThreadRecord, limit: int) -> None:
        """Move packets to `batch`; the thread then holds a slot, and each is taken."""
        handed, record.handed = record.handed, None
        if handed is not None:
            batch.append(handed)
            if record.slot is not self:
                # It wakes so late that it was counted as stalled: the slot, and what is queued, are
                # for another thread now, unless there is another slot.
                if self._is_full() or self._closed:
                    limit = 1
                else:
                    self._take_slot(record)
        elif self._may_take():
            batch.append(self._queue.popleft())
            self._take_slot(record)
        else:
            self._release_waiters()
            return
        while self._queue and len(batch) < limit:
            batch.append(self._queue.popleft())
        self._delivered += len(batch)
        for packet in batch:
            if packet.operation is not None:
                packet.operation.release()
                packet.operation = None
        self._release_waiters()
        if self._waiters and not self._is_full():
            # With a slot free, news must reach the next waiter while this thread runs.
            self._dispatcher.promote(self._waiters.__contains__)

    # -- slots --

    def _take_slot(self, record: ThreadRecord) -> None:
        self._runners[record] = None
        record.slot = self
        record.since = time.monotonic()

    def give_back(self, record: ThreadRecord) -> None:
        """The thread no longer counts as running here; lock held."""
        if record.slot is self:
            record.slot = None
            self._runners.pop(record, None)
            self._release_waiters()

    def take_back(self, record: ThreadRecord) -> None:
        """The thread runs again and counts, even above the concurrency value; lock held."""
        if record.slot is None:
            self._take_slot(record)

    def _release_waiters(self) -> None:
        while self._waiters and self._may_take():
            self._hand(self._queue.popleft(), self._waiters.pop())

    def release_stalled(self, now: float) -> bool:
        """See `StallWatch.release_stalled`."""
        if self._stall_timeout is None or not (self._queue and self._waiters):
            return False
        for record in list(self._runners):
            if now - record.since >= self._stall_timeout:
                self._stalls += 1
                self.give_back(record)
        return bool(self._queue and self._waiters)

    def begin_blocking(self) -> None:
        """See `EnginePort.begin_blocking`."""
        record = self._dispatcher.this_thread()
        with self._dispatcher.lock:
            held = record.slot is self
            record.blocked.append(self if held else None)
            if held:
                self.give_back(record)
                if self._waiters:
                    self._dispatcher.promote(self._waiters.__contains__)

    def end_blocking(self) -> None:
        """See `EnginePort.end_blocking`."""
        record = self._dispatcher.this_thread()
        with self._dispatcher.lock:
            if record.blocked.pop() is self and not self._closed:
                self.take_back(record)

    # -- the end --

    def close(self) -> None:
        """See `EnginePort.close`."""
        if self._dispatcher.dead:
            self._closed = True
            return
        with self._dispatcher.lock:
            if self._closed:
                return
            self._closed = True
            lost, self._queue = list(self._queue), deque()
            for record in self._waiters:
                self._dispatcher.wake(record)
            for runner in self._runners:
                runner.slot = None
            self._runners.clear()
            self._dispatcher.ports.discard(self)
        for packet in lost:
            if packet.operation is not None:
                packet.operation.release()

    def statistics(self) -> PortStatistics:
        """See `EnginePort.statistics`."""
        with self._dispatcher.lock:
            return PortStatistics(
                concurrency=self._concurrency,
                queued=len(self._queue),
                waiting=len(self._waiters),
                running=len(self._runners),
                delivered=self._delivered,
                posted=self._posted,
                completed=self._completed,
                stalls=self._stalls,
            )

    def _refusal(self, tried: str, *, while_waiting: bool) -> errors.PortClosed:
        when = "it was closed during the wait" if while_waiting else "it is closed"
        return errors.port_closed(
            f"cannot {tried} the completion port: {when}", while_waiting=while_waiting
        )
