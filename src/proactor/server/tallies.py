"""Counters that several workers count, and the snapshots that a person reads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from proactor.engines.contract import PortStatistics
from proactor.server.reasons import DisconnectReason, Refusal


class Tally:
    """Named counts. Thread-safe; for events that are rare beside the traffic."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[Hashable] = Counter()

    def add(self, name: Hashable, count: int = 1) -> None:
        """Count `count` more of `name`."""
        if count:
            with self._lock:
                self._counts[name] += count

    def raise_to(self, name: Hashable, count: int) -> None:
        """Make the count of `name` at least `count`: for a maximum."""
        with self._lock:
            self._counts[name] = max(self._counts[name], count)

    def counts(self) -> dict[Hashable, int]:
        """Return a copy of all counts, none of which is 0."""
        with self._lock:
            return {name: count for name, count in self._counts.items() if count}


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """A snapshot of a server. Traffic includes sessions that have ended.

    Attributes:
        state: The name of the server's state: listening, serving, draining or closed.
        uptime: Seconds since it began to serve.
        sessions: Live sessions now; `peak_sessions` at most so far.
        accepted: Connections that became sessions.
        refused: Connections that did not, by why.
        accept_failures: Accepts that failed, for lack of descriptors for example.
        ended: Sessions that have ended, by why.
        cut_off: Those of them whose polite end took longer than `ServerOptions.close_timeout`, or
            than the deadline of a drain, so that they were reset.
        bytes_received, frames_received: What came.
        bytes_sent, packets_sent: What the local stack took.
        queued_bytes, queued_packets: What waits to be sent now.
        dropped: Packets dropped because a consumer was slow (oldest and newest).
        replaced: Packets replaced by a later one with the same key.
        refused_packets: Packets refused by a full queue, whatever the policy then did.
        unknown_packets: Packets whose id no handler claims.
        limited_packets: Packets that came faster than the rate limits allow.
        handler_errors: Exceptions that left a handler.
        heartbeats: Heartbeats sent.
        rooms: Rooms that are open.
        timers: Timers that are set.
        port: The counters of the completion port.
    """

    state: str
    uptime: float
    sessions: int
    peak_sessions: int
    accepted: int
    refused: dict[Refusal, int]
    accept_failures: int
    ended: dict[DisconnectReason, int]
    cut_off: int
    bytes_received: int
    frames_received: int
    bytes_sent: int
    packets_sent: int
    queued_bytes: int
    queued_packets: int
    dropped: int
    replaced: int
    refused_packets: int
    unknown_packets: int
    limited_packets: int
    handler_errors: int
    heartbeats: int
    rooms: int
    timers: int
    port: PortStatistics
