"""The results as a person reads them: aligned text, or Markdown with the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.results import Row, Table

NOTHING = "-"


@dataclass
class Report:
    """One run: its tables, its settings, the machine, and who was missing."""

    machine: dict[str, str]
    settings: dict[str, Any]
    missing: dict[str, str]
    tables: list[Table]

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
        settings = self.settings
        if markdown:
            yield "# Benchmarks"
            yield ""
        yield f"{'; '.join(self.machine.values())}."
        yield (
            f"{settings['rounds']} round{'s' * (settings['rounds'] > 1)} of "
            f"{settings['seconds']:g} s after "
            f"{settings['warmup']:g} s of warm-up; {settings['pinning']}."
        )
        if settings.get("note"):
            yield settings["note"]
        for name, reason in self.missing.items():
            yield f"Left out: {name}, {reason}."
        for table in self.tables:
            yield ""
            yield f"{'## ' if markdown else ''}{table.workload.name}: {table.workload.words}"
            yield ""
            cells = [_heads(table), *(_cells(table, row) for row in table.rows)]
            yield from _markdown(cells) if markdown else _aligned(cells)
            notes = [*_notes(table)]
            if notes:
                yield ""
            yield from (f"- {note}" if markdown else f"  {note}" for note in notes)


def _heads(table: Table) -> list[str]:
    if not table.workload.is_echo:
        return ["queue", "packets/s", "spread", "x simple-queue", "CPU a packet", "wake-ups"]
    heads = ["server", "messages/s", "spread", "x uvloop", "x asyncio"]
    heads += ["CPU a message", "x uvloop", "x C", "p50", "x uvloop", "p99"]
    return [*heads, "memory"] if _shows_memory(table) else heads


def _shows_memory(table: Table) -> bool:
    """Say whether there are so many connections that their share of the memory shows."""
    return table.workload.connections >= 1000


def _cells(table: Table, row: Row) -> list[str]:
    heads = _heads(table)
    if not row.good:
        return [row.contender.label, "failed", *([NOTHING] * (len(heads) - 2))]

    def ratio(figure: Any, against: str) -> str:
        value = table.ratio(row, figure, against)
        return NOTHING if value is None else f"{value:.2f}"

    mark = ">= " if row.load_was_the_limit else ""
    first = [row.contender.label, f"{mark}{row.median('rate'):,.0f}", f"{row.spread():.0%}"]
    cpu = f"{row.median('cpu') * 1e6:.2f} us"
    if not table.workload.is_echo:
        wakes = NOTHING
        if "wakes_a_packet" in row.good[0]:
            wakes = f"{row.median('wakes_a_packet'):.1%}"
        return [*first, ratio("rate", "simple-queue"), cpu, wakes]
    memory = row.median("server_bytes_a_connection") if _shows_memory(table) else 0
    return [
        *(*first, ratio("rate", "uvloop"), ratio("rate", "asyncio")),
        *(cpu, ratio("cpu", "uvloop"), ratio("cpu", "C")),
        *(_time(row.median("p50")), ratio("p50", "uvloop"), _time(row.median("p99"))),
        *([f"{memory / 1024:.1f} KiB"] if _shows_memory(table) else []),
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 0.001 else f"{seconds * 1e3:.1f} ms"


def _notes(table: Table) -> Iterator[str]:
    if any(row.load_was_the_limit for row in table.rows):
        yield ">= : in a round the load was the limit, and the server could have done more."
    for row, bar, value in table.bars():
        label, reached = row.contender.label, _number(value)
        if row.contender.engine in bar.engines:
            verdict = "met" if bar.is_met(value) else "MISSED"
            yield f"{label}: {bar}: {reached}, {verdict}"
        else:
            yield f"{label}: {reached}; the bar of {' and '.join(bar.engines)} is {bar}"
    for row in table.rows:
        if row.problem is not None:
            failed = sum(figures is None for figures in row.rounds)
            count = f"{failed} of {len(row.rounds)} rounds failed"
            yield f"{row.contender.label}: {count}: {row.problem}"


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
