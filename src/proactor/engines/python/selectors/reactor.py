"""The kernel's readiness: one selector for all sockets, and a way to interrupt it."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
from typing import Any, Protocol

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

logger = logging.getLogger("proactor")


class Served(Protocol):
    """What a descriptor was armed for."""

    def serve(self, ready: int) -> None:
        """The descriptor is ready to READ, to WRITE, or both: go on with what waits for it."""


class SelectorReactor:
    """Polls for readiness and lets each ready socket go on.

    `arm` and `disarm` may be called by any thread while another one polls: epoll and kqueue take
    changes at once. Only the waker is guarded by a lock, the dispatcher's.
    """

    def __init__(self) -> None:
        """Open the selector and the waker."""
        selector: Any = selectors.DefaultSelector()
        self._selector: selectors.BaseSelector = selector
        # epoll and kqueue are descriptors themselves, which can be waited for with others.
        self._poll_descriptor: int = selector.fileno()
        self._waker, self._woken_end = socket.socketpair()
        self._waker.setblocking(False)
        self._woken_end.setblocking(False)
        self._selector.register(self._woken_end, READ, None)
        self.lock: threading.RLock | None = None
        self._woken = False
        self._selecting = False
        self._armed = 0
        self.polls = 0
        self.wakes = 0

    @property
    def kind(self) -> str:
        """The name of the system's mechanism."""
        return type(self._selector).__name__.removesuffix("Selector").lower()

    def is_armed(self) -> bool:
        """See `Reactor.is_armed`."""
        return self._armed > 0

    def arm(self, descriptor: int, old: int, new: int, served: Served) -> None:
        """Change what is polled for on `descriptor` from `old` to `new`; 0 is nothing."""
        if old == 0:
            self._selector.register(descriptor, new, served)
            self._armed += 1
        elif new == 0:
            self._selector.unregister(descriptor)
            self._armed -= 1
        else:
            self._selector.modify(descriptor, new, served)

    # -- see `Reactor` --

    def prepare(self) -> None:
        """See `Reactor.prepare`."""
        self._selecting = True

    def poll(self, timeout: float | None) -> None:
        """See `Reactor.poll`."""
        self.polls += 1
        ready = self._selector.select(timeout)
        # From here on this thread looks at its own condition before it sleeps again.
        self._selecting = False
        self._serve(ready)

    def pump(self) -> None:
        """See `Reactor.pump`."""
        # A wake is for the thread that sleeps in `poll`: who reads it here lets that one sleep on.
        self._serve([one for one in self._selector.select(0) if one[0].data is not None])

    def wake(self) -> None:
        """See `Reactor.wake`."""
        if self._selecting and not self._woken:
            self._woken = True
            self.wakes += 1
            self._waker.send(b"\0")

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, mask in ready:
            if key.data is None:
                self._drain_waker()
                continue
            try:
                key.data.serve(mask)
            except Exception:
                # One socket's fault, which would be a bug here, must not stop all the others.
                logger.exception("serving %r failed: this is a bug in proactor", key.data)

    def _drain_waker(self) -> None:
        assert self.lock is not None, "the engine gives the reactor the dispatcher's lock"
        with self.lock:
            # Under the lock: a wake between the two lines would be lost.
            self._woken = False
            with contextlib.suppress(BlockingIOError):  # A poll that ended before has read it.
                self._woken_end.recv(16)

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something to serve."""
        return self._poll_descriptor

    def close_descriptors(self) -> None:
        """Close what a forked child inherited, without touching the parent's registrations."""
        self._waker.close()
        self._woken_end.close()
