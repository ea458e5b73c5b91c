"""What a load is to do: the plan, its defaults, and what makes no sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

Kind = Literal["echo", "framed", "fanout"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

STAMP: Final = 8
"""Bytes of the number and the sender in each message; a smaller message bears the first of them."""

FRAME: Final = 4
"""Bytes of a frame's header: its size, its id."""

SIZES: Final[dict[Kind, int]] = {"echo": 1024, "framed": 36, "fanout": 132}
"""Bytes of a message, where the plan does not say."""

OPEN_DEPTH: Final = 1024
"""In an open loop as many messages may be in flight on a connection, where the plan is silent."""

_LEAST: Final[dict[Kind, int]] = {"echo": 1, "framed": FRAME, "fanout": FRAME + STAMP}
_MOST: Final[dict[Kind, int]] = {"echo": 1 << 24, "framed": 65535, "fanout": 65535}
_MOST_CONNECTIONS: Final[dict[Kind, int]] = {"echo": 25_000, "framed": 25_000, "fanout": 2_000}


class PlanError(ValueError):
    """A plan that cannot be run; the text says which value, and what to give instead."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send, where, how much of it, and for how long.

    Attributes:
        port: Of the server.
        host: Its address or name; nothing is sent to another one.
        kind: ``echo``: bytes that come back. ``framed``: frames (u16 size with the header, u16 id)
            that come back. ``fanout``: frames that come to every connection.
        connections: How many.
        size: Bytes in a message, its frame header included; 0 for the default of the kind.
        depth: Messages in flight on a connection at most; 0 for 1, or with `rate` for 1,024.
        duration: Seconds that are measured.
        messages: Messages after which it ends before `duration` is over; 0 for no such number.
        warmup: Seconds under load before that; None for 0.5, or with `messages` for 0.
        rate: Messages a second, by all connections together, sent when they are due whatever the
            server does (an open loop); 0 for a closed loop: the next one when a reply has come.
        ramp: Seconds over which the connections are opened; 0 for at once.
        timeout: Seconds without any progress after which a connection counts as silent.
        id: Of each frame.
        byteorder: Of the frame's header.
        others_only: The server of a fan-out does not send a frame to its own sender.
    """

    port: int
    host: str = "127.0.0.1"
    kind: Kind = "echo"
    connections: int = 100
    size: int = 0
    depth: int = 0
    duration: float = 10.0
    messages: int = 0
    warmup: float | None = None
    rate: float = 0.0
    ramp: float = 0.0
    timeout: float = 5.0
    id: int = 1
    byteorder: Literal["little", "big"] = "little"
    others_only: bool = False

    @property
    def message_size(self) -> int:
        """Bytes in a message, after the default."""
        return self.size or SIZES[self.kind]

    @property
    def in_flight(self) -> int:
        """Messages in flight on a connection at most, after the default."""
        return self.depth or (OPEN_DEPTH if self.rate else 1)

    @property
    def warmup_seconds(self) -> float:
        """Seconds of warming up, after the default."""
        if self.warmup is not None:
            return self.warmup
        return 0.0 if self.messages else min(0.5, self.duration)

    @property
    def opens_together(self) -> bool:
        """All connections wait until the last one has had its greeting answered."""
        counted = self.rate > 0 or self.messages > 0
        return self.ramp == 0 or counted or self.kind == "fanout"

    def check(self) -> None:
        """Find what makes no sense.

        Raises:
            PlanError: For the first value that is out of range, or that does not fit another.
        """
        if self.kind not in KINDS:
            raise PlanError(f"unknown traffic {self.kind!r}: choose one of {', '.join(KINDS)}")
        if self.byteorder not in ("little", "big"):
            raise PlanError(f"unknown byte order {self.byteorder!r}: choose little or big")
        kind = self.kind
        least_connections = 2 if self.others_only else 1
        for name, value, low, high in (
            ("port", self.port, 1, 65535),
            ("connections", self.connections, least_connections, _MOST_CONNECTIONS[kind]),
            ("size", self.message_size, _LEAST[kind], _MOST[kind]),
            ("depth", self.in_flight, 1, 65536),
            ("duration", self.duration, 0.001, 86_400),
            ("messages", self.messages, 0, 10**12),
            ("warmup", self.warmup_seconds, 0, 3600),
            ("rate", self.rate, 0, 10**8),
            ("ramp", self.ramp, 0, 3600),
            ("timeout", self.timeout, 0.001, 3600),
            ("id", self.id, 0, 65535),
        ):
            if not low <= value <= high:
                raise PlanError(
                    f"--{name} {value} is out of range for {kind}: give {low:,} to {high:,}"
                )
        if self.connections * self.in_flight > 1 << 26:
            raise PlanError(
                f"--depth {self.in_flight:,} on {self.connections:,} connections is too much to "
                "keep account of: give less of either"
            )
        if self.messages and self.warmup:
            raise PlanError("--messages counts from the first on: leave --warmup out")
        if self.others_only and kind != "fanout":
            raise PlanError(
                "--others-only is about fan-out: give --traffic fanout, or leave it out"
            )
