"""A process that takes part in a measurement: started, asked, and ended, whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any


class ChildFailed(Exception):
    """The process ended, or said nothing in time; the text holds its last words."""


class Child:
    """``python -m proactor.cli.MODULE``, which talks in lines on its standard streams.

    A context manager. At its end the standard input is closed, which is how these processes are
    told to end; one that has not after `GRACE` seconds is killed, as is one older than `limit`.
    """

    GRACE = 5.0

    def __init__(self, module: str, *arguments: Any, limit: float) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"proactor.cli.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # A read of a pipe has no time-out on every system, but ends when the process does.
        self._limit = threading.Timer(limit, self._process.kill)
        self._limit.daemon = True
        self._limit.start()

    def line(self) -> str:
        """Return the next line that it prints.

        Raises:
            ChildFailed: It ended instead.
        """
        assert self._process.stdout is not None, "started with a pipe"
        text = self._process.stdout.readline().strip()
        if not text:
            raise ChildFailed(self._last_words())
        return text

    def ask(self, question: str) -> str:
        """Send one line and return the answer.

        Raises:
            ChildFailed: It ended instead.
        """
        assert self._process.stdin is not None, "started with a pipe"
        try:
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ChildFailed(self._last_words()) from error
        return self.line()

    def _last_words(self) -> str:
        self._process.kill()
        _, story = self._process.communicate()
        lines = story.strip().splitlines()
        return lines[-1] if lines else "the process ended without a word, or passed its time limit"

    def __enter__(self) -> Child:
        """Return the process."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the process."""
        try:
            # Closes the input, and reads what is left so that the process cannot block on it.
            self._process.communicate(timeout=self.GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        finally:
            self._limit.cancel()
