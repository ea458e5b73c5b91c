"""Ctrl-C and SIGTERM for commands that serve: the first ends in order, the second at once.

Python runs signal handlers in the main thread alone, so that thread waits here and in nothing else.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from rich.console import Console


class Stopping:
    """Heeds both signals inside its block.

    Args:
        console: Gets its cursor back when the second signal ends the process: a live line hides it.

    Attributes:
        wanted: Set by the first signal.
    """

    def __init__(self, console: Console) -> None:
        """Heed nothing yet."""
        self.wanted = threading.Event()
        self._console = console
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        """Begin to heed them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        """Heed them as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.wanted.is_set():
            self._console.show_cursor(True)
            os._exit(128 + number)
        self.wanted.set()
