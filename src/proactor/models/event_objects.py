"""The WSAEventSelect model: the news is an event object, and a record of what happened.

Each socket has an event. A wait for many says which is signaled; asking for the record clears it
and resets the event in one step. What limits it: one wait takes 64 events on Windows, so that
more sockets need more threads (`event_groups`). Elsewhere one wait takes any number.
"""

from __future__ import annotations

import threading

from proactor import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_READ,
    FD_WRITE,
    Event,
    OverlappedSocket,
    enum_network_events,
    event_select,
)
from proactor.models.echo import failure_reason
from proactor.models.event_server import EventServer
from proactor.models.readiness import SCRATCH_SIZE, ReadySession
from proactor.models.traffic import Address, Reason


class EventSelectServer(EventServer):
    """A thread for each group of sockets; one of them also accepts."""

    model = "event-select"

    def _open(self) -> None:
        super()._open()
        self.scratch = _Scratch()

    def _run(self) -> None:
        self._groups.add(_Door(self))
        self._groups.run()

    def _resume_accepting(self) -> float | None:
        if self._pause.end_if_due():
            self.welcome()
        return self._pause.seconds_left()

    def welcome(self) -> None:
        """Accept one client, if there is one, and give it to a group."""
        # Accepting re-enables FD_ACCEPT: the next client signals the event again.
        sock = None if self._pause.is_on else self._accept()
        if sock is not None:
            self._take_in(sock)

    def _session(self, sock: OverlappedSocket, peer: Address) -> _Session:
        return _Session(self, sock, peer)


class _Scratch(threading.local):
    """The buffer into which a thread receives: one for all of its sessions."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SCRATCH_SIZE))


class _Door:
    """The listener as a member of a group."""

    def __init__(self, server: EventSelectServer) -> None:
        self.event = Event()
        self._server = server

    def begin(self) -> bool:
        event_select(self._server.listener, self.event, FD_ACCEPT)
        return True

    def take_turn(self) -> bool:
        enum_network_events(self._server.listener, self.event)
        self._server.welcome()
        return True

    def abandon(self) -> None:
        event_select(self._server.listener, None, 0)
        self.event.close()


class _Session(ReadySession):
    """A client as a member of a group."""

    def __init__(self, server: EventSelectServer, sock: OverlappedSocket, peer: Address) -> None:
        super().__init__(sock, peer, server.traffic)
        self.event = Event()
        self._server = server

    def begin(self) -> bool:
        # It has inherited the listener's selection: this replaces it, and records what has
        # happened before.
        try:
            event_select(self.socket, self.event, FD_READ | FD_WRITE | FD_CLOSE)
        except OSError as error:
            return self.end(failure_reason(error, self.peer))
        return True

    def take_turn(self) -> bool:
        events = enum_network_events(self.socket, self.event)
        if events.mask & FD_CLOSE:
            if events.errors[FD_CLOSE]:
                return self.end(Reason.RESET)
            self.peer_has_closed = True
        # FD_READ beside FD_CLOSE is no second case: data before the end is read before the end.
        reason = self.echo(self._server.scratch.view)
        if reason is not None:
            return self.end(reason)
        if self.has_more:
            # No news will come for what is left: the session signals itself, and so waits its
            # turn like the others.
            self.event.set()
        return True

    def abandon(self) -> None:
        self.end(Reason.STOPPED)

    def end(self, reason: Reason) -> bool:
        """Close the connection, then the event; False for "not a member any more"."""
        self._server._leave(self, reason)
        self.event.close()
        return False
