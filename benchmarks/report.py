"""The results as a person reads them: aligned text, or Markdown with the same cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar
from benchmarks.columns import NOTHING, columns_of
from benchmarks.results import Table

BUSY_MACHINE = 0.7
"""From this load average on, a report says that the machine was not quiet."""


@dataclass
class Report:
    """One run: its tables, its settings, the machine, and who was missing."""

    machine: dict[str, str]
    settings: dict[str, Any]
    missing: dict[str, str]
    tables: list[Table]

    @classmethod
    def read(cls, path: Path) -> Report:
        """Return what `as_json` wrote.

        Raises:
            ValueError: It is no such file, or of a workload that there is no more.
            OSError: It cannot be read.
        """
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            tables = [Table.read(table) for table in kept["workloads"]]
            return cls(kept["machine"], kept["settings"], kept["missing"], tables)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no result of --json: {error!r}") from error

    @property
    def failures(self) -> list[str]:
        """One line for each row with a problem."""
        return [
            f"{table.workload.name}, {row.contender.label}: {row.problem}"
            for table in self.tables
            for row in table.rows
            if row.problem is not None
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything, for ``--json``."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "missing": self.missing,
            "workloads": [table.as_json() for table in self.tables],
        }

    def lines(self, *, markdown: bool) -> Iterator[str]:
        """Return the report line by line."""
        if markdown:
            yield "# Benchmarks"
            yield ""
        yield from self.circumstances()
        for name, reason in self.missing.items():
            yield f"Left out: {name}, {reason}."
        for table in self.tables:
            yield ""
            yield f"{'## ' if markdown else ''}{table.workload.name}: {table.workload.words}"
            yield ""
            yield from table_lines(_cells(table), markdown=markdown)
            notes = [*_notes(table)]
            if notes:
                yield ""
            yield from (f"- {note}" if markdown else f"  {note}" for note in notes)
        yield from self._verdicts(markdown)

    def circumstances(self) -> Iterator[str]:
        """Return the machine and the settings in words."""
        settings = self.settings
        yield f"{'; '.join(self.machine.values())}."
        yield (
            f"{settings['rounds']} round{'s' * (settings['rounds'] > 1)} of "
            f"{settings['seconds']:g} s after "
            f"{settings['warmup']:g} s of warm-up; {settings['pinning']}."
        )
        if settings.get("busy", 0) >= BUSY_MACHINE:
            yield (
                f"The load average was {settings['busy']:g} before it began: the machine was not "
                "quiet, so read the ratios and the CPU times."
            )
        if settings.get("note"):
            yield settings["note"]

    def _verdicts(self, markdown: bool) -> Iterator[str]:
        """Return the bars of all tables that bind, one below the other."""
        cells = [["bar", "server", "workload", "reached", ""]]
        met = 0
        for table in self.tables:
            for row, bar, value in table.bars():
                if row.contender.engine in bar.engines:
                    met += bar.is_met(value)
                    label, verdict = row.contender.label, _verdict(bar, value)
                    cells.append([str(bar), label, table.workload.name, _number(value), verdict])
        if len(cells) == 1:
            return
        yield ""
        yield f"{'## ' if markdown else ''}The bars: {met} of {len(cells) - 1} are met"
        yield ""
        yield from table_lines(cells, markdown=markdown)


def _cells(table: Table) -> list[list[str]]:
    columns = columns_of(table)
    rows = [[column.head for column in columns]]
    for row in table.rows:
        if row.good:
            rows.append([column.cell(table, row) for column in columns])
        else:
            rows.append([row.contender.label, "failed", *([NOTHING] * (len(columns) - 2))])
    return rows


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _verdict(bar: Bar, value: float) -> str:
    return "met" if bar.is_met(value) else f"MISSED by {max(bar.shortfall(value), 0.001):.1%}"


def _notes(table: Table) -> Iterator[str]:
    if any(row.load_was_the_limit for row in table.rows):
        yield ">= : in a round the load was the limit, and the server could have done more."
    bound = {(bar.subject, engine) for bar in table.workload.bars for engine in bar.engines}
    for row, bar, value in table.bars():
        label, reached = row.contender.label, _number(value)
        if row.contender.engine in bar.engines:
            yield f"{label}: {bar}: {reached}, {_verdict(bar, value)}"
        elif (about := (bar.subject, row.contender.engine)) not in bound:
            bound.add(about)  # A distance from the first bar of its kind says enough.
            yield f"{label}: {reached}; the bar of {' and '.join(bar.engines)} is {bar}"
    for row in table.rows:
        if row.problem is not None:
            failed = sum(figures is None for figures in row.rounds)
            count = f"{failed} of {len(row.rounds)} rounds failed"
            yield f"{row.contender.label}: {count}: {row.problem}"


def table_lines(cells: list[list[str]], *, markdown: bool) -> Iterator[str]:
    """Return a table line by line; the first row is the head, the first column names things."""
    return _markdown(cells) if markdown else _aligned(cells)


def _markdown(cells: Iterable[list[str]]) -> Iterator[str]:
    heads, *rows = cells
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    for row in rows:
        yield f"| `{row[0]}` | {' | '.join(row[1:])} |"


def _aligned(cells: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield f"  {row[0].ljust(widths[0])}  {'  '.join(numbers)}"
