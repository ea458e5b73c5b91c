"""Asynchronous procedure calls: a call queued to a thread, run when that thread waits alertably.

Each thread has a queue of its own; completion routines arrive through it too. The alertable waits
are those of `events`, ``CompletionPort.get_many(alertable=True)`` and the synchronous calls of
`OverlappedSocket`. One of them that finds APCs runs all, also those queued meanwhile. Contract:
QueueUserAPC.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from proactor.engines import choose


def queue_user_apc(
    thread: threading.Thread, function: Callable[..., object], *arguments: Any
) -> None:
    """Queue ``function(*arguments)`` to `thread`, behind what is queued to it.

    What it raises is logged in that thread. What is still queued when the thread ends is dropped.

    Raises:
        ProactorError: `thread` has not started or has ended (31); nothing was queued.
    """
    choose.current().queue_apc(thread, partial(function, *arguments))
