"""The short table of the README: a line a workload, put between two marks by ``--readme``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.bars import Figure
from benchmarks.contenders import CEILINGS
from benchmarks.report import Report, table_lines
from benchmarks.results import Row, Table

BEGIN: Final = "<!-- measured: proactor bench -->\n"
END: Final = "<!-- /measured: proactor bench -->\n"

_OURS: Final = (("session-1", "io_uring"), ("session-1", "epoll"), ("session-5", "io_uring"))
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


def rewrite(path: Path, report: Report) -> None:
    """Put the table between the marks; the rest of the file stays as it is."""
    before, after = _parts(path)
    text = "\n".join(lines(report))
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
    labels = [f"`{name}@{engine}`" for name, engine in _OURS]
    cells = [["workload", "uvloop", "asyncio", *labels, "CPU: C", "uvloop", "asyncio", *labels]]
    cells += (
        [_WORKLOADS[table.workload.name], *_rates(table), *_costs(table)]
        for table in report.tables
        if table.workload.name in _WORKLOADS
    )
    made = table_lines(cells, markdown=True)
    yield from (line.replace("`", "", 2) if line.startswith("| `") else line for line in made)
    yield ""
    yield "Rates as multiples of uvloop's, whose own are messages (fan-out: deliveries) a second;"
    yield "CPU in us a message. C is the cheaper of an epoll and an io_uring echo server in C."


def _rates(table: Table) -> Iterator[str]:
    uvloop = _row(table, "uvloop")
    yield NOTHING if uvloop is None else f"{uvloop.median('rate'):,.0f}"
    for name, engine in (("asyncio", ""), *_OURS):
        row = _row(table, name, engine)
        value = None if row is None else table.ratio(row, "rate", "uvloop")
        yield NOTHING if value is None else f"{value:.2f} x"


def _costs(table: Table) -> Iterator[str]:
    ceilings = [row for name in CEILINGS if (row := _row(table, name)) is not None]
    figure: Figure = "cpu"
    yield f"{min(row.median(figure) for row in ceilings) * 1e6:.1f}" if ceilings else NOTHING
    for name, engine in (("uvloop", ""), ("asyncio", ""), *_OURS):
        row = _row(table, name, engine)
        yield NOTHING if row is None else f"{row.median(figure) * 1e6:.1f}"


def _row(table: Table, name: str, engine: str = "") -> Row | None:
    for row in table.rows:
        if (row.contender.name, row.contender.engine) == (name, engine) and row.good:
            return row
    return None
