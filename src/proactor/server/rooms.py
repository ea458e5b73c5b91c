"""Rooms: groups that run code of their own, in order, with a mailbox and a tick.

Everything of a room runs in its turns, one at a time, on any worker. Calls from outside are posted
to its mailbox; calls from its own turn happen at once. So the order is that of the mailbox:

- a session gets the broadcasts that were posted after its `join` and before its `leave`;
- its packets reach `on_packet` between its `on_join` and its `on_leave`, in the order it sent them;
- a move is `on_leave` here, then `on_join` there, and no packet of the mover is lost between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, ClassVar

from proactor.server.gathering import Gathering
from proactor.server.handlers import handler_table
from proactor.server.hosting import Host, logger
from proactor.server.owned_timers import OwnedTimer, OwnedTimers
from proactor.server.policies import UnknownPacket
from proactor.server.reasons import DisconnectReason
from proactor.server.sense import check_positive, check_whole
from proactor.server.session import Session
from proactor.server.ticking import TickClock, TickStatistics


class Room(Gathering):
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
        dispose_when_empty: End the room when its last member has left, and nobody else is coming.
        catch_up: How many missed ticks run one behind the other; the rest are skipped.
        unknown_packet: As of `Session`, for rooms with `@handles` methods.

    Thread-safe: `join`, `leave`, `move`, `broadcast`, `post`, `call_later`, `call_every`,
    `dispose`, and everything that only tells something. Everything `on_...` runs in the room's
    turn; what it raises is logged, and closes the session it was about, if there is one.

    Raises:
        TypeError: What should be a number is none.
        ValueError: A number makes no sense; the text names it, and says what is allowed.
    """

    tick: float | None = None
    dispose_when_empty: ClassVar[bool] = False
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
        super().__init__(max_members, mailbox)
        self.name = name
        if tick is not None:
            self.tick = tick
        check_positive("tick", self.tick, off="None for no ticks")
        check_whole("catch_up", self.catch_up, 1)
        self._timers = OwnedTimers(None, self._mailbox.post)
        self._clock: TickClock | None = None
        self._tick_timer: Any = None

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

    # -- what a user calls, beside `join`, `leave` and `move` --

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
        """End the room: every member leaves, then `on_dispose`. Twice does nothing.

        Behind what is in its mailbox, also when this is the room's turn.
        """
        self._dispose(even_if_not_empty=True)

    def _dispose(self, even_if_not_empty: bool) -> None:
        with self._lock:
            if self._is_disposed or (self._places and not even_if_not_empty):
                return
            self._is_disposed = True
            is_alone = self._host is None
        if is_alone:
            self._end()
        else:
            self._mailbox.post(self._end, urgent=True)

    def _has_left(self) -> None:
        if self.dispose_when_empty:
            self._dispose(even_if_not_empty=False)

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

    def __bool__(self) -> bool:
        return True  # An empty room is a room.

    def __iter__(self) -> Iterator[Session]:
        return iter(self.members())

    def __contains__(self, session: object) -> bool:
        return session in self._group

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {len(self)} members>"

    # -- in its turns --

    def _move_in(self, host: Host) -> bool:
        if not host.adopt_room(self):
            return False
        self._timers.bind(host.timers)
        if self.tick is not None:
            self._clock = TickClock(self.tick, self.catch_up, time.monotonic())
            self._tick_timer = host.timers.call_at(self._clock.deadline, self._mailbox.wake)
        return True

    def _handle(self, session: Session, packet: Any) -> None:
        handler: Any = self.on_packet
        if self._table:
            name = self._table.get(packet.id)
            handler = self.on_unknown if name is None else getattr(self, name)
        self._take_packet(session, handler, packet)

    def _at_turn(self) -> None:
        if self._clock is not None and not self._is_disposed:
            self._run_ticks(self._clock)
        super()._at_turn()

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
        self._let_all_go()
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
