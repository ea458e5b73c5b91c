"""What a server does now, from two snapshots of its statistics: on a terminal, or as a line.

`parts_of` is pure: the same snapshots give the same words. `LiveView` keeps them at the foot of a
terminal; where there is none, it shows nothing, and `status_line` is printed now and then.
"""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.text import Text

from proactor.cli import shown
from proactor.cli.foot import TerminalFoot
from proactor.server import DisconnectReason, Server, ServerStatistics

PERIOD: Final = 0.5
"""Seconds over which the rates of the live view are taken."""

GAP: Final = "   "
"""Between two parts in a line."""


def parts_of(
    now: ServerStatistics, before: ServerStatistics, seconds: float, workers: int
) -> list[str]:
    """Return the parts of the view: who is there, what flows, what waits, what is lost, who works.

    Args:
        now: The latest snapshot.
        before: The one before; rates are taken between them.
        seconds: The time between them.
        workers: How many workers the server has.
    """
    rates = {
        name: (getattr(now, name) - getattr(before, name)) / seconds if seconds > 0 else 0.0
        for name in ("frames_received", "packets_sent", "bytes_received", "bytes_sent")
    }
    parts = [
        f"{shown.counted(now.sessions, 'session')} (peak {now.peak_sessions:,})",
        f"packets/s {rates['frames_received']:,.0f} in {rates['packets_sent']:,.0f} out",
        f"bytes/s {shown.byte_count(rates['bytes_received'])} in "
        f"{shown.byte_count(rates['bytes_sent'])} out",
        f"queued {shown.byte_count(now.queued_bytes)} "
        f"in {shown.counted(now.queued_packets, 'packet')}",
        f"{now.dropped:,} dropped",
        f"{now.ended.get(DisconnectReason.SLOW_CONSUMER, 0):,} too slow",
    ]
    busy = busy_workers(now, workers)
    if busy is not None:
        parts.append(f"{busy} of {shown.counted(workers, 'worker')} busy")
    return parts + _rare(now)


def packed(parts: list[str], width: int) -> list[str]:
    """Return the parts in lines that are no wider than `width`, unless one part alone is."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(GAP) + len(part) <= width:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines


def busy_workers(now: ServerStatistics, workers: int) -> int | None:
    """Return how many workers do not wait for work; None where the kernel does not tell."""
    if now.port.waiting is None:
        return None
    return max(0, workers - now.port.waiting)


def status_line(
    now: ServerStatistics, before: ServerStatistics, seconds: float, workers: int
) -> str:
    """Return the view as one line of a log."""
    stamp = time.strftime("%H:%M:%S")
    return f"{stamp}  status: {', '.join(parts_of(now, before, seconds, workers))}"


def _is_news(now: ServerStatistics, before: ServerStatistics) -> bool:
    """Say whether anything has happened, or is there, that a line would tell."""
    return bool(now.sessions) or any(
        getattr(now, name) != getattr(before, name)
        for name in ("accepted", "refused", "accept_failures", "ended")
    )


def _rare(now: ServerStatistics) -> list[str]:
    """Return what is told only where there is some of it."""
    refused = sum(now.refused.values())
    counts = {
        f"{refused:,} refused": refused,
        f"{now.limited_packets:,} over their rate": now.limited_packets,
        f"{now.unknown_packets:,} unknown": now.unknown_packets,
        shown.counted(now.handler_errors, "handler error"): now.handler_errors,
        shown.counted(now.accept_failures, "accept failure"): now.accept_failures,
        shown.counted(now.rooms, "room"): now.rooms,
    }
    return [text for text, count in counts.items() if count]


class LiveView(TerminalFoot):
    """The view at the foot of a terminal, redrawn by `refresh` in the thread that prints.

    A context manager: it is there inside the block, and on a terminal only.

    Args:
        report: Seconds between two lines where there is no terminal; None: no lines.
    """

    def __init__(self, console: Console, server: Server, report: float | None) -> None:
        """Prepare a view of `server`."""
        super().__init__(console)
        self._console = console
        self._server = server
        self._workers = server.options.workers
        self._period = PERIOD if self.is_shown else report
        self._since = time.monotonic()
        self._before = server.statistics()

    def refresh(self) -> str | None:
        """Redraw the view if its period is over; return the line to print, if there is one."""
        now = time.monotonic()
        passed = now - self._since
        if self._period is None or passed < self._period:
            return None
        statistics = self._server.statistics()
        view = (statistics, self._before, passed, self._workers)
        self._since, self._before = now, statistics
        if not self.is_shown:
            return status_line(*view) if _is_news(statistics, view[1]) else None
        lines = packed(parts_of(*view), self._console.width)
        self.redraw(Text("\n".join(lines), style="reverse", no_wrap=True))
        return None
