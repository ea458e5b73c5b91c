"""Who is in a room, in what order: joins, leaves, moves and packets as calls of one mailbox.

A *place* is taken at once, by any thread; everything else happens in the room's turns. The rule of
a move: what comes for a session that is on its way here waits until it has arrived, in order, be it
packets, a leave, or the next move.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from proactor.framing import Framing
from proactor.server.groups import Group
from proactor.server.hosting import Host, logger
from proactor.server.mailboxes import Mailbox
from proactor.server.reasons import DisconnectReason
from proactor.server.sense import check_whole
from proactor.server.session import Session, SessionState


class _Members(Group):
    """The members of a room, whom it lets go in its own turn."""

    leaves_by_itself = False


class Gathering(ABC):
    """The membership of a room; `rooms.Room` is what a user sees."""

    def __init__(self, max_members: int | None, mailbox: int) -> None:
        """Open it with nobody in it."""
        check_whole("max_members", max_members, 1, off="None for no cap")
        check_whole("mailbox", mailbox, 1)
        self.max_members = max_members
        self._group = _Members()
        self._mailbox = Mailbox(self, mailbox, self._at_turn)
        self._high, self._low = mailbox // 2, mailbox // 8
        self._lock = threading.Lock()
        self._places: set[Session] = set()  # Who is a member, or is about to be.
        # What waits for those who are on their way: calls of `_step`. Only touched in turns.
        self._arriving: dict[Session, list[tuple[Callable[..., object], tuple[Any, ...]]]] = {}
        self._paused: set[Session] = set()
        self._host: Host | None = None
        self._framing: Framing | None = None
        self._is_disposed = False

    @abstractmethod
    def on_join(self, session: Session) -> None:
        """See `Room`."""

    @abstractmethod
    def on_leave(self, session: Session) -> None:
        """See `Room`."""

    @abstractmethod
    def _handle(self, session: Session, packet: Any) -> None:
        """Take a packet of a member."""

    @abstractmethod
    def _has_left(self) -> None:
        """Do what is due when a member has left."""

    @abstractmethod
    def _move_in(self, host: Host) -> bool:
        """Live with this server from now on; False if it has ended. The lock is held."""

    # -- from any thread --

    def join(self, session: Session) -> bool:
        """Let `session` become a member, and this its `room`.

        Returns:
            False if the room is full or disposed, or the session has ended. True if it has a
            place: `on_join` follows in the room's turn, or at once if this is the room's turn.
            Joining twice does nothing.

        Raises:
            ValueError: `session` is of another server than the room, or has another framing.
        """
        if not self._reserve(session):
            return session in self._places
        self._do(self._enter, session)
        session.room = self
        if session.state is SessionState.CLOSED:  # It has left all that it had joined by then.
            self.leave(session)
        return True

    def leave(self, session: Session) -> None:
        """Let `session` be no member any more; `on_leave` follows. Leaving twice does nothing."""
        with self._lock:
            if session not in self._places:
                return
            self._places.discard(session)
            if session.room is self:
                session.room = None
        session.strike(self)
        self._do(self._step, session, self._exit)

    def move(self, session: Session, other: Gathering) -> bool:
        """Let a member go over to `other`: `on_leave` here, then `on_join` there.

        What it has sent until now is still handled here, what it sends from now on there. Between
        the two it gets the broadcasts of neither.

        Returns:
            False if it is no member here, or `other` has no place: then nothing has changed.

        Raises:
            ValueError: As of `join`.
        """
        if self is other or session not in self._places or not other._reserve(session):
            return False
        with self._lock:
            is_here = session in self._places and not self._is_disposed
            if is_here:
                self._places.discard(session)
                other._mailbox.post(other._step, session, other._expect, urgent=True)
                # Between these two no packet comes for either room: see `deliver`.
                session.room = other
                self._mailbox.post(self._step, session, self._hand_over, other, urgent=True)
        if not is_here:  # It left in this moment.
            other._give_back(session)
            return False
        session.strike(self)
        if session.state is SessionState.CLOSED:  # It has left all that it had joined by then.
            other.leave(session)
        return True

    def deliver(self, session: Session, packet: Any) -> None:
        """Hand a packet of a member to the room. `Session.on_packet` calls it, in its turn.

        If it is full of calls, the session is received from no more until the room has caught up.
        """
        with self._lock:
            is_here = session.room is self
            is_taken = is_here and self._mailbox.post(self._step, session, self._handle, packet)
        if is_taken:
            if len(self._mailbox) > self._high:
                self._hold_back(session)
        elif is_here:
            self._count("dropped")
        elif session.room is not None:  # It has moved in this moment.
            session.room.deliver(session, packet)

    def _hold_back(self, session: Session) -> None:
        # In this order: whom `_at_turn` finds is paused already, and goes on after that.
        session._stream.pause()
        self._paused.add(session)
        if len(self._mailbox) <= self._low:  # It has caught up in between, and does not look again.
            self._mailbox.wake()

    def _reserve(self, session: Session) -> bool:
        """Give `session` a place; False if it has one, or there is none."""
        with self._lock:
            is_full = self.max_members is not None and len(self._places) >= self.max_members
            if is_full or self._is_disposed or session in self._places:
                return False
            if session.state is SessionState.CLOSED:
                return False
            self._framing = self._framing or session.framing
            if session.framing != self._framing:
                raise ValueError(
                    f"{session!r} has the framing {session.framing!r} and {self!r} "
                    f"{self._framing!r}: a packet is encoded once for all; use a room for each"
                )
            if not self._belong_to(session._host):
                return False
            self._places.add(session)
        session.enlist(self)
        return True

    def _give_back(self, session: Session) -> None:
        with self._lock:
            self._places.discard(session)
        session.strike(self)

    def bind(self, host: Host) -> bool:
        """Live with this server from now on; False if it has ended. `Server.add_room` calls it.

        Raises:
            ValueError: The room lives with another server.
        """
        with self._lock:
            return self._belong_to(host)

    def _belong_to(self, host: Host) -> bool:
        if self._host is None:
            if not self._move_in(host):
                return False
            self._host = host
            self._mailbox.bind(host.port)
        elif self._host is not host:
            raise ValueError(f"{self!r} lives with another server: make a room for each")
        return True

    # -- in the room's turns --

    def _do(self, call: Callable[..., object], *arguments: Any) -> None:
        if self._mailbox.is_mine:
            call(*arguments)
        else:
            self._mailbox.post(call, *arguments, urgent=True)

    def _step(self, session: Session, call: Callable[..., object], *arguments: Any) -> None:
        """Do something about a session: now, or when it has arrived."""
        waiting = self._arriving.get(session)
        if waiting is None:
            call(session, *arguments)
        else:
            waiting.append((call, arguments))
            if len(waiting) > self._high:
                self._hold_back(session)

    def _enter(self, session: Session) -> None:
        self._group.add(session)
        self._about(session, self.on_join, session)

    def _exit(self, session: Session) -> None:
        if session in self._group:
            self._group.discard(session)
            self._about(session, self.on_leave, session)
            self._has_left()

    def _expect(self, session: Session) -> None:
        self._arriving[session] = []

    def _hand_over(self, session: Session, other: Gathering) -> None:
        self._exit(session)
        other._mailbox.post(other._arrive, session, urgent=True)

    def _arrive(self, session: Session) -> None:
        waiting = self._arriving.pop(session)
        self._enter(session)
        for call, arguments in waiting:
            self._step(session, call, *arguments)

    def _take_packet(self, session: Session, call: Callable[..., object], packet: Any) -> None:
        """Let a handler have a packet, if its sender is a member still."""
        if session in self._group:
            self._about(session, call, session, packet)

    def _about(self, session: Session, call: Callable[..., object], *arguments: Any) -> None:
        """Call a method of the user; what it raises closes the session that it was about."""
        try:
            call(*arguments)
        except Exception:
            self._count("handler_errors")
            logger.exception("%r: a handler raised; %r is closed", self, session)
            session._finish(DisconnectReason.HANDLER_ERROR)

    def _let_all_go(self) -> None:
        """Let every member leave, and nobody arrive."""
        with self._lock:
            leaving = list(self._places)
            self._places.clear()
        for session in leaving:
            session.strike(self)
            if session.room is self:
                session.room = None
        self._arriving.clear()
        for session in self._group.members():
            self._exit(session)

    def _at_turn(self) -> None:
        """Let those go on that were held back, once the room has caught up."""
        if self._paused and len(self._mailbox) <= self._low:
            for session in list(self._paused):
                if len(self._arriving.get(session, ())) > self._high:
                    continue
                self._paused.discard(session)
                if not session._is_paused:
                    session._stream.resume()

    def _count(self, name: str) -> None:
        if self._host is not None:
            self._host.tally.add(name)
