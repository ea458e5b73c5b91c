"""The signals of a command that serves: whatever its main thread is doing, the first is heeded."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("rich")

from rich.console import Console

from proactor.cli.stopping import Stopping
from tests.support.sockets import LIMIT


@pytest.mark.parametrize("step", range(40))
def test_a_signal_that_comes_at_any_step_of_the_wait_is_heeded(step):
    # Method: the handler is called between two lines of the wait, as the interpreter does.
    stopping = Stopping(Console())
    left = step

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                stopping._on_signal(signal.SIGINT, None)
        return trace

    def wait() -> None:
        sys.settrace(trace)
        try:
            while not stopping.wait(0.01) and left > 0:
                pass
        finally:
            sys.settrace(None)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(LIMIT)

    assert not waiting.is_alive()
    assert stopping.wait(0) == (step > 0)


def test_it_wakes_a_wait_and_stays_so():
    with Stopping(Console()) as stopping:
        assert not stopping.wait(0)
        signal.raise_signal(signal.SIGINT)
        assert stopping.wait(LIMIT) and stopping.wait(0)
