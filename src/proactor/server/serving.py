"""`serve`: a server in one call, ended by Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from proactor.server.options import ServerOptions
from proactor.server.server import Server
from proactor.server.session import Session


def serve(
    session_class: type[Session],
    *,
    ready: Callable[[Server], object] | None = None,
    options: ServerOptions | None = None,
    **changes: Any,
) -> bool:
    """Serve until Ctrl-C, SIGTERM or `Server.stop`, then drain, and return.

    Args:
        session_class: Made without arguments for each connection.
        ready: Called with the server once it accepts.
        options: All options; `ServerOptions()` if not given.
        **changes: Single options by name: ``port=7777, workers=5``; see `ServerOptions`.

    Returns:
        Whether every session has ended politely; if not, the log says how many were reset.

    A second Ctrl-C or SIGTERM while it drains resets what is left. Signals are only heeded in the
    main thread; elsewhere `Server.stop` ends it.

    Raises:
        OSError: The address is in use, is not ours, or does not exist; the text says which.
        TypeError: There is no such option, or the class cannot work.
        ValueError: The number of an option makes no sense.
    """
    server = Server(session_class, options, **changes)
    # Before it listens: who has connected may expect that SIGTERM is a good-bye.
    with stopped_by_signals(server), server:
        if ready is not None:
            ready(server)
        return server.run()


@contextmanager
def stopped_by_signals(server: Server) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call ``server.stop()`` in this block. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
