"""What the dispatcher knows of one thread: its APCs, its slot at a port, and how to wake it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proactor.packets import CompletionPacket

if TYPE_CHECKING:
    from proactor.overlapped import Operation


class ThreadRecord:
    """One thread, as the dispatcher sees it. Everything but `gate` is guarded by its lock.

    Attributes:
        apcs: Calls that wait for an alertable wait, oldest first.
        alertable: True while the thread waits alertably, so that a new APC wakes it.
        association: The port that the thread last waited on (``get_many``'s APC rule).
        slot: The port in whose running count the thread is counted; None if in none.
        since: When the thread took its slot, for the stall rule.
        handed: The packet that was handed to the waiting thread, until it wakes.
        blocked: Ports whose slot the thread gave up in a blocking region, innermost last.
        ended: The thread has ended: nothing is queued to it any more.
        mortal: Operations that end with the thread, with what cancels each.
        gate: Locked while the thread may park on it; released to wake it.
        signaled: The gate has been released and not yet taken.
        private_wake: How to wake it while it waits in a system call of its own; else None.
    """

    __slots__ = (
        "__weakref__",
        "alertable",
        "apcs",
        "association",
        "blocked",
        "ended",
        "gate",
        "handed",
        "mortal",
        "private_wake",
        "signaled",
        "since",
        "slot",
    )

    def __init__(self) -> None:
        """Make the record of a thread that waits for nothing."""
        self.apcs: deque[Callable[[], object]] = deque()
        self.alertable = False
        self.association: Any = None
        self.slot: Any = None
        self.since = 0.0
        self.handed: CompletionPacket | None = None
        self.ended = False
        self.blocked: list[Any] = []
        self.mortal: dict[Operation, Callable[[Operation], object]] = {}
        self.gate = threading.Lock()
        self.gate.acquire()
        self.signaled = False
        self.private_wake: Callable[[], object] | None = None


class ExitNotice:
    """Lives in a thread's local storage and calls back when that goes: the thread has ended."""

    __slots__ = ("_record", "_thread_ended")

    def __init__(self, record: ThreadRecord, thread_ended: Callable[[ThreadRecord], None]) -> None:
        """Remember whom to tell of the end of the thread that `record` stands for."""
        self._record = record
        self._thread_ended = thread_ended

    def __del__(self) -> None:
        """Tell it."""
        self._thread_ended(self._record)
