"""Ctrl-C and SIGTERM for commands that serve: the first ends in order, the second at once.

Python runs signal handlers in the main thread alone, so that thread waits here and in nothing else.
"""

from __future__ import annotations

import os
import queue
import signal
from contextlib import suppress
from typing import Any

from rich.console import Console


class Stopping:
    """Heeds both signals inside its block.

    Args:
        console: Gets its cursor back when the second signal ends the process: a live line hides it.
    """

    def __init__(self, console: Console) -> None:
        """Heed nothing yet."""
        self._console = console
        self._before: dict[int, Any] = {}
        self._is_wanted = False
        # The handler interrupts the very thread that waits, wherever it is: an Event's lock may be
        # held by it then. A SimpleQueue is made for that.
        self._requests: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __enter__(self) -> Stopping:
        """Begin to heed them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        """Heed them as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> bool:
        """Wait up to so long for the first signal; say whether it has come."""
        if not self._is_wanted:
            with suppress(queue.Empty):
                self._requests.get(timeout=seconds)
        return self._is_wanted

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._is_wanted:
            self._console.show_cursor(True)
            os._exit(128 + number)
        self._is_wanted = True
        self._requests.put(number)
