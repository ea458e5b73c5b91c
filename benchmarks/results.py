"""What the rounds come to: medians, spreads, ratios within a round, and the bars.

A ratio is taken within each round and the median of those counts: whatever disturbed the machine in
a round disturbed both sides of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from benchmarks.bars import Bar, Figure
from benchmarks.contenders import CEILINGS, Contender
from benchmarks.measuring import Figures
from benchmarks.workloads import WORKLOADS, Workload

BUSY: Final = 0.95
"""The share of its CPU from which on the load was the limit, not the server."""

RATIOS: Final[tuple[tuple[Figure, str], ...]] = (
    ("rate", "uvloop"),
    ("rate", "asyncio"),
    ("cpu", "uvloop"),
    ("cpu", "C"),
    ("p50", "uvloop"),
    ("rate", "uvloop-gathered"),
    ("rate", "session-1"),
    ("rate", "simple-queue"),
)


MEMORY: Final = ("server_bytes_a_connection", "object_bytes", "own_bytes")
"""Figures in bytes; see `measuring`."""


@dataclass
class Row:
    """All rounds of one contender at one workload; None is a round that failed."""

    contender: Contender
    rounds: list[Figures | None] = field(default_factory=list)
    problem: str | None = None

    @property
    def good(self) -> list[Figures]:
        """The rounds that have figures."""
        return [figures for figures in self.rounds if figures is not None]

    def median(self, figure: str) -> float:
        """Return the median of the rounds; the row has at least one good one."""
        return float(statistics.median(figures[figure] for figures in self.good))

    def spread(self) -> float:
        """Return how far the rates of the rounds lie apart, as a part of their median."""
        rates = [figures["rate"] for figures in self.good]
        return float((max(rates) - min(rates)) / self.median("rate"))

    @property
    def load_was_the_limit(self) -> bool:
        """True if the server could have done more than the load could ask."""
        return any(figures.get("load_cpu_share", 0.0) > BUSY for figures in self.good)


@dataclass
class Table:
    """One workload with a row for each contender."""

    workload: Workload
    rows: list[Row]

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Table:
        """Return what `as_json` made; the bars are those of today.

        Raises:
            KeyError: There is no such workload any more, or something is missing.
        """
        known = {workload.name: workload for workload in WORKLOADS}
        workload = replace(known[kept["workload"]], words=kept["words"])
        rows = [
            Row(Contender(row["server"], (), row["engine"] or ""), row["rounds"], row["problem"])
            for row in kept["rows"]
        ]
        return cls(workload, rows)

    def ratio(self, row: Row, figure: Figure, against: str) -> float | None:
        """Return the median of the rounds' ratios; None if the other one is not here."""
        pairs = zip(row.rounds, self._baseline(row, figure, against), strict=False)
        ratios = [mine[figure] / other for mine, other in pairs if mine is not None and other]
        return statistics.median(ratios) if ratios else None

    def _baseline(self, of: Row, figure: Figure, against: str) -> list[float | None]:
        """Return the best of each round; of our own servers only those on the same engine count."""
        names, engines = CEILINGS if against == "C" else (against,), ("", of.contender.engine)
        rows = [
            row
            for row in self.rows
            if row.contender.name in names and row.contender.engine in engines
        ]
        count = max((len(row.rounds) for row in rows), default=0)
        best: list[float | None] = []
        for i in range(count):
            rounds = [row.rounds[i] for row in rows if i < len(row.rounds)]
            values = [figures[figure] for figures in rounds if figures is not None]
            pick = max if figure == "rate" else min
            best.append(pick(values) if values else None)
        return best

    def bars(self) -> Iterator[tuple[Row, Bar, float]]:
        """Return each bar with each row that it is about and what the row reached."""
        for bar in self.workload.bars:
            for row in self.rows:
                if row.contender.name == bar.server and row.good and bar.figure in row.good[0]:
                    value = (
                        self.ratio(row, bar.figure, bar.against)
                        if bar.against
                        else row.median(bar.figure)
                    )
                    if value is not None:
                        yield row, bar, value

    def as_json(self) -> dict[str, Any]:
        """Return everything, for ``--json``."""
        workload = self.workload
        return {
            "workload": workload.name,
            "words": workload.words,
            "rows": [self._row_as_json(row) for row in self.rows],
            "bars": [
                {
                    "server": row.contender.label,
                    "bar": str(bar),
                    "binds": row.contender.engine in bar.engines,
                    "reached": round(value, 4),
                    "met": bar.is_met(value),
                }
                for row, bar, value in self.bars()
            ],
        }

    def _row_as_json(self, row: Row) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "server": row.contender.name,
            "engine": row.contender.engine or None,
            "problem": row.problem,
            "rounds": row.rounds,
        }
        if row.good:
            known = ("rate", "cpu", "p50", "p90", "p99", "wakes_a_packet", *MEMORY)
            figures = [figure for figure in known if figure in row.good[0]]
            shown["median"] = {figure: row.median(figure) for figure in figures}
            shown["spread"] = row.spread()
            shown["load_was_the_limit"] = row.load_was_the_limit
            shown["ratios"] = {
                f"{figure} x {against}": self.ratio(row, figure, against)
                for figure, against in RATIOS
                if figure in figures
            }
        return shown
