"""Why a connection was given up: the kinds, and the words for a person."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass


class FailureKind(enum.IntEnum):
    """What a server did wrong on a connection, which was then given up."""

    REFUSED = 0
    """It could not be opened."""
    CLOSED = 1
    """The server closed it, or reset it."""
    WRONG = 2
    """A byte is not what it should be."""
    SURPLUS = 3
    """More came than was sent."""
    SILENT = 4
    """Nothing came for the time-out, and something was awaited."""
    SKIPPED = 5
    """Fan-out: a frame came before, or without, the one that its sender sent earlier."""
    REPEATED = 6
    """Fan-out: a frame came again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One connection that was given up.

    Attributes:
        kind: Why.
        connection: Its number, from 0 on.
        position: Bytes that came on it before and were right: where the first wrong one is.
        sender: The connection whose frame it is about (``SILENT``, ``SKIPPED``, ``REPEATED``).
        expected: The byte, or the number of the frame, that was due.
        got: The one that came.
        number: ``REFUSED``, ``CLOSED``: the errno, or 0. ``SILENT``: how many messages were without
            a reply; in a fan-out the number of the frame that did not come.
    """

    kind: FailureKind
    connection: int
    position: int = 0
    sender: int = 0
    expected: int = 0
    got: int = 0
    number: int = 0

    def text(self, *, fans: bool = False) -> str:
        """Say what happened in one line; `fans`: the traffic was a fan-out."""
        return f"connection {self.connection}: {self._what(fans)}"

    def _what(self, fans: bool) -> str:
        after = f"after {self.position:,} right bytes"
        match self.kind:
            case FailureKind.REFUSED:
                return f"it cannot be opened: {os.strerror(self.number)}"
            case FailureKind.CLOSED:
                reason = f": {os.strerror(self.number)}" if self.number else ""
                return f"the server ended it {after}{reason}"
            case FailureKind.WRONG:
                return (
                    f"byte {self.position:,} of the replies is 0x{self.got:02x} "
                    f"and should be 0x{self.expected:02x}"
                )
            case FailureKind.SURPLUS:
                return f"more came than was sent, {after}"
            case FailureKind.SKIPPED:
                return (
                    f"frame {self.got:,} of connection {self.sender} came where its frame "
                    f"{self.expected:,} was due: one is lost, or they are out of order"
                )
            case FailureKind.REPEATED:
                return (
                    f"frame {self.got:,} of connection {self.sender} came again, where its frame "
                    f"{self.expected:,} was due"
                )
            case FailureKind.SILENT if fans and self.number != _GREETING:
                return f"frame {self.number:,} of connection {self.sender} did not come in time"
            case FailureKind.SILENT if fans:
                return "nobody has seen its greeting in time"
            case FailureKind.SILENT:
                replies = "1 reply" if self.number == 1 else f"{self.number:,} replies"
                return f"{replies} did not come in time, {after}"


_GREETING = 0xFFFFFFFF
