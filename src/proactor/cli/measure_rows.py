"""What a measurement is made with, and what comes of it: plain records, no action."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from proactor.cli.exits import Misused


@dataclass(frozen=True)
class Load:
    """What every server is measured with.

    Raises:
        Misused: A value is out of its range; the text says which.
    """

    connections: Sequence[int]
    size: int
    seconds: float
    rounds: int
    workers: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value, low, high in (
            ("connections", max(self.connections), 1, 20_000),
            ("size", self.size, 1, 65_536),
            ("seconds", self.seconds, 0.05, 60),
            ("rounds", self.rounds, 1, 100),
            ("workers", self.workers, 1, 1000),
        ):
            if not low <= value <= high:
                raise Misused(f"--{name} {value} is out of range: give {low:,} to {high:,}")


@dataclass(frozen=True)
class Measurement:
    """One server, one number of connections, one round.

    Attributes:
        rate: Messages a second.
        cpu: Seconds of the server's CPU time a message.
        p50, p99: Seconds from sending a message to its reply, half and 99 of 100 of them.
        load_share: How much of its CPU the load used: near 1, the load was the limit.
    """

    rate: float
    cpu: float
    p50: float
    p99: float
    load_share: float


@dataclass
class Row:
    """All rounds of one server at one number of connections.

    Attributes:
        name: The model, or ``asyncio``.
        ratio: The rate in asyncio's, median of the rounds; None if asyncio failed.
        problem: Why there are no figures, or None.
    """

    name: str
    connections: int
    rounds: list[Measurement] = field(default_factory=list)
    ratio: float | None = None
    problem: str | None = None

    def median(self, figure: str) -> float:
        """Return the median of the rounds of one attribute of `Measurement`."""
        values: list[float] = [getattr(measurement, figure) for measurement in self.rounds]
        return statistics.median(values)
