"""Ctrl-C and SIGTERM, held back while a child is being started.

An interrupt in the middle of `Popen` would leave a child that nobody knows of. So the handler
only notes it then, and it is raised at the end of the block.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_held = False
_pending = False


def install() -> None:
    """Make both signals raise `KeyboardInterrupt`, but not within `held`."""
    signal.signal(signal.SIGINT, _interrupted)
    signal.signal(signal.SIGTERM, _interrupted)


@contextmanager
def held() -> Iterator[None]:
    """Raise an interrupt that comes within the block at its end."""
    global _held, _pending
    _held = True
    try:
        yield
    finally:
        _held = False
        if _pending:
            _pending = False
            raise KeyboardInterrupt


def _interrupted(number: int, frame: FrameType | None) -> None:
    global _pending
    if not _held:
        raise KeyboardInterrupt
    _pending = True
