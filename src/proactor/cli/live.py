"""The line at the foot of a terminal: what the server does now. Nothing where there is none."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.text import Text

from proactor.cli import shown
from proactor.cli.foot import TerminalFoot
from proactor.cli.traffic_lines import TrafficLines
from proactor.models import EchoServer

PERIOD: Final = 0.5
"""Seconds over which the rates are taken."""


class LiveLine(TerminalFoot):
    """Sessions, messages and bytes a second, redrawn by `refresh` in the thread that prints.

    A context manager: the line is there inside the block, on a terminal only.
    """

    def __init__(self, console: Console, server: EchoServer, traffic: TrafficLines) -> None:
        """Prepare a line about `server`."""
        super().__init__(console)
        self._server = server
        self._traffic = traffic
        self._since = time.monotonic()
        self._seen = self._counters()

    def refresh(self) -> None:
        """Redraw the line if its period is over."""
        passed = time.monotonic() - self._since
        if not self.is_shown or passed < PERIOD:
            return
        counters = self._counters()
        rates = [(new - old) / passed for new, old in zip(counters, self._seen, strict=True)]
        self._since, self._seen = time.monotonic(), counters
        self.redraw(self._line(*rates))

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
