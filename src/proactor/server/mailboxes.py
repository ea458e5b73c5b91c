"""A mailbox: calls that run one at a time, in order, on whichever worker is free.

What makes a room an actor. The mailbox is idle, queued on the port, or running; it changes state
under its lock, and user code runs with the lock not held.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from proactor.errors import PortClosed
from proactor.port import CompletionPort
from proactor.server.hosting import logger

CALLS_A_TURN = 64
"""After so many the mailbox goes to the back of the port's queue."""


class _State(enum.Enum):
    UNBOUND = enum.auto()
    IDLE = enum.auto()
    QUEUED = enum.auto()
    RUNNING = enum.auto()
    CLOSED = enum.auto()

    __hash__ = object.__hash__


class Mailbox:
    """Calls for one owner. `post` is thread-safe.

    Args:
        owner: Whom errors are logged for.
        capacity: The most calls that wait.
        at_turn: Called at the start and at the end of each turn, and within it.
    """

    __slots__ = (
        "_again",
        "_at_turn",
        "_calls",
        "_capacity",
        "_lock",
        "_owner",
        "_port",
        "_state",
        "_thread",
    )

    def __init__(self, owner: object, capacity: int, at_turn: Callable[[], object]) -> None:
        """Make a mailbox that keeps its calls until `bind`."""
        self._owner = owner
        self._capacity = capacity
        self._at_turn = at_turn
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._state = _State.UNBOUND
        self._again = False  # Woken while it was running.
        self._port: CompletionPort | None = None
        self._thread = 0

    def bind(self, port: CompletionPort) -> None:
        """Let the workers of `port` run the calls, from now on."""
        with self._lock:
            if self._state is not _State.UNBOUND:
                return
            self._port = port
            self._state = _State.IDLE
            self._wake()

    def post(self, call: Callable[..., object], *arguments: Any, urgent: bool = False) -> bool:
        """Queue a call; False if the mailbox is full or closed.

        Args:
            call: What to call in a turn.
            *arguments: With these.
            urgent: Also into a mailbox that is full: for what must not be lost.
        """
        with self._lock:
            if self._state is _State.CLOSED:
                return False
            if len(self._calls) >= self._capacity and not urgent:
                return False
            self._calls.append((call, arguments))
            self._wake()
        return True

    def wake(self) -> None:
        """Have a turn, with or without calls."""
        with self._lock:
            self._again = True
            self._wake()

    def _wake(self) -> None:
        if self._state is _State.IDLE and (self._calls or self._again):
            assert self._port is not None, "an idle mailbox is bound"
            self._state = _State.QUEUED
            try:
                self._port.post(self._turn)
            except PortClosed:  # Of a server that is over: nobody will run anything.
                self._state = _State.CLOSED
                self._calls.clear()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def is_mine(self) -> bool:
        """True in the thread that runs a turn now."""
        return self._thread == threading.get_ident()

    def close(self) -> None:
        """Run nothing more; what waits is dropped. From a turn, or when no worker runs."""
        with self._lock:
            self._state = _State.CLOSED
            self._calls.clear()

    def _turn(self, packet: object) -> None:
        """Run some calls. The worker that took our packet calls this."""
        with self._lock:
            if self._state is not _State.QUEUED:
                return
            self._state = _State.RUNNING
            self._again = False
        self._thread = threading.get_ident()
        try:
            self._guarded(self._at_turn, ())
            for _ in range(CALLS_A_TURN):
                try:
                    call, arguments = self._calls.popleft()
                except IndexError:
                    break
                self._guarded(call, arguments)
            self._guarded(self._at_turn, ())
        finally:
            self._thread = 0
            with self._lock:
                if self._state is _State.RUNNING:
                    self._state = _State.IDLE
                    self._wake()

    def _guarded(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            call(*arguments)
        except Exception:
            logger.exception("%r: a call raised", self._owner)
