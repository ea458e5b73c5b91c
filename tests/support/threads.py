"""Threads of a test: what they raise is raised in the test, and none outlives it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tests.support.sockets import LIMIT

T = TypeVar("T")


class Running(Generic[T]):
    """A call that runs in a thread of its own; `result` waits for it.

    Attributes:
        thread: The thread, for `queue_user_apc` and the like. It is a daemon so that one that
            hangs fails its test and not the whole run.
    """

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        """Start ``function(*arguments)``."""
        self._function = function
        self._arguments = arguments
        self._value: T | None = None
        self._error: BaseException | None = None
        self._asked = False
        name = getattr(function, "__name__", "call")
        self.thread = threading.Thread(target=self._run, name=f"test {name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function(*self._arguments)
        except BaseException as error:
            self._error = error

    def is_running(self) -> bool:
        """Say whether the call has not returned yet."""
        return self.thread.is_alive()

    def result(self, timeout: float = LIMIT) -> T:
        """Wait for the call; return its result, or raise what it raised.

        Raises:
            AssertionError: It did not return within `timeout` seconds.
        """
        self._asked = True
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"{self.thread.name} hangs after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def finish(self) -> None:
        """Join the thread, and raise what it raised unless the test has already asked for it."""
        asked = self._asked
        self.thread.join(LIMIT)
        assert not self.thread.is_alive(), f"{self.thread.name} outlives its test"
        if self._error is not None and not asked:
            raise self._error
