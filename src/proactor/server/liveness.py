"""Is the client still there? Idle time-out, heartbeats, and the limit for the first packet.

Costs nothing a packet: the stream notes when something came, and one timer a session looks at that
when the earliest of the limits could be reached. The timer runs in a worker but not in the
session's turn, so it only calls what is thread-safe.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any

from proactor.server.hosting import Host
from proactor.server.options import ServerOptions
from proactor.server.reasons import DisconnectReason

_SOONEST = 0.005  # Seconds between two looks, so that rounding cannot make a timer spin.


class Liveness:
    """Watches one session until it is cancelled."""

    __slots__ = (
        "_first",
        "_heard",
        "_heartbeats",
        "_host",
        "_is_over",
        "_options",
        "_session",
        "_timer",
    )

    def __init__(self, session: Any, options: ServerOptions, host: Host) -> None:
        """Begin to watch."""
        self._session = session
        self._options = options
        self._host = host
        self._is_over = False
        self._heard = 0.0
        self._heartbeats = 0  # Sent since something came.
        limit = options.first_packet_timeout
        self._first = None if limit is None else time.monotonic() + limit
        self._timer: Any = None
        self._look()

    def cancel(self) -> None:
        """Stop watching."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._is_over:
            return
        now = time.monotonic()
        session = self._session
        waits = []
        if self._first is not None:
            waits.append(self._look_for_the_first(now))
        if self._options.idle_timeout is not None or self._options.heartbeat is not None:
            silent = 0.0 if session._is_paused else now - session._stream.last_received
            if self._options.heartbeat is not None:
                waits.append(self._beat(silent, self._options.heartbeat))
            if self._options.idle_timeout is not None:
                waits.append(self._options.idle_timeout - silent)
                if waits[-1] <= 0:
                    session._finish(DisconnectReason.IDLE, f"silent for {silent:.3g} s")
        wait = min(waits, default=inf)
        if wait < inf and session._reason is None and not self._is_over:
            self._timer = self._host.timers.call_later(max(_SOONEST, wait), self._look)

    def _look_for_the_first(self, now: float) -> float:
        """Close a session whose first packet is overdue; return the seconds until it is."""
        assert self._first is not None
        if self._session._stream.statistics().frames_received:
            self._first = None
            return inf
        if now >= self._first:
            limit = self._options.first_packet_timeout
            self._session._finish(DisconnectReason.FIRST_PACKET, f"none within {limit:g} s")
        return self._first - now

    def _beat(self, silent: float, interval: float) -> float:
        """Send a heartbeat if one is due; return the seconds until the next would be."""
        session = self._session
        heard = session._stream.last_received
        if heard != self._heard:
            self._heard, self._heartbeats = heard, 0
        if silent < interval:
            return interval - silent
        if self._heartbeats >= self._options.heartbeat_misses:
            text = f"{self._heartbeats} heartbeats without an answer"
            session._finish(DisconnectReason.HEARTBEAT, text)
            return interval
        self._heartbeats += 1
        if session.heartbeat_packet is not None and session.send(session.heartbeat_packet):
            self._host.tally.add("heartbeats")
        return interval
