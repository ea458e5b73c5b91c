"""Network events of one socket: when to look, what to report, what to poll for.

`selection` keeps the record; `readiness` tells the truth; this module joins the two. A selected
socket is watched for edges where the system tells them. Elsewhere it is polled only for what could
still be reported, or level-triggered readiness would spin.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("the selectors engine runs on POSIX systems only")

from typing import Any

from proactor import errors, statuses
from proactor.engines.contract import (
    FD_ACCEPT,
    FD_ALL_EVENTS,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    EngineEvent,
    NetworkEvents,
)
from proactor.engines.python.selectors.edges import EdgeWatch
from proactor.engines.python.selectors.reactor import READ, WRITE
from proactor.engines.python.selectors.readiness import is_readable, true_events, unread_bytes
from proactor.engines.python.selectors.state import SocketState
from proactor.engines.userspace.selection import (
    EventTarget,
    MessageTarget,
    Selection,
    Target,
)


class Notices:
    """What a socket reports by event or message; guarded by the socket's lock.

    Attributes:
        are_selected: True while anything is selected; the fast paths look at this alone.
    """

    def __init__(self, owner: SocketState, edges: EdgeWatch) -> None:
        """Select nothing."""
        self._owner = owner
        self._edges = edges
        self._unread = 0
        self._selection = Selection()
        self._quiet = False
        self.are_selected = False

    # -- selecting --

    def select_event(self, event: EngineEvent | None, mask: int) -> None:
        """See `EngineSocket.event_select`."""
        if event is None and mask:
            raise errors.refused(
                statuses.WSAEINVAL, "event_select with a mask needs an event to signal"
            )
        self._choose(EventTarget(event) if event is not None else None, mask)

    def select_messages(self, queue: Any, message: int, mask: int) -> None:
        """See `EngineSocket.async_select`."""
        self._choose(MessageTarget(queue, message), mask)

    def _choose(self, target: Target | None, mask: int) -> None:
        owner = self._owner
        owner.dispatcher.this_thread()
        if mask & ~FD_ALL_EVENTS:
            raise errors.refused(
                statuses.WSAEINVAL, f"unknown network events in the mask 0x{mask:x}"
            )
        with owner.lock:
            if owner.closed:
                raise errors.refused(
                    statuses.WSAENOTSOCK, "cannot select network events: the socket is closed"
                )
            self._quiet = False
            self.are_selected = mask != 0
            self._selection.choose(target if mask else None, mask)
            if self.are_selected:
                owner.blocking = False
                if isinstance(target, MessageTarget) and owner.connected:
                    # A message tells of a connect that happens, not of one that has happened.
                    self._selection.suppress(FD_CONNECT)
                self._look()
            self._watch()

    def inherit(self, parent: Notices) -> None:
        """Select what the listener selected (a synchronous accept)."""
        with self._owner.lock:
            self.are_selected = parent.are_selected
            self._selection.inherit(parent._selection)
            if self.are_selected:
                self._selection.suppress(FD_CONNECT)
                self._look()
            self._watch()

    def forget(self) -> None:
        """The socket closes: what has happened is reported, nothing after it."""
        if self.are_selected:
            # The thread that was told of the last news may not have come to report it.
            self._look()
        self.are_selected = False
        self._selection = Selection()
        self._edges.forget(self._owner.sock.fileno())

    def _watch(self) -> None:
        """Hear of what is true now, and of what happens from now on."""
        if not self._edges.is_available:
            self._owner.rearm_for_notices()
        elif self.are_selected:
            self._edges.watch(self._owner.sock.fileno(), self)
        else:
            self._edges.forget(self._owner.sock.fileno())

    # -- looking --

    def enumerate(self, event: EngineEvent | None) -> NetworkEvents:
        """See `EngineSocket.enum_network_events`."""
        owner = self._owner
        owner.dispatcher.this_thread()
        with owner.lock:
            if owner.closed:
                raise errors.refused(
                    statuses.WSAENOTSOCK, "cannot enumerate network events: the socket is closed"
                )
            if self.are_selected:
                self._look()
                if not self._edges.is_available:
                    owner.rearm_for_notices()
            if event is not None:
                event.reset()
            return self._selection.take()

    def look_when_ready(self, ready: int, nobody_read: bool) -> None:
        """The selector said that the socket is ready, and its operations have been served."""
        if self._edges.is_available:
            self._look()  # A queue that has emptied makes room for FD_WRITE, which no edge tells.
            return
        if not self._look() and ready & READ and nobody_read and is_readable(self._owner.sock):
            # There is something that may not be reported again: do not poll for it until the
            # call that re-enables it. (If there is nothing any more, a receive has taken it since
            # the selector looked, and the next arrival must be seen.)
            self._quiet = True

    def serve_edge(self) -> None:
        """See `Watched.serve_edge`."""
        with self._owner.lock:
            if self.are_selected and not self._owner.closed:
                self._look(self._arrivals())

    def _arrivals(self) -> int:
        """Return the bits of what has come in addition: event mode signals it again."""
        owner = self._owner
        if not (owner.connected or owner.datagram):
            return FD_ACCEPT
        before, self._unread = self._unread, unread_bytes(owner.sock)
        return FD_OOB | (FD_READ if self._unread > before else 0)

    def _look(self, arrived: int = 0) -> bool:
        """Report what is true and wanted, or has `arrived`; say whether there was anything."""
        before = self._selection.wanted()
        if before or arrived:
            facade = self._owner.facade()
            self._selection.happened(facade, true_events(self._owner), arrived)
        return self._selection.wanted() != before

    def interest(self) -> int:
        """Return what the selector must watch for the sake of the selection."""
        if self._edges.is_available:
            return 0
        owner, wanted = self._owner, self._selection.wanted()
        if owner.connecting:
            return WRITE if wanted & (FD_CONNECT | FD_WRITE) else 0
        if not (owner.connected or owner.datagram):
            return READ if wanted & FD_ACCEPT and owner.is_listening() else 0
        interest = WRITE if wanted & FD_WRITE else 0
        unread_is_known = self._selection.mask & FD_READ and not wanted & FD_READ
        closed_is_known = self._selection.mask & FD_CLOSE and not wanted & FD_CLOSE
        if self._quiet or unread_is_known or closed_is_known:
            return interest
        return interest | (READ if wanted & (FD_READ | FD_OOB | FD_CLOSE) else 0)

    # -- re-enabling calls --

    def connecting(self) -> None:
        """A connect has begun: what it comes to is news again."""
        if self.are_selected:
            self._re_enable(FD_ALL_EVENTS)

    def connect_ended(self) -> None:
        """The connect has ended in the call that began it, which does not say so: report it."""
        if self.are_selected:
            self._look()
            self._watch()

    def reading_again(self) -> None:
        """A receive is made: FD_READ and FD_OOB are reported again when they are true."""
        self._re_enable(FD_READ | FD_OOB)

    def accepting_again(self) -> None:
        """An accept is made: FD_ACCEPT is reported again when it is true."""
        self._re_enable(FD_ACCEPT)

    def send_would_block(self) -> None:
        """A send was refused with 10035: FD_WRITE is reported when there is room."""
        if self.are_selected:
            self._re_enable(FD_WRITE)

    def _re_enable(self, bits: int) -> None:
        self._quiet = False
        if bits & FD_READ:
            self._unread = 0
        self._selection.re_enable(bits)
        self._watch()
