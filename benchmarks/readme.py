"""The short table of the README: a line a workload, put between two marks by ``--readme``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.contenders import CEILINGS
from benchmarks.report import Report, table_lines
from benchmarks.results import Row, Table

BEGIN: Final = "<!-- measured: proactor bench -->\n"
END: Final = "<!-- /measured: proactor bench -->\n"

_SERVERS: Final = (
    *("uvloop", "asyncio"),
    *("session-1@io_uring", "session-1@epoll", "session-5@io_uring", "session-5@epoll"),
)
_WORKLOADS: Final = {
    "echo-1k": "echo of 1 KiB, 100 connections",
    "echo-64k": "echo of 64 KiB, 100 connections",
    "ping-pong": "echo of 1 KiB, 1 connection",
    "echo-10k": "echo of 128 B, 10,000 connections",
    "framed": "packets of 36 B, 16 in flight on 100",
    "fanout-8": "fan-out to 500, 8 in flight",
    "fanout-1": "fan-out to 500, 1 in flight",
}
NOTHING: Final = "-"


class NoMarks(Exception):
    """The file has no place for the table."""


def check(path: Path) -> None:
    """Refuse a file without the two marks.

    Raises:
        NoMarks: The text says which lines to put where the table is to stand.
        OSError: It cannot be read.
    """
    _parts(path)


def rewrite(path: Path, report: Report, figure: Path | None = None) -> None:
    """Put the table, and the figure, between the marks; the rest of the file stays as it is."""
    before, after = _parts(path)
    text = "\n".join(lines(report))
    if figure is not None:
        link = os.path.relpath(figure, path.parent).replace(os.sep, "/")
        text += f"\n\n![CPU a message and rate of each workload, relative to uvloop]({link})"
    path.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}", encoding="utf-8")


def _parts(path: Path) -> tuple[str, str]:
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"{path} has no place for the table: put {BEGIN.strip()} and {END.strip()}")
    return before, after


def lines(report: Report) -> Iterator[str]:
    """Return the circumstances and the table, as Markdown."""
    yield " ".join(report.circumstances())
    yield ""
    cells = [["workload", "C", *(label.replace("@", " @ ") for label in _SERVERS)]]
    cells += (
        [_WORKLOADS[table.workload.name], _ceiling(table), *map(partial(_cell, table), _SERVERS)]
        for table in report.tables
        if table.workload.name in _WORKLOADS
    )
    made = table_lines(cells, markdown=True)
    yield from (line.replace("`", "", 2) for line in made)
    yield ""
    yield "Each cell: the rate as a multiple of uvloop's, and the CPU time a message (fan-out: a"
    yield "delivery). C is the cheaper of an epoll and an io_uring echo server in C."


def _cell(table: Table, label: str) -> str:
    row = _row(table, label)
    if row is None:
        return NOTHING
    cpu = f"{row.median('cpu') * 1e6:.3g} us"
    if label == "uvloop":
        return f"{row.median('rate'):,.0f}/s, {cpu}"
    value = table.ratio(row, "rate", "uvloop")
    return cpu if value is None else f"{value:.2f} x, {cpu}"


def _ceiling(table: Table) -> str:
    rows = [row for name in CEILINGS if (row := _row(table, name)) is not None]
    best = min(rows, key=lambda row: row.median("cpu"), default=None)
    return NOTHING if best is None else _cell(table, best.contender.label)


def _row(table: Table, label: str) -> Row | None:
    return next((row for row in table.rows if row.contender.label == label and row.good), None)
