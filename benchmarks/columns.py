"""What a table shows of each row: a list of columns for each kind of workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.bars import Figure
from benchmarks.results import Row, Table

NOTHING = "-"
MANY_CONNECTIONS = 1000
"""From so many on, their share of the memory shows."""


@dataclass(frozen=True)
class Column:
    """A head, and what stands below it."""

    head: str
    cell: Callable[[Table, Row], str]


def columns_of(table: Table) -> list[Column]:
    """Return the columns; the first one names the row."""
    workload = table.workload
    if workload.is_idle:
        return [_name("server"), *_IDLE]
    if workload.service == "posts":
        return [_name("queue"), *_POSTS]
    columns = [_name("server"), *_LOADED[workload.service]]
    return [*columns, _MEMORY] if workload.connections >= MANY_CONNECTIONS else columns


def _name(head: str) -> Column:
    return Column(head, lambda table, row: row.contender.label)


def _rate(what: str) -> Column:
    def cell(table: Table, row: Row) -> str:
        return f"{'>= ' if row.load_was_the_limit else ''}{row.median('rate'):,.0f}"

    return Column(f"{what}/s", cell)


def _cpu(what: str) -> Column:
    return Column(f"CPU a {what}", lambda table, row: f"{row.median('cpu') * 1e6:.2f} us")


def _ratio(figure: Figure, against: str) -> Column:
    def cell(table: Table, row: Row) -> str:
        value = table.ratio(row, figure, against)
        return NOTHING if value is None else f"{value:.2f}"

    return Column(f"x {against}", cell)


def _time(figure: str) -> Column:
    def cell(table: Table, row: Row) -> str:
        seconds = row.median(figure)
        return f"{seconds * 1e6:.0f} us" if seconds < 0.001 else f"{seconds * 1e3:.1f} ms"

    return Column(figure, cell)


def _bytes(head: str, figure: str) -> Column:
    def cell(table: Table, row: Row) -> str:
        return f"{row.median(figure):,.0f} B" if figure in row.good[0] else NOTHING

    return Column(head, cell)


def _wakes(table: Table, row: Row) -> str:
    if "wakes_a_packet" not in row.good[0]:
        return NOTHING
    return f"{row.median('wakes_a_packet'):.1%}"


_SPREAD = Column("spread", lambda table, row: f"{row.spread():.0%}")
_MEMORY = Column(
    "memory",
    lambda table, row: f"{row.median('server_bytes_a_connection') / 1024:.1f} KiB",
)
_IDLE = (
    _bytes("memory a session", "server_bytes_a_connection"),
    _bytes("the user's object", "object_bytes"),
    _bytes("ours", "own_bytes"),
)
_POSTS = (
    *(_rate("packets"), _SPREAD, _ratio("rate", "simple-queue")),
    *(_cpu("packet"), Column("wake-ups", _wakes)),
)
_LOADED = {
    "echo": (
        *(_rate("messages"), _SPREAD, _ratio("rate", "uvloop"), _ratio("rate", "asyncio")),
        *(_cpu("message"), _ratio("cpu", "uvloop"), _ratio("cpu", "C")),
        *(_time("p50"), _ratio("p50", "uvloop"), _time("p99")),
    ),
    "framed": (
        *(_rate("messages"), _SPREAD, _ratio("rate", "uvloop"), _ratio("rate", "uvloop-gathered")),
        *(_ratio("rate", "asyncio"), _cpu("message"), _ratio("cpu", "uvloop")),
        *(_time("p50"), _time("p99")),
    ),
    "fanout": (
        *(_rate("deliveries"), _SPREAD, _ratio("rate", "uvloop"), _ratio("rate", "asyncio")),
        *(_cpu("delivery"), _ratio("cpu", "uvloop"), _time("p50"), _time("p99")),
    ),
    "burn": (
        *(_rate("messages"), _SPREAD, _ratio("rate", "session-1"), _cpu("message")),
        *(_time("p50"), _time("p99")),
    ),
}
