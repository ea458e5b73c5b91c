"""What the two models with event objects share: a server whose sessions are members of groups."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from proactor import OverlappedSocket
from proactor.models.echo import EchoServer, EchoSession, failure_reason
from proactor.models.event_groups import EventGroups, Member
from proactor.models.traffic import Address, Reason


class EventSession(EchoSession, Member, Protocol):
    """A client as a member of a group."""

    def end(self, reason: Reason) -> bool:
        """Close the connection, then the event; False for "not a member any more"."""


class EventServer(EchoServer):
    """A thread for each group; the first one is that of `serve`, and accepts, too."""

    def _open(self) -> None:
        self._groups = EventGroups(self.model, self._resume_accepting)

    def _wake(self) -> None:
        self._groups.stop()

    def _close(self) -> None:
        self._groups.close()

    @abstractmethod
    def _resume_accepting(self) -> float | None:
        """Accept again if a pause is over; return how many seconds of it are left."""

    @abstractmethod
    def _session(self, sock: OverlappedSocket, peer: Address) -> EventSession:
        """Make the session of a new client.

        Raises:
            OSError: Its event could not be had; `sock` is left to the caller.
        """

    def _take_in(self, sock: OverlappedSocket) -> None:
        """Give the client that `sock` has accepted to a group, or close the connection."""
        peer = self._admit(sock)
        if peer is None:
            return
        try:
            session = self._session(sock, peer)
        except OSError as error:
            sock.close()
            self._accept_failed(error)
            return
        self._enter(session)
        try:
            self._groups.add(session)
        except (OSError, RuntimeError) as error:
            session.end(failure_reason(error, peer))
