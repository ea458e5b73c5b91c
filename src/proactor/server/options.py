"""What a server may be told: every option with its default, checked once."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Final

from proactor.port import DEFAULT_STALL_TIMEOUT
from proactor.server.policies import RateAction
from proactor.server.sense import (
    MOST_COUNT,
    MOST_SECONDS,
    check_positive,
    check_seconds,
    check_whole,
)

_OFF = "None for off"

_COUNTS: Final[dict[str, tuple[int, float]]] = {
    "port": (0, 65535),
    "backlog": (1, MOST_COUNT),
    "workers": (1, MOST_COUNT),
    "concurrency": (0, MOST_COUNT),
    "accepts": (1, MOST_COUNT),
    "max_sessions": (1, inf),
    "heartbeat_misses": (1, inf),
}
"""Whole numbers: the least and the most of each."""

_LIMITS: Final = {
    "max_per_address": _OFF,
    "accept_burst": "None for as much as the rate",
    "packet_burst": "None for as much as the rate",
    "byte_burst": "None for as much as the rate",
    "max_queued_bytes": _OFF,
}
"""Whole numbers from 1 on, or None, and what that says."""

_NUMBERS: Final[dict[str, float]] = {
    "stall_timeout": MOST_SECONDS,
    "accept_rate": inf,
    "first_packet_timeout": inf,
    "idle_timeout": inf,
    "heartbeat": inf,
    "tcp_user_timeout": MOST_SECONDS,
    "packets_per_second": inf,
    "bytes_per_second": inf,
}
"""Numbers above zero, or None for "off": the most of each."""

_TIMES: Final = ("proxy_timeout", "close_timeout", "drain_timeout")
"""Seconds, of which there may be none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """The options of a `Server`. Times are seconds; None switches a limit off.

    What belongs to the protocol (framing, limits of one stream, the policy for slow consumers) is
    not here: those are attributes of the `Session` class.

    Attributes:
        host: Name or address to listen on. The default keeps the world out.
        port: 0 lets the system choose one; `Server.address` tells.
        backlog: Connections that the kernel keeps for us before they are accepted.
        workers: Threads that serve.
        concurrency: How many of them may run at once; 0: see `CompletionPort`.
        stall_timeout: When a worker counts as blocked; see `CompletionPort`.
        accepts: Accepts in flight.
        max_sessions: More connections are reset at once.
        max_per_address: Likewise for one host (behind a proxy: the client's).
        accept_rate: Connections accepted a second; more wait in the backlog.
        accept_burst: How many may come at once all the same; `accept_rate` by default.
        first_packet_timeout: A session from which no whole frame has come by then is closed.
        idle_timeout: A session from which nothing has come for so long is closed.
        heartbeat: Nothing has come for so long: `Session.heartbeat_packet` is sent, again after
            as long. Skipped while traffic comes.
        heartbeat_misses: Heartbeats without any answer after which the session is closed.
        tcp_user_timeout: The system gives a connection up when sent bytes have not been
            acknowledged for so long. Ignored where the system has no such option.
        packets_per_second: Frames that one session may send.
        packet_burst: How many at once; one second's worth by default.
        bytes_per_second: Bytes of frames that one session may send.
        byte_burst: How many at once; one second's worth by default.
        rate_action: What happens to a session that sends more.
        max_queued_bytes: Bytes queued for sending in all sessions together. Above it, those with
            the longest queues are reset (looked at ten times a second). None: no such limit.
        proxy_protocol: Each connection begins with a PROXY header, version 1 or 2; one that does
            not is reset. `Session.peer` is then the client behind the proxy.
        proxy_timeout: The header must have come by then.
        close_timeout: How long a polite close waits for the peer before it resets.
        drain_timeout: What `Server.run` gives to `Server.drain` when it is told to stop.

    Raises:
        TypeError: What should be a number is none.
        ValueError: A number makes no sense; the text names it, and says what is allowed.
    """

    host: str = "127.0.0.1"
    port: int = 7777
    backlog: int = socket.SOMAXCONN
    workers: int = 5
    concurrency: int = 0
    stall_timeout: float | None = DEFAULT_STALL_TIMEOUT
    accepts: int = 16
    max_sessions: int = 50_000
    max_per_address: int | None = None
    accept_rate: float | None = None
    accept_burst: int | None = None
    first_packet_timeout: float | None = None
    idle_timeout: float | None = None
    heartbeat: float | None = None
    heartbeat_misses: int = 3
    tcp_user_timeout: float | None = None
    packets_per_second: float | None = None
    packet_burst: int | None = None
    bytes_per_second: float | None = None
    byte_burst: int | None = None
    rate_action: RateAction = RateAction.CLOSE
    max_queued_bytes: int | None = None
    proxy_protocol: bool = False
    proxy_timeout: float = 5.0
    close_timeout: float = 5.0
    drain_timeout: float = 5.0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name, (least, most) in _COUNTS.items():
            check_whole(name, getattr(self, name), least, most=most)
        for name, off in _LIMITS.items():
            check_whole(name, getattr(self, name), 1, off=off)
        for name, most in _NUMBERS.items():
            check_positive(name, getattr(self, name), most=most, off=_OFF)
        for name in _TIMES:
            check_seconds(name, getattr(self, name))

    @classmethod
    def from_names(cls, names: dict[str, Any]) -> ServerOptions:
        """Return the options in `names`, as from a configuration file.

        Raises:
            TypeError: There is no option of such a name; the text lists those that there are.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(names) - known)
        if unknown:
            raise TypeError(
                f"no server option is called {', '.join(unknown)}: there are "
                f"{', '.join(sorted(known))}"
            )
        return cls(**names)
