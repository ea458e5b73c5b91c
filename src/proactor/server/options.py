"""What a server may be told: every option with its default, checked once."""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields
from typing import Any

from proactor.port import DEFAULT_STALL_TIMEOUT
from proactor.server.policies import RateAction

_SECONDS = (
    "first_packet_timeout", "idle_timeout", "heartbeat", "tcp_user_timeout", "accept_rate",
    "packets_per_second", "bytes_per_second", "stall_timeout",
)  # fmt: skip
"""These are numbers above zero, or None for "off"."""

_COUNTS = (
    "workers", "accepts", "backlog", "max_sessions", "max_per_address", "heartbeat_misses",
    "accept_burst", "packet_burst", "byte_burst", "max_queued_bytes",
)  # fmt: skip


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
        ValueError: A number makes no sense; the text names it.
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
        for name in _SECONDS:
            number = getattr(self, name)
            if number is not None and not number > 0:
                raise ValueError(f"{name} is a number above 0, or None for off, not {number!r}")
        for name in ("proxy_timeout", "close_timeout", "drain_timeout"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is 0 or more seconds, not {getattr(self, name)!r}")
        for name in _COUNTS:
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} is 1 or more, not {number!r}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is a number from 0 to 65535, not {self.port!r}")

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
