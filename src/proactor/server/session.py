"""A session: one client, served by one worker at a time, in order.

It is the sink of its stream: everything in it runs in the stream's turns, so that its own code
needs no lock. This module owns the life of a session (one `on_connected`, one `on_disconnected`,
whatever happens), where its packets go, and how it ends; `sending` owns its send queue.

::

    NEW ──► OPEN ──► CLOSING ──► CLOSED
     │                              ▲
     └── never connected: no call ──┘
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar

from proactor.framing import Framing, RawFraming
from proactor.server.handlers import handler_table
from proactor.server.hosting import Host, logger
from proactor.server.liveness import Liveness
from proactor.server.owned_timers import OwnedTimer, OwnedTimers
from proactor.server.policies import UnknownPacket
from proactor.server.reasons import DisconnectReason
from proactor.server.sending import Sending
from proactor.streams import StreamEnd, StreamLimits, StreamNews, StreamStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from proactor.streams import Stream

_REASONS = {
    StreamEnd.PEER_CLOSED: DisconnectReason.PEER_CLOSED,
    StreamEnd.RESET: DisconnectReason.RESET,
    StreamEnd.CLOSED: DisconnectReason.CLOSED,
    StreamEnd.ABORTED: DisconnectReason.ABORTED,
    StreamEnd.PROTOCOL_ERROR: DisconnectReason.PROTOCOL_ERROR,
    StreamEnd.ERROR: DisconnectReason.ERROR,
}

_CALLED_BY_THE_STREAM = {
    "received": "received",
    "told": "backpressure",
    "ended": "disconnected",
    "failed": "disconnected",
}
"""The methods of a `StreamSink`, and what to override instead."""


class SessionState(enum.Enum):
    """Where a session is in its life."""

    NEW = "new"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"

    __hash__ = object.__hash__


class Session(Sending):
    """One client of a `Server`. Subclass it and override what you need; add any attributes.

    The server makes one with no arguments for each connection. All `on_...` methods, all `@handles`
    methods and all timers of a session run one at a time, in the order in which things happened.
    What a method raises is logged, and closes this session only.

    Attributes of the class, which describe the protocol:
        framing: How bytes become packets. `RawFraming` (the default) gives bytes as they come.
        limits: What one stream may hold; see `StreamLimits`.
        slow_consumer: What happens to a packet when the send queue is full; see `SlowConsumer`.
        unknown_packet: What happens to a packet whose id no `@handles` method claims.
        heartbeat_packet: What is sent as a heartbeat (see `ServerOptions.heartbeat`); None: nothing
            is sent, but a silent client is closed all the same.

    Thread-safe: `send`, `send_frame`, `flush`, `close`, `kick`, `abort`, `pause`, `resume`, `post`,
    `call_later`, `call_every` and everything that only tells something.
    """

    framing: ClassVar[Framing] = RawFraming()
    limits: ClassVar[StreamLimits] = StreamLimits()
    unknown_packet: ClassVar[UnknownPacket] = UnknownPacket.IGNORE
    heartbeat_packet: ClassVar[Any] = None

    room: Any = None
    """The `Room` that it joined last and has not left: `on_packet` hands packets to it."""

    _host: Host
    _stream: Stream
    _state: SessionState = SessionState.NEW
    _reason: DisconnectReason | None = None
    _detail: str = ""
    _is_announced: bool = False
    _is_paused: bool = False
    _given_up: int | None = None
    """Bytes that were queued when its polite end had taken too long."""
    _timers: OwnedTimers | None = None
    _close_timer: Any = None
    _liveness: Liveness | None = None
    _joined: Any = ()
    _peer: Any = None
    """Only if it is not the stream's: one kept for each session would be a fifth of it."""
    _table: ClassVar[dict[Any, str]] = {}

    received: Callable[[Any], object]
    """Where the stream's frames go. Chosen once for each class, so that a frame costs one call."""

    # -- what a subclass overrides --

    def on_connected(self) -> None:
        """The session begins: the first call ever."""

    def on_received(self, received: bytes) -> None:
        """Bytes have come, as they came; only with `RawFraming`. By default: `on_packet`."""
        self.on_packet(received)

    def on_packet(self, packet: Any) -> None:
        """A packet has come. Without an override it goes to the session's `room`, if it has one.

        Not called in a class with `@handles` methods: those, and `on_unknown`, are.
        """
        room = self.room
        if room is not None:
            room.deliver(self, packet)

    def on_unknown(self, packet: Any) -> None:
        """A packet has come whose id no `@handles` method claims.

        It is counted, and `unknown_packet` says whether the session goes on. An override decides
        by itself; call `super().on_unknown(packet)` for what is said here.
        """
        self._host.tally.add("unknown_packets")
        if self.unknown_packet is UnknownPacket.CLOSE:
            packet_id = getattr(packet, "id", None)
            self._finish(DisconnectReason.UNKNOWN_PACKET, f"packet id {packet_id!r}")

    def on_backpressure(self) -> None:
        """The send queue has gone above `limits.send_high`: better send less."""

    def on_drained(self) -> None:
        """The send queue has fallen to `limits.send_low` after `on_backpressure`."""

    def on_draining(self) -> None:
        """The server stops: what is sent here still arrives, then the session is closed."""

    def on_disconnected(self, reason: DisconnectReason) -> None:
        """The session is over: the last call ever, once, if `on_connected` was called."""

    # -- what it is --

    @property
    def id(self) -> int:
        """A number that no other session has while the process lives."""
        return self._stream.id

    @property
    def peer(self) -> Any:
        """The client's address; behind a proxy the one that the proxy named."""
        return self._peer or self._stream.peer

    @property
    def state(self) -> SessionState:
        """Where it is in its life."""
        return self._state

    @property
    def server(self) -> Any:
        """The `Server` that it belongs to."""
        return self._host

    def statistics(self) -> StreamStatistics:
        """Return a snapshot of its counters."""
        return self._stream.statistics()

    def __repr__(self) -> str:
        """Return class, id, peer and state, as in the log."""
        if not hasattr(self, "_stream"):
            return f"<{type(self).__name__} unconnected>"
        peer = ":".join(str(word) for word in self.peer[:2])
        return f"<{type(self).__name__} {self.id:#x} {peer} {self._state.value}>"

    # -- ending, and the rest of what a user calls --

    def close(self) -> None:
        """End politely: no more packets come, what is queued is sent, then the connection closes.

        A peer that does not take it within `ServerOptions.close_timeout` is reset. Closing twice
        does nothing.
        """
        self._finish(DisconnectReason.CLOSED)

    def kick(self, detail: str = "") -> None:
        """Close politely, with the reason `DisconnectReason.KICKED`; `detail` is for the log."""
        self._finish(DisconnectReason.KICKED, detail)

    def abort(self) -> None:
        """Reset the connection now; what is queued is lost."""
        self._cut_off(DisconnectReason.ABORTED)

    def pause(self) -> None:
        """Receive no more until `resume`; TCP makes the peer wait. It is not idle meanwhile."""
        self._is_paused = True
        self._stream.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._is_paused = False
        self._stream.resume()

    def post(self, call: Callable[..., object], *arguments: Any) -> bool:
        """Run `call(*arguments)` in this session's turn; False if it has ended."""
        if arguments:
            return self._stream.post(lambda: call(*arguments))
        return self._stream.post(call)

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Call once, `delay` seconds from now, in this session's turn, unless it ends before."""
        return self._own_timers().call_later(delay, call, arguments)

    def call_every(self, period: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Call every `period` seconds, in this session's turn, until it ends."""
        return self._own_timers().call_every(period, call, arguments)

    def _own_timers(self) -> OwnedTimers:
        timers = self._timers
        if timers is None:
            timers = self._timers = OwnedTimers(self._host.timers, self._stream.post)
            if self._state is SessionState.CLOSED:
                timers.close()
        return timers

    # -- its class --

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Choose where the packets of this class go.

        Raises:
            TypeError: The class defines a name by which the stream calls its session.
        """
        super().__init_subclass__(**arguments)
        for name in _CALLED_BY_THE_STREAM:
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}.{name}: by this name the stream calls its session; override "
                    f"on_{_CALLED_BY_THE_STREAM[name]}, or choose another name"
                )
        cls.choose_receiver()

    @classmethod
    def choose_receiver(cls) -> None:
        """Choose where packets go, so that each costs one call and no question."""
        cls._table = handler_table(cls)
        target: Any = cls.on_packet
        if cls._table:
            target = cls._dispatch
        elif isinstance(cls.framing, RawFraming) and cls.on_received is not Session.on_received:
            target = cls.on_received
        setattr(cls, "received", target)  # noqa: B010  # A method may not be assigned otherwise.

    @classmethod
    def check_class(cls) -> None:
        """Refuse, when a server is made, what could never work.

        Raises:
            TypeError: The class handles packets by id, and its framing knows no ids.
        """
        cls.choose_receiver()  # `framing` may have been set after the class was made.
        if cls._table and isinstance(cls.framing, RawFraming):
            raise TypeError(
                f"{cls.__name__} has @handles methods, but its framing is RawFraming, which knows "
                "no packets: set framing, to PacketFraming() for example"
            )

    def _dispatch(self, packet: Any) -> None:
        name = self._table.get(packet.id)
        if name is None:
            self.on_unknown(packet)
        else:
            getattr(self, name)(packet)

    # -- its life, as the server and the stream drive it --

    def bind(self, host: Host, stream: Stream, peer: Any) -> None:
        """Belong to a server and a stream. Only the server calls this, once.

        `peer` is the address to be told, if it is not the stream's own; else None.
        """
        if peer is not None:
            self._peer = peer
        self._take_stream(host, stream)

    def begin(self) -> None:
        """Connect: the first call in the first turn. Only the server posts this, once."""
        if self._state is not SessionState.NEW:
            return  # Closed before it began: the user never hears of it.
        self._state = SessionState.OPEN
        self._is_announced = True
        options = self._host.options
        if options.idle_timeout or options.heartbeat or options.first_packet_timeout:
            self._liveness = Liveness(self, options, self._host)
        logger.debug("%r: connected", self)
        self._stream.start()
        self.on_connected()

    def told(self, news: StreamNews) -> None:
        """Pass on what the stream says about the send queue."""
        if news & StreamNews.ABOVE_HIGH_WATER:
            self.on_backpressure()
        if news & StreamNews.DRAINED:
            self.on_drained()

    def failed(self, error: BaseException) -> None:
        """Log what a handler raised, and close this session."""
        self._host.tally.add("handler_errors")
        logger.error("%r: a handler raised; the session is closed", self, exc_info=error)
        self._finish(DisconnectReason.HANDLER_ERROR)

    def ended(self, end: StreamEnd, detail: str) -> None:
        """The stream is over: tell the user, leave every room, and let go."""
        reason = self._reason = self._reason or _REASONS[end]
        if self._given_up is not None and end is StreamEnd.ABORTED:
            self._host.tally.add("cut_off")
            self._host.tally.add("cut_off_bytes", self._given_up)
        self._state = SessionState.CLOSED
        self._stop_timers()
        log = logger.info if reason is DisconnectReason.PROTOCOL_ERROR else logger.debug
        log("%r: %s%s", self, reason, f": {self._detail or detail}" * bool(self._detail or detail))
        try:
            if self._is_announced:
                self.on_disconnected(reason)
        except Exception:
            self._host.tally.add("handler_errors")
            logger.exception("%r: on_disconnected raised", self)
        finally:
            for group in list(self._joined):
                group.leave(self)
            self._host.session_ended(self, reason)
            # No call comes any more. Without this way back both go with their last reference.
            self._stream.sink = None

    def drain(self) -> None:
        """Say good-bye, and close politely. Posted by the server that stops."""
        try:
            if self._state is SessionState.OPEN:
                self.on_draining()
        finally:
            self._finish(DisconnectReason.DRAINING)

    def give_up(self) -> None:
        """Reset a session whose polite end takes too long; what is lost is counted. Any thread."""
        if self._given_up is None:
            self._given_up = self._stream.queued_bytes
        self._cut_off(DisconnectReason.DRAINING)

    def enlist(self, group: Any) -> None:
        """Remember a group or a room: it is left when the session ends. Only they call this."""
        joined: set[Any] = self.__dict__.setdefault("_joined", set())  # In one step: any thread.
        joined.add(group)

    def strike(self, group: Any) -> None:
        """Forget a group or a room that is left. Only they call this."""
        if self._joined:
            self._joined.discard(group)

    def _finish(self, reason: DisconnectReason, detail: str = "") -> None:
        """Close politely for `reason`, unless it is ending already. Any thread."""
        if not self._note(reason, detail):
            return
        timeout = self._host.options.close_timeout
        self._close_timer = self._host.timers.call_later(timeout, self.give_up)
        self._stream.close()

    def _cut_off(self, reason: DisconnectReason, detail: str = "") -> None:
        """Reset for `reason`; one that is closing already keeps its reason. Any thread."""
        self._note(reason, detail)
        self._stream.abort()

    def _note(self, reason: DisconnectReason, detail: str) -> bool:
        """Remember why it ends; False if that is known already."""
        if self._reason is not None:
            return False
        self._reason = reason
        self._detail = detail
        if self._state is not SessionState.CLOSED:
            self._state = SessionState.CLOSING
        return True

    def _stop_timers(self) -> None:
        if self._timers is not None:
            self._timers.close()
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._liveness is not None:
            self._liveness.cancel()
            self._liveness = None


Session.choose_receiver()
