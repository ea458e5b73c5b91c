"""The server: a listener, workers on one port, sessions, rooms, and an orderly end.

It owns the order of things: who is admitted, when a session begins, what stopping does. The traffic
itself never comes here: it goes from a session's stream straight to the session.
"""

from __future__ import annotations

import enum
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from proactor.port import CompletionPort
from proactor.server.acceptor import Acceptor, listen
from proactor.server.budgets import SendBudget
from proactor.server.census import Census
from proactor.server.crews import Crew
from proactor.server.hosting import logger
from proactor.server.options import ServerOptions
from proactor.server.owned_timers import OwnedTimer, OwnedTimers
from proactor.server.reasons import DisconnectReason, Refusal
from proactor.server.reception import Reception
from proactor.server.sense import check_seconds
from proactor.server.session import Session
from proactor.server.tallies import ServerStatistics, Tally
from proactor.timers import TimerQueue

LAST_MOMENTS = 2.0
"""Seconds that what has been reset, and rooms and workers, may take to end."""


class ServerState(enum.Enum):
    """Where a server is in its life."""

    LISTENING = "listening"
    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"

    __hash__ = object.__hash__


class Server:
    """Serves a class of sessions on one address.

    Args:
        session_class: Made without arguments for each connection.
        options: All options; `ServerOptions()` if not given.
        **changes: Single options by name, over `options`: ``port=0, workers=2``.

    Raises:
        OSError: The address is in use, is not ours, or does not exist; the text says which.
        TypeError: There is no such option, or it is no number as it should be; or the class cannot
            work (see `Session.check_class`).
        ValueError: The number of an option makes no sense.

    States: listening (from the start; clients wait in the backlog) -> serving -> draining ->
    closed. A `with` block starts the server, and closes it at its end. Thread-safe, except that
    `drain`, `close` and `run` must not be called by a worker: call `stop` there.
    """

    def __init__(
        self,
        session_class: type[Session],
        options: ServerOptions | None = None,
        **changes: Any,
    ) -> None:
        """Bind and listen."""
        session_class.check_class()
        self.session_class = session_class
        if options is None:
            self._options = ServerOptions.from_names(changes)
        else:
            self._options = replace(options, **changes)
        options = self._options
        self._tally = Tally()
        self._state = ServerState.LISTENING
        self._state_lock = threading.RLock()
        self._began = time.monotonic()
        self._was_polite = True
        self._stop_requests: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._rooms: set[Any] = set()
        self._census = Census(self._tally)
        self._room_gone = threading.Event()
        listener = listen(options.host, options.port, options.backlog)
        try:
            self.address: tuple[str, int] = listener.getsockname()[:2]
            self._port = CompletionPort(options.concurrency, stall_timeout=options.stall_timeout)
        except BaseException:
            listener.close()
            raise
        self._crew = Crew(self._port, options.workers)
        self._timers = OwnedTimers(self._crew.timers, self._crew.post)
        self._reception = Reception(self, session_class, self._session_made)
        self._acceptor = Acceptor(
            self._port, listener, self._crew.timers, options, self._tally, self._reception.admit
        )

    # -- its life --

    def start(self) -> None:
        """Launch the workers and begin to accept; returns at once.

        Raises:
            RuntimeError: It was started before.
        """
        with self._state_lock:
            if self._state is not ServerState.LISTENING:
                raise RuntimeError(f"a server serves once, and this is {self._state.value}")
            self._state = ServerState.SERVING
            self._began = time.monotonic()
            self._crew.launch()
            if (limit := self._options.max_queued_bytes) is not None:
                SendBudget(limit, self._crew.timers, self._census.sessions).begin()
            self._acceptor.start()
        logger.info("%r", self)  # Its state is in it.

    def stop(self) -> None:
        """Ask `run` to drain and return. Returns at once.

        From any thread, and from a signal handler. A second call while it drains makes it give up
        waiting, and reset what is left.
        """
        self._stop_requests.put("stop")

    def run(self) -> bool:
        """Serve until `stop` is called, then drain and close. Starts the server if need be.

        Returns:
            As `drain`: whether every session has ended politely. How many have not is in the log.
        """
        if self._state is ServerState.LISTENING:
            self.start()
        try:
            # With a time-out, so that signals are handled also where a wait does not end for them.
            while not self._is_asked_to_stop(0.25):
                pass
        except BaseException:
            self.drain()
            raise
        return self.drain()

    def _is_asked_to_stop(self, timeout: float) -> bool:
        try:
            self._stop_requests.get(timeout=timeout)
        except queue.Empty:
            return self._state is ServerState.CLOSED
        return True

    def drain(self, deadline: float | None = None) -> bool:
        """Stop politely: accept nothing more, tell the sessions, let their queues flush, close.

        Args:
            deadline: Seconds from now after which what is left is reset; `drain_timeout` if not
                given. `stop` cuts it short.

        Returns:
            True if every session has ended politely; if not, how many were reset, and how much
            they had not taken, is in the log, and in `ServerStatistics.cut_off`. Either way the
            server is closed afterwards: no session, no thread and no descriptor is left, every
            room is disposed. A second call returns what the first one did.

        Raises:
            RuntimeError: A worker of the server calls it.
            ValueError: `deadline` is negative, endless or NaN.
        """
        seconds = self._options.drain_timeout if deadline is None else deadline
        check_seconds("deadline", seconds)
        if self._crew.is_mine:
            raise RuntimeError("drain waits for the workers: call stop() from a session or a room")
        with self._state_lock:  # A second caller waits here, and finds it closed.
            if self._state is ServerState.CLOSED:
                return self._was_polite
            was_serving = self._state is not ServerState.LISTENING
            self._state = ServerState.DRAINING
            end = time.monotonic() + seconds
            self._acceptor.stop()
            if was_serving:
                self._was_polite = self._end_sessions(end)
            self._timers.close()
            if was_serving:
                self._end_rooms()
                self._crew.stop()
                if not self._crew.join(LAST_MOMENTS):
                    logger.error("%r: a worker has not come back from a handler", self)
            self._port.close()
            self._state = ServerState.CLOSED
        logger.info("%r", self)
        return self._was_polite

    def close(self) -> None:
        """Stop now: reset every session, end rooms and workers. Repeatable."""
        self.drain(0.0)

    def __enter__(self) -> Server:
        """Start the server and return it."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the server."""
        self.close()

    def _end_sessions(self, end: float) -> bool:
        """End all sessions by `end`, and say whether all have ended politely."""
        before = self._tally.counts()
        for session in self._census.sessions():
            if end > time.monotonic():
                session.post(session.drain)
        level = logging.INFO  # Nobody is warned of what he has asked for.
        while (left := end - time.monotonic()) > 0:
            level = logging.WARNING
            if self._census.wait_until_empty(min(left, 0.1)):
                break
            if self._is_asked_to_stop(0.0):
                level = logging.INFO
                break
        for session in self._census.sessions():
            session.give_up()
        last = time.monotonic() + LAST_MOMENTS
        self._acceptor.join(LAST_MOMENTS)  # One that was accepted last may be a session only now.
        if not self._census.wait_until_empty(max(0.0, last - time.monotonic())):
            logger.error("%r: %d sessions do not end", self, len(self._census))
            return False
        return self._tell_cut_off(before, level)

    def _tell_cut_off(self, before: dict[Any, int], level: int) -> bool:
        """Log how many were reset since then; True if there were none."""
        now: dict[Any, int] = dict(self._tally.counts())
        sessions, unsent = (now.get(n, 0) - before.get(n, 0) for n in ("cut_off", "cut_off_bytes"))
        if not sessions:
            return True
        text = "%r: %d sessions did not end in time and were reset; %d bytes for them are lost"
        logger.log(level if unsent else logging.INFO, text, self, sessions, unsent)
        return False

    def _end_rooms(self) -> None:
        for room in list(self._rooms):
            room.dispose()
        deadline = time.monotonic() + LAST_MOMENTS
        while self._rooms and time.monotonic() < deadline:
            self._room_gone.wait(0.05)
            self._room_gone.clear()
        if self._rooms:
            logger.error("%r: %d rooms do not end", self, len(self._rooms))

    # -- what it is --

    @property
    def options(self) -> ServerOptions:
        """Its options."""
        return self._options

    @property
    def port(self) -> CompletionPort:
        """The port that its workers serve; do not close it."""
        return self._port

    @property
    def timers(self) -> TimerQueue:
        """The timers that its workers run. `call_later` is nearly always what you want."""
        return self._crew.timers

    @property
    def tally(self) -> Tally:
        """Its counters."""
        return self._tally

    @property
    def state(self) -> ServerState:
        """Where it is in its life."""
        return self._state

    def sessions(self) -> list[Session]:
        """Return the live sessions as a list of their own, the oldest first."""
        return self._census.sessions()

    def find(self, session_id: int) -> Session | None:
        """Return the live session with this id, or None."""
        return self._census.find(session_id)

    def __len__(self) -> int:
        return len(self._census)

    def __bool__(self) -> bool:
        return True  # A server without sessions is a server.

    def __iter__(self) -> Iterator[Session]:
        return iter(self._census)

    def __repr__(self) -> str:
        host, port = self.address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"<Server {self.session_class.__name__} {where} {self._state.value}>"

    def statistics(self) -> ServerStatistics:
        """Return a snapshot. Costs about a microsecond a live session."""
        counts: Any = self._tally.counts()
        traffic = self._census.traffic()
        return ServerStatistics(
            state=self._state.value,
            uptime=time.monotonic() - self._began,
            sessions=len(self._census),
            peak_sessions=counts.get("peak_sessions", 0),
            accepted=counts.get("accepted", 0),
            refused={name: counts[name] for name in Refusal if name in counts},
            accept_failures=counts.get("accept_failures", 0),
            ended={name: counts[name] for name in DisconnectReason if name in counts},
            cut_off=counts.get("cut_off", 0),
            refused_packets=traffic.pop("refused"),
            unknown_packets=counts.get("unknown_packets", 0),
            limited_packets=counts.get("limited_packets", 0),
            handler_errors=counts.get("handler_errors", 0),
            heartbeats=counts.get("heartbeats", 0),
            rooms=len(self._rooms),
            timers=len(self._crew.timers),
            port=self._port.statistics(),
            **traffic,
        )

    # -- timers, calls, rooms --

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Let a worker call `call(*arguments)`; not in order with anything.

        Raises:
            PortClosed: The server is closed (6).
        """
        self._crew.post((lambda: call(*arguments)) if arguments else call)

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Let a worker call once, `delay` seconds from now, unless the server ends before."""
        return self._timers.call_later(delay, call, arguments)

    def call_every(self, period: float, call: Callable[..., object], *arguments: Any) -> OwnedTimer:
        """Let a worker call every `period` seconds, until the server ends."""
        return self._timers.call_every(period, call, arguments)

    def add_room(self, room: Any) -> None:
        """Let `room` live with this server from now on: its mailbox and its tick begin to run.

        A room that sessions join is added by the first of them.

        Raises:
            ValueError: It lives with another server, or this one has ended.
        """
        if not room.bind(self):
            raise ValueError(f"{room!r} cannot live with {self!r}, which has ended")

    # -- as its sessions and rooms see it --

    def adopt_room(self, room: Any) -> bool:
        """See `Host`."""
        if self._state in (ServerState.DRAINING, ServerState.CLOSED):
            return False
        self._rooms.add(room)
        return True

    def room_disposed(self, room: Any) -> None:
        """See `Host`."""
        self._rooms.discard(room)
        self._room_gone.set()

    def session_ended(self, session: Session, reason: DisconnectReason) -> None:
        """See `Host`."""
        self._reception.leave(session)
        self._census.leave(session, reason)

    def _session_made(self, session: Session) -> None:
        """Enter a session, before it begins."""
        self._census.enter(session)
        if self._state is not ServerState.SERVING:  # The drain has listed the sessions before.
            session._cut_off(DisconnectReason.DRAINING)
