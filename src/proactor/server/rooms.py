"""Rooms: groups that run code of their own, in order, with a mailbox and a tick.

Everything of a room runs in its turns, one at a time, on any worker. Calls from outside are posted
to its mailbox; calls from its own turn happen at once. So the order is that of the mailbox:

- a session gets the broadcasts that were posted after its `join` and before its `leave`;
- its packets reach `on_packet` between its `on_join` and its `on_leave`, in the order it sent them;
- a move is `on_leave` here, then `on_join` there, and no packet of the mover is lost between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar

from proactor.framing import Framing
from proactor.server.groups import Group
from proactor.server.handlers import handler_table
from proactor.server.hosting import Host, logger
from proactor.server.mailboxes import Mailbox
from proactor.server.owned_timers import OwnedTimer, OwnedTimers
from proactor.server.policies import UnknownPacket
from proactor.server.reasons import DisconnectReason
from proactor.server.session import Session, SessionState
from proactor.server.ticking import TickClock, TickStatistics


class _Members(Group):
    """The members of a room, whom it lets go in its own turn."""

    leaves_by_itself = False


class Room:
    """Sessions that meet. Subclass it and override what you need, or use it as it is.

    Args:
        name: For people and for the log.
        max_members: `join` refuses more. None: no cap but that of the server.
        tick: Seconds between two calls of `on_tick`; None: no ticks. Overrides the class's.
        mailbox: The most calls and packets that wait; when half of it is taken, the sessions that
            send are paused until it is nearly empty.

    A room belongs to the server of the first session that joins it, or to the one whose `add_room`
    it was given to; until then its mailbox waits. It lives until `dispose`, or the server's end.

    Attributes of the class:
        tick: As the argument.
        catch_up: How many missed ticks run one behind the other; the rest are skipped.
        unknown_packet: As of `Session`, for rooms with `@handles` methods.

    Thread-safe: `join`, `leave`, `move`, `broadcast`, `post`, `call_later`, `call_every`,
    `dispose`, and everything that only tells something. Everything `on_...` runs in the room's
    turn; what it raises is logged, and closes the session it was about, if there is one.
    """

    tick: float | None = None
    catch_up: ClassVar[int] = 5
    unknown_packet: ClassVar[UnknownPacket] = UnknownPacket.IGNORE

    _table: ClassVar[dict[Any, str]] = {}

    def __init__(
        self,
        name: str = "",
        *,
        max_members: int | None = None,
        tick: float | None = None,
        mailbox: int = 65536,
    ) -> None:
        """Open a room that is empty."""
        self.name = name
        self.max_members = max_members
        if tick is not None:
            self.tick = tick
        self._group = _Members()
        self._mailbox = Mailbox(self, mailbox, self._at_turn)
        self._high, self._low = mailbox // 2, mailbox // 8
        self._lock = threading.Lock()
        self._places: set[Session] = set()  # Who has joined or is about to.
        self._arriving: dict[Session, list[Any]] = {}  # Packets of movers, who are on their way.
        self._paused: set[Session] = set()
        self._host: Host | None = None
        self._framing: Framing | None = None
        self._timers = OwnedTimers(None, self._mailbox.post)
        self._clock: TickClock | None = None
        self._tick_timer: Any = None
        self._is_disposed = False

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Build the table of the class's handlers."""
        super().__init_subclass__(**arguments)
        cls._table = handler_table(cls)

    # -- what a subclass overrides --

    def on_join(self, session: Session) -> None:
        """`session` is a member now; it gets what is broadcast from here on."""

    def on_leave(self, session: Session) -> None:
        """`session` is no member any more: it left, moved, or ended."""

    def on_packet(self, session: Session, packet: Any) -> None:
        """A member has sent a packet. Not called in a class with `@handles` methods."""

    def on_unknown(self, session: Session, packet: Any) -> None:
        """A member has sent a packet that no `@handles` method claims; as `Session.on_unknown`."""
        session._host.tally.add("unknown_packets")
        if self.unknown_packet is UnknownPacket.CLOSE:
            session._finish(DisconnectReason.UNKNOWN_PACKET, f"packet id {packet.id!r}")

    def on_tick(self, step: float) -> None:
        """One fixed step of `step` seconds is over."""

    def on_dispose(self) -> None:
        """The room is over, its members have left: the last call ever, once."""

    # -- what a user calls --

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
        self._do(self._exit, session)

    def move(self, session: Session, other: Room) -> bool:
        """Let a member go over to `other`: `on_leave` here, then `on_join` there.

        What it has sent until now is still handled here, what it sends from now on there. Between
        the two it gets the broadcasts of neither.

        Returns:
            False if it is no member here, or `other` has no place: then nothing has changed.
        """
        if self is other or session not in self._places or not other._reserve(session, True):
            return False
        with self._lock:
            was_here = session in self._places
            if was_here:
                self._places.discard(session)
                session.room = other
                # Under the lock: no packet gets between these two lines, see `deliver`.
                self._mailbox.post(self._hand_over, session, other, urgent=True)
        if not was_here:  # It left in this moment.
            other._turn_away(session)
            return False
        session.strike(self)
        if session.state is SessionState.CLOSED:
            other.leave(session)
        return True

    def broadcast(
        self, item: Any, exclude: Session | None = None, key: Hashable | None = None
    ) -> None:
        """Send one packet to every member but `exclude`; see `Group.broadcast`.

        From the room's turn at once, else in its order in the mailbox. If the mailbox is full the
        packet is dropped, and counted.
        """
        if self._mailbox.is_mine:
            self._group.broadcast(item, exclude, key)
        elif not self._mailbox.post(self._group.broadcast, item, exclude, key):
            self._count("dropped")

    def post(self, call: Callable[..., object], *arguments: Any) -> bool:
        """Run `call(*arguments)` in the room's turn; False if it is full of calls, or over."""
        return self._mailbox.post(call, *arguments)

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Call once in the room's turn, `delay` seconds after now (or after it has a server)."""
        return self._timers.call_later(delay, call, arguments)

    def call_every(self, period: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Call every `period` seconds in the room's turn, as long as it lives."""
        return self._timers.call_every(period, call, arguments)

    def dispose(self) -> None:
        """End the room: every member leaves, then `on_dispose`. Twice does nothing."""
        with self._lock:
            if self._is_disposed:
                return
            self._is_disposed = True
            is_alone = self._host is None
        if is_alone:
            self._end()
        else:
            self._do(self._end)

    def members(self) -> list[Session]:
        """Return the members as a list of their own."""
        return self._group.members()

    def tick_statistics(self) -> TickStatistics:
        """Return how well the tick was kept; all zero without one."""
        clock = self._clock
        return TickStatistics(0, 0, 0, 0.0, 0.0) if clock is None else clock.statistics()

    @property
    def is_disposed(self) -> bool:
        """True from `dispose` on."""
        return self._is_disposed

    def __len__(self) -> int:
        return len(self._group)

    def __iter__(self) -> Iterator[Session]:
        return iter(self.members())

    def __contains__(self, session: object) -> bool:
        return session in self._group

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {len(self)} members>"

    # -- who has a place --

    def _reserve(self, session: Session, is_moving: bool = False) -> bool:
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
            if is_moving:
                self._arriving[session] = []
        session.enlist(self)
        return True

    def _turn_away(self, session: Session) -> None:
        """Take back the place of a mover that did not move."""
        with self._lock:
            self._places.discard(session)
            self._arriving.pop(session, None)
        session.strike(self)

    def bind(self, host: Host) -> bool:
        """Live with this server from now on; False if it has ended. `Server.add_room` calls it.

        Raises:
            ValueError: The room lives with another server.
        """
        with self._lock:
            return self._belong_to(host)

    def _belong_to(self, host: Host) -> bool:
        if self._host is not None:
            if self._host is not host:
                raise ValueError(f"{self!r} lives with another server: make a room for each")
            return True
        if not host.adopt_room(self):
            return False
        self._host = host
        self._timers.bind(host.timers)
        if self.tick is not None:
            self._clock = TickClock(self.tick, self.catch_up, time.monotonic())
            self._tick_timer = host.timers.call_at(self._clock.deadline, self._mailbox.wake)
        self._mailbox.bind(host.port)
        return True

    # -- packets --

    def deliver(self, session: Session, packet: Any) -> None:
        """Hand a packet of a member to the room. `Session.on_packet` calls it, in its turn.

        If it is full of calls, the session is received from no more until the room has caught up.
        """
        with self._lock:  # So that a move is before or behind a packet, for both rooms.
            is_here = session.room is self
            is_taken = is_here and self._mailbox.post(self._take_packet, session, packet)
        if is_taken:
            if len(self._mailbox) > self._high:
                self._hold_back(session)
        elif is_here:
            self._count("dropped")
        elif session.room is not None:
            session.room.deliver(session, packet)

    def _hold_back(self, session: Session) -> None:
        self._paused.add(session)
        session._stream.pause()
        if len(self._mailbox) <= self._low:  # It has caught up in between, and does not look again.
            self._mailbox.wake()

    def _take_packet(self, session: Session, packet: Any) -> None:
        waiting = self._arriving.get(session)
        if waiting is not None:
            waiting.append(packet)
        elif session in self._group:
            if not self._table:
                self._about(session, self.on_packet, session, packet)
            elif (name := self._table.get(packet.id)) is not None:
                self._about(session, getattr(self, name), session, packet)
            else:
                self._about(session, self.on_unknown, session, packet)

    # -- what happens in the room's turn --

    def _do(self, call: Callable[..., object], *arguments: Any) -> None:
        if self._mailbox.is_mine:
            call(*arguments)
        else:
            self._mailbox.post(call, *arguments, urgent=True)

    def _about(self, session: Session, call: Callable[..., object], *arguments: Any) -> None:
        """Call a method of the user; what it raises closes the session that it was about."""
        try:
            call(*arguments)
        except Exception:
            self._count("handler_errors")
            logger.exception("%r: a handler raised; %r is closed", self, session)
            session._finish(DisconnectReason.HANDLER_ERROR)

    def _enter(self, session: Session) -> None:
        self._group.add(session)
        self._about(session, self.on_join, session)

    def _exit(self, session: Session) -> None:
        if self._arriving.pop(session, None) is None:  # Else it never arrived.
            self._group.discard(session)
            self._about(session, self.on_leave, session)

    def _hand_over(self, session: Session, other: Room) -> None:
        self._exit(session)
        other._mailbox.post(other._arrive, session, urgent=True)

    def _arrive(self, session: Session) -> None:
        waiting = self._arriving.pop(session, None)
        if waiting is not None:  # Else it has ended on its way.
            self._enter(session)
            for packet in waiting:
                self._take_packet(session, packet)

    def _at_turn(self) -> None:
        """Tick if it is time, and let those go on that were held back."""
        if self._clock is not None and not self._is_disposed:
            self._run_ticks(self._clock)
        if self._paused and len(self._mailbox) <= self._low:
            for session in list(self._paused):
                self._paused.discard(session)
                if not session._is_paused:
                    session._stream.resume()

    def _run_ticks(self, clock: TickClock) -> None:
        now = time.monotonic()
        if now < clock.deadline:
            return
        for _ in range(self.catch_up):
            if not clock.begin(now):
                break
            began = now
            try:
                self.on_tick(clock.period)
            except Exception:
                self._count("handler_errors")
                logger.exception("%r: on_tick raised", self)
            now = time.monotonic()
            clock.end(now - began)
        if self._host is not None and not self._is_disposed:
            self._tick_timer = self._host.timers.call_at(clock.deadline, self._mailbox.wake)

    def _end(self) -> None:
        with self._lock:
            members = list(self._places)
            self._places.clear()
        for session in members:
            session.strike(self)
            if session.room is self:
                session.room = None
            self._exit(session)
        self._timers.close()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        self._mailbox.close()
        try:
            self.on_dispose()
        except Exception:
            self._count("handler_errors")
            logger.exception("%r: on_dispose raised", self)
        if self._host is not None:
            self._host.room_disposed(self)

    def _count(self, name: str) -> None:
        if self._host is not None:
            self._host.tally.add(name)
