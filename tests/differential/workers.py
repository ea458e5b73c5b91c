"""The threads of a program: those that make its calls, and those that wait at its port."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from proactor import CompletionPacket, CompletionPort, PortClosed

_LONG = 20.0


class Caller:
    """A thread that makes calls for the program, one at a time; the program waits for each."""

    def __init__(self) -> None:
        """Start it."""
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                self._answers.put((call(), None))
            except BaseException as error:
                self._answers.put((None, error))
            del call

    def __call__(self, call: Callable[[], Any]) -> Any:
        """Make `call` in the thread; return what it returns, or raise what it raises."""
        self._calls.put(call)
        value, error = self._answers.get(timeout=_LONG)
        if error is not None:
            raise error
        return value

    def end(self) -> None:
        """Let the thread end; it has ended when this returns."""
        self._calls.put(None)
        self._thread.join(_LONG)
        assert not self._thread.is_alive(), "a thread of the program hangs"


class Waiter:
    """A thread that waits at the port for one packet.

    Attributes:
        packet: What it got; None while it waits, or if the port was closed.
    """

    def __init__(self, port: CompletionPort) -> None:
        """Start it."""
        self._port = port
        self.packet: CompletionPacket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.packet = self._port.get(_LONG)
        except PortClosed:
            return

    def is_waiting(self) -> bool:
        """Say whether it has not come back yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end, which must be near."""
        self._thread.join(_LONG)
        assert not self._thread.is_alive(), "a waiter hangs"
