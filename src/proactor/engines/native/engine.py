"""The native engine: the reference's waits and events, over a core that moves the bytes itself."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the native engine runs on Linux only")


if sys.platform != "linux":
    raise ImportError("the native engine runs on Linux only")

import atexit
import os
import socket
from typing import Any, cast

from proactor.engines.contract import EngineDescription
from proactor.engines.native import _engine
from proactor.engines.native.ports import NativePort
from proactor.engines.native.probe import NativeProfile
from proactor.engines.native.sockets import open_native_socket
from proactor.engines.native.waits import EdgeThread, NativeDispatcher
from proactor.engines.python.selectors.edges import EdgeWatch
from proactor.engines.python.selectors.engine import SelectorsEngine
from proactor.engines.python.selectors.notices import Notices
from proactor.engines.python.selectors.readiness import SelectSets
from proactor.engines.userspace.threads import ThreadRecord


class NativeEngine(SelectorsEngine):
    """See `Engine`. What is no port and no socket is the selectors engine's."""

    def __init__(
        self, name: str, reason: str, refused: dict[str, str], profile: NativeProfile | None = None
    ) -> None:
        """Open the core.

        Args:
            name: What the engine is called.
            reason: What `describe` tells.
            refused: Likewise.
            profile: The ring that the streams receive by; None: by readiness.
        """
        self.name = name
        self._reason = reason
        self._refused = refused
        self._profile = profile
        self.core = _engine.EngineCore(None if profile is None else profile.ring())
        self.reactor: Any = cast("Any", EdgeThread())
        self.dispatcher: NativeDispatcher = NativeDispatcher(self.core, self.reactor)
        self._edges = EdgeWatch(self.reactor)
        self._selecting = {}
        self._spare_wakers = []
        self._give_waker_back(*self._take_waker())
        os.register_at_fork(after_in_child=self._die_in_child)
        atexit.register(self.dispatcher.end)
        atexit.register(self.reactor.end)

    def open_port(self, concurrency: int, stall_timeout: float | None) -> Any:
        """See `Engine.open_port`."""
        return NativePort(self.core, concurrency, stall_timeout)

    def open_socket(self, sock: socket.socket, facade: Any, *, overlapped: bool) -> Any:
        """See `Engine.open_socket`."""
        return open_native_socket(
            self.core,
            sock,
            facade,
            overlapped=overlapped,
            make_notices=self._make_notices,
            on_close=self._wake_selecting,
        )

    def _make_notices(self, sock: Any) -> Notices:
        self.reactor.start()
        return Notices(sock, self._edges)

    def _wait_in_poll(self, sets: SelectSets, record: ThreadRecord, deadline: float | None) -> None:
        self.core.need_io_thread()
        super()._wait_in_poll(sets, record, deadline)

    def describe(self) -> EngineDescription:
        """See `Engine.describe`."""
        profile = self._profile
        return EngineDescription(
            name=self.name,
            reason=self._reason,
            features={
                "core": "C, moves bytes without the interpreter",
                "readiness": "epoll, polled by the thread that waits at a port, or by one of ours",
                "streams": "received by readiness" if profile is None else profile.in_words(),
                "completion port": "in the core: FIFO packets, LIFO threads",
                "wait limit": "none",
            },
            refused=dict(self._refused),
        )

    def statistics(self) -> dict[str, int]:
        """See `Engine.statistics`."""
        return self.core.statistics()
