"""Edges of readiness: the news that level-triggered polling cannot tell.

A network event is signaled again when more data arrives although nobody has read the first, and a
close is told while data is unread. Level-triggered readiness would have to spin for that. Linux'
epoll tells edges, so network events are watched through one of its own, which hangs in the reactor
like any descriptor. Where there is no epoll there is no `EdgeWatch`, and `notices` falls back to
levels: the second arrival is then told only after the receive.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

import contextlib
import select
from typing import Any, Protocol

from proactor.engines.python.selectors.reactor import READ, SelectorReactor

_EDGES = "EPOLLIN", "EPOLLOUT", "EPOLLPRI", "EPOLLRDHUP", "EPOLLET"


class Watched(Protocol):
    """What is watched for edges."""

    def serve_edge(self) -> None:
        """Something has happened on the descriptor since the last look."""


class EdgeWatch:
    """One edge-triggered epoll for the sockets whose network events are selected.

    Attributes:
        is_available: False where the system has no epoll; nothing may then be watched.
    """

    def __init__(self, reactor: SelectorReactor) -> None:
        """Hang the epoll in the reactor."""
        self.is_available = all(hasattr(select, name) for name in _EDGES)
        self._watched: dict[int, Watched] = {}
        # Typed as anything: type checkers know no epoll when they check for another system.
        self._epoll: Any = select.epoll() if self.is_available else None
        if self._epoll is not None:
            reactor.arm(self._epoll.fileno(), 0, READ, self)

    def watch(self, descriptor: int, watched: Watched) -> None:
        """Tell `watched` of every edge from now on, and of what is true now.

        Doing it again has the same effect: what is true now is told again.
        """
        epoll = self._epoll
        assert epoll is not None, "watch() is for where edges are available"
        mask = 0
        for name in _EDGES:
            mask |= getattr(select, name)
        is_known = descriptor in self._watched
        # First: an edge is told once, maybe before the call below has returned, to whoever is here.
        self._watched[descriptor] = watched
        if is_known:
            epoll.modify(descriptor, mask)
        else:
            epoll.register(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        """Stop watching; a descriptor that is not watched is no error."""
        if self._watched.pop(descriptor, None) is not None and self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def serve(self, ready: int) -> None:
        """See `Served.serve`: pass the edges on."""
        assert self._epoll is not None, "only an open epoll is ready"
        for descriptor, _ in self._epoll.poll(0):
            watched = self._watched.get(descriptor)
            if watched is not None:
                watched.serve_edge()

    def close_descriptor(self) -> None:
        """Close what a forked child inherited."""
        if self._epoll is not None:
            self._epoll.close()
