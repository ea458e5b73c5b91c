"""One line for each thing that happens on a connection, and never more than a person can read.

The hooks run in the server's threads, so they only note the line; `take` hands the lines to the
one thread that prints. A slow terminal therefore slows no session, and memory is bounded: what
passes `LINES_A_SECOND` of its kind is counted and told in one line.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from proactor.models import Address, Reason, Traffic, address_text

LINES_A_SECOND: Final = 5
"""Lines of each kind that are kept in one second."""

KINDS: Final = ("connected", "received", "sent", "disconnected")


class TrafficLines(Traffic):
    """Counts as every `Traffic` does, and keeps a line for each call below the rate limit.

    Args:
        quiet: Keep no lines at all.

    Thread-safe.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Start with no line."""
        super().__init__()
        self._quiet = quiet
        self._lock = threading.Lock()
        self._second = 0.0
        self._kept = dict.fromkeys(KINDS, 0)
        self._left_out = dict.fromkeys(KINDS, 0)
        self._lines: list[str] = []

    def connected(self, peer: Address) -> None:
        """Note a new connection."""
        super().connected(peer)
        self._note("connected", peer, "connected")

    def received(self, peer: Address, count: int) -> None:
        """Note bytes that came."""
        super().received(peer, count)
        self._note("received", peer, "received", count)

    def sent(self, peer: Address, count: int) -> None:
        """Note bytes that went."""
        super().sent(peer, count)
        self._note("sent", peer, "sent", count)

    def disconnected(self, peer: Address, reason: Reason) -> None:
        """Note the end of a connection."""
        super().disconnected(peer, reason)
        self._note("disconnected", peer, f"disconnected: {reason}")

    def take(self) -> list[str]:
        """Return the lines since the last call, oldest first."""
        with self._lock:
            self._turn(time.monotonic())
            lines, self._lines = self._lines, []
        return lines

    def _note(self, kind: str, peer: Address, text: str, count: int | None = None) -> None:
        if self._quiet:
            return
        with self._lock:
            self._turn(time.monotonic())
            if self._kept[kind] >= LINES_A_SECOND:
                self._left_out[kind] += 1
                return
            self._kept[kind] += 1
            # The text is made only for a line that is kept: most are not, under load.
            what = text if count is None else f"{text} {count:,} B"
            self._lines.append(f"{time.strftime('%H:%M:%S')}  {address_text(peer):<21}  {what}")

    def _turn(self, now: float) -> None:
        """Begin a new second if one has passed, and tell what the last one left out."""
        if now - self._second < 1.0:
            return
        self._second = now
        left_out = [f"{count:,} {kind}" for kind, count in self._left_out.items() if count]
        if left_out:
            self._lines.append(f"{time.strftime('%H:%M:%S')}  left out: {', '.join(left_out)}")
        self._kept = dict.fromkeys(KINDS, 0)
        self._left_out = dict.fromkeys(KINDS, 0)
