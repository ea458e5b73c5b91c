"""The line of ``proactor load`` at the foot of a terminal. Nothing where there is none."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.text import Text

from proactor.cli import shown
from proactor.cli.foot import TerminalFoot
from proactor.load import Histogram, LoadPlan, Moment
from proactor.load.generator import Phase

PERIOD: Final = 0.5
"""Seconds over which the rate and the percentiles of the line are taken."""


class LoadLine(TerminalFoot):
    """What the load does now, redrawn by `refresh` in the thread that runs it.

    A context manager: the line is there inside the block, on a terminal only.
    """

    def __init__(self, console: Console, plan: LoadPlan) -> None:
        """Prepare a line about a run of `plan`."""
        super().__init__(console)
        self._plan = plan
        self._since = time.monotonic()
        self._replies = 0
        self._latencies = Histogram()

    def refresh(self, moment: Moment) -> None:
        """Redraw the line if its period is over."""
        now = time.monotonic()
        passed = now - self._since
        if not self.is_shown or passed < PERIOD:
            return
        latencies, replies = moment.latencies(), moment.counts.replies
        line = self._line(moment, (replies - self._replies) / passed, latencies)
        self._since, self._replies, self._latencies = now, replies, latencies
        self.redraw(line)

    def _line(self, moment: Moment, rate: float, latencies: Histogram) -> Text:
        counts = moment.counts
        errors = sum(counts.failed.values())
        what = "deliveries" if self._plan.kind == "fanout" else "messages"
        line = Text.assemble((self._phase(moment), "bold"), style="reverse")
        if counts.phase is not Phase.OPENING:
            line.append(f"   {rate:,.0f} {what}/s", "bold")
        recent = latencies.since(self._latencies)
        if recent.recorded:
            p50, p99 = (recent.quantile(part) * 1e3 for part in (0.5, 0.99))
            line.append(f"   p50 {p50:.2f} ms   p99 {p99:.2f} ms")
        if errors:
            line.append(f"   {shown.counted(errors, 'connection')} failed", "bold red")
        return line

    def _phase(self, moment: Moment) -> str:
        counts, plan = moment.counts, self._plan
        match counts.phase:
            case Phase.OPENING:
                return f"opening: {counts.opened:,} of {plan.connections:,} connections"
            case Phase.WARMUP:
                return "warming up"
            case Phase.MEASURE:
                passed = time.monotonic() - counts.began / 1e9
                return f"{passed:.0f} of {plan.duration:.0f} s"
            case _:
                return f"awaiting {counts.outstanding:,} replies"
