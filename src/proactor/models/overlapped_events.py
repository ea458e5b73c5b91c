"""The overlapped model with events: the news is an event object, and the bytes are already moved.

Each session has one operation in flight, and one event that its completion signals. The accept is
overlapped too. What limits it: one wait takes 64 events on Windows, so that more sessions need more
threads (`event_groups`). Elsewhere one wait takes any number.
"""

from __future__ import annotations

from proactor import Event, OperationKind, Overlapped, OverlappedSocket
from proactor.models.echo import (
    STOP_TIMEOUT,
    failure_reason,
    finish_sending,
)
from proactor.models.event_server import EventServer
from proactor.models.traffic import Address, Reason

BUFFER_SIZE = 16 * 1024


class OverlappedEventServer(EventServer):
    """A thread for each group of operations; one of them also accepts."""

    model = "overlapped-event"

    def _run(self) -> None:
        self._door = _Door(self)
        self._groups.add(self._door)
        self._groups.run()

    def _resume_accepting(self) -> float | None:
        if self._pause.end_if_due():
            self._door.post()
        return self._pause.seconds_left()

    def post_accept(self, overlapped: Overlapped) -> None:
        """Start an accept, unless there is a pause: `_resume_accepting` starts it after that."""
        while not self._pause.is_on:
            try:
                self.listener.accept(overlapped)
                return
            except OSError as error:
                # Either a client has gone, and there is the next one, or a pause has begun.
                self._accept_failed(error)

    def welcome(self, accept: Overlapped) -> None:
        """Take the outcome of `accept`: give the new client to a group."""
        if accept.error is not None:
            self._accept_failed(accept.error)
            return
        sock: OverlappedSocket = accept.accepted
        accept.accepted = None
        self._take_in(sock)

    def _session(self, sock: OverlappedSocket, peer: Address) -> _Session:
        return _Session(self, sock, peer)


class _Door:
    """The accept in flight as a member of a group."""

    def __init__(self, server: OverlappedEventServer) -> None:
        self.event = Event()
        self._server = server
        self._accept = Overlapped(event=self.event)

    def begin(self) -> bool:
        self.post()
        return True

    def post(self) -> None:
        self._server.post_accept(self._accept)

    def take_turn(self) -> bool:
        self.event.reset()  # No other accept may follow now that would do it.
        self._server.welcome(self._accept)
        self.post()
        return True

    def abandon(self) -> None:
        self._server.listener.close()
        if self._accept.is_in_flight:
            self.event.wait(STOP_TIMEOUT)
        if self._accept.accepted is not None:
            self._accept.accepted.close()
        self.event.close()


class _Session:
    """A client as a member of a group: it receives or it sends, never both."""

    def __init__(
        self, server: OverlappedEventServer, sock: OverlappedSocket, peer: Address
    ) -> None:
        self.socket = sock
        self.peer = peer
        self.event = Event()
        self._server = server
        self._traffic = server.traffic
        self._overlapped = Overlapped(owner=self, event=self.event)
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)

    def begin(self) -> bool:
        try:
            self.socket.recv(self._buffer, self._overlapped)
        except OSError as error:
            return self.end(failure_reason(error, self.peer))
        return True

    def take_turn(self) -> bool:
        try:
            count = self._overlapped.get_result()
            if self._overlapped.kind is OperationKind.SEND:
                self._traffic.sent(self.peer, count)
                self.socket.recv(self._buffer, self._overlapped)
            elif count:
                self._traffic.received(self.peer, count)
                # Out of the buffer that it came into: nothing is received before this is sent.
                self.socket.send(self._view[:count], self._overlapped)
            else:
                finish_sending(self.socket)
                return self.end(Reason.PEER_CLOSED)
        except Exception as error:
            return self.end(failure_reason(error, self.peer))
        # The event need not be reset: the operation that was started has done so.
        return True

    def abandon(self) -> None:
        self.end(Reason.STOPPED)

    def end(self, reason: Reason) -> bool:
        """Close the connection, and the event once nothing can signal it any more."""
        self._server._leave(self, reason)
        if self._overlapped.is_in_flight:
            self.event.wait(STOP_TIMEOUT)
        self.event.close()
        return False
