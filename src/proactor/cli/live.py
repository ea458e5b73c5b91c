"""The line at the foot of a terminal: what the server does now. Nothing where there is none."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from proactor.cli import shown
from proactor.cli.traffic_lines import TrafficLines
from proactor.models import EchoServer

PERIOD: Final = 0.5
"""Seconds over which the rates are taken."""


class LiveLine:
    """Sessions, messages and bytes a second, redrawn by `refresh` in the thread that prints.

    A context manager: the line is there inside the block, on a terminal only.
    """

    def __init__(self, console: Console, server: EchoServer, traffic: TrafficLines) -> None:
        """Prepare a line about `server`."""
        self._server = server
        self._traffic = traffic
        self._live = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live("", console=console, auto_refresh=False, transient=True)
        self._since = time.monotonic()
        self._seen = self._counters()

    def refresh(self) -> None:
        """Redraw the line if its period is over."""
        passed = time.monotonic() - self._since
        if self._live is None or passed < PERIOD:
            return
        counters = self._counters()
        rates = [(new - old) / passed for new, old in zip(counters, self._seen, strict=True)]
        self._since, self._seen = time.monotonic(), counters
        self._live.update(self._line(*rates), refresh=True)

    def _counters(self) -> tuple[int, int, int]:
        traffic = self._traffic
        return traffic.messages, traffic.bytes_in, traffic.bytes_out

    def _line(self, messages: float, bytes_in: float, bytes_out: float) -> Text:
        return Text.assemble(
            (shown.counted(self._server.sessions, "session"), "bold"),
            "   ",
            (f"{messages:,.0f} messages/s", "bold"),
            f"   {shown.byte_count(bytes_in)}/s in   {shown.byte_count(bytes_out)}/s out",
            style="reverse",
        )

    def __enter__(self) -> LiveLine:
        """Show the line."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()
