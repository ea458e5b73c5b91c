"""What our own servers are held to: a bar is a ratio within one run, or a plain figure.

It binds the engines that it names; for the others the same figure is shown as a distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Figure = Literal["rate", "cpu", "p50", "wakes_a_packet", "own_bytes"]

NATIVE: Final = ("io_uring", "epoll")
"""The engines that must not be slower than others' compiled code."""

EPOLL_SHARE: Final = 0.9
"""Epoll may fall short of what io_uring must reach by a tenth."""

_WORDS: Final = {
    "cpu": "CPU a message",
    "wakes_a_packet": "wake-ups a packet",
    "own_bytes": "bytes of ours a session",
}


@dataclass(frozen=True)
class Bar:
    """One line of what is to be reached.

    Attributes:
        server: Whose figure, without its engine.
        figure: Which figure.
        against: Divided by whose (a server's, or ``C``: the better ceiling); "" for the figure.
        bound: At least this for a rate, at most this for the others.
        engines: Which engines it binds.
    """

    server: str
    figure: Figure
    against: str
    bound: float
    engines: tuple[str, ...]

    @property
    def subject(self) -> tuple[str, str, str]:
        """What it is about, whatever the bound is."""
        return self.server, self.figure, self.against

    def is_met(self, value: float) -> bool:
        """Say whether `value` is on the right side of the bound."""
        return value >= self.bound if self.figure == "rate" else value <= self.bound

    def shortfall(self, value: float) -> float:
        """Return by which part of the bound `value` misses it; 0 or less where it is met."""
        part = (value - self.bound) / self.bound
        return -part if self.figure == "rate" else part

    def __str__(self) -> str:
        """Return the bar in words."""
        side = "at least" if self.figure == "rate" else "at most"
        of = f" x {self.against}" if self.against else " a second" if self.figure == "rate" else ""
        return f"{_WORDS.get(self.figure, self.figure)} {side} {self.bound:,.10g}{of}"


def native(server: str, figure: Figure, against: str, bound: float) -> tuple[Bar, Bar]:
    """Return the bar for io_uring, and for epoll the same with a tenth less asked."""
    eased = bound * EPOLL_SHARE if figure == "rate" else bound / EPOLL_SHARE
    return (
        Bar(server, figure, against, bound, ("io_uring",)),
        Bar(server, figure, against, round(eased, 3), ("epoll",)),
    )


def cores(figure: Figure, against: str, bound: float) -> tuple[Bar, ...]:
    """Return the same for the server core with one worker and with five."""
    return (
        *native("session-1", figure, against, bound),
        *native("session-5", figure, against, bound),
    )
