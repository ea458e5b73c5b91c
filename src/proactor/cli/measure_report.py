"""The figures of a measurement: as a table for a person, as Markdown for a page, as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from proactor.cli.measure_rows import Load, Row
from proactor.cli.measure_server import ASYNCIO
from proactor.cli.models import SUMMARIES, print_table
from proactor.engines import choose

LOAD_LIMIT = 0.95
"""From this share of its CPU on, the load and not the server was the limit."""


def print_report(rows: Sequence[Row], load: Load, form: str) -> None:
    """Print `rows` on stdout as ``table``, ``markdown`` or ``json``."""
    if form == "json":
        _print_json(rows, load)
    elif form == "markdown":
        for line in _markdown(rows, load):
            print(line)
    else:
        print_table(_table(rows, load))
        _print_warnings(rows)


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"engine {choose.current().describe().name}, {python}, {os.cpu_count()} CPUs"


def _print_json(rows: Sequence[Row], load: Load) -> None:
    answer = {
        "engine": choose.current().describe().name,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": dataclasses.asdict(load),
        "rows": [_as_json(row) for row in rows],
    }
    json.dump(answer, sys.stdout, indent=2)
    print()


def _as_json(row: Row) -> dict[str, object]:
    fields: dict[str, object] = {"server": row.name, "connections": row.connections}
    if row.problem is not None:
        return {**fields, "problem": row.problem}
    return {
        **fields,
        "messages_a_second": row.median("rate"),
        "ratio_to_asyncio": row.ratio,
        "server_cpu_a_message_us": row.median("cpu") * 1e6,
        "p50_ms": row.median("p50") * 1e3,
        "p99_ms": row.median("p99") * 1e3,
        "load_cpu_share": row.median("load_share"),
        "rounds": [dataclasses.asdict(measurement) for measurement in row.rounds],
    }


def _figures(row: Row) -> tuple[str, ...]:
    """Return messages a second, ratio, CPU a message and p99 as text."""
    if row.problem is not None:
        return ("failed", "-", "-", "-")
    return (
        f"{row.median('rate'):,.0f}",
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        f"{row.median('cpu') * 1e6:.1f} us",
        f"{row.median('p99') * 1e3:.2f} ms",
    )


def _table(rows: Sequence[Row], load: Load) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Echo of {load.size:,} bytes, {_machine()}",
        caption=f"medians of {load.rounds} rounds of {load.seconds:g} s",
    )
    table.add_column("server", no_wrap=True)
    for heading in ("connections", "messages/s", "x asyncio", "CPU a message", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        ends = following is None or following.connections != row.connections
        style = "dim" if row.name == ASYNCIO else ""
        figures = (row.name, f"{row.connections:,}", *_figures(row))
        table.add_row(*figures, style=style, end_section=ends)
    return table


def _print_warnings(rows: Sequence[Row]) -> None:
    limited = [
        f"{row.name} at {row.connections}"
        for row in rows
        if row.problem is None and row.median("load_share") > LOAD_LIMIT
    ]
    if limited:
        Console(stderr=True).print(f"The load was the limit for: {', '.join(limited)}.")


def _markdown(rows: Sequence[Row], load: Load) -> Iterator[str]:
    for connections in dict.fromkeys(row.connections for row in rows):
        yield (
            f"Echo of {load.size:,} bytes over {connections:,} connections; medians of "
            f"{load.rounds} rounds of {load.seconds:g} s; {_machine()}."
        )
        yield ""
        yield "| model | news arrives as | limit | messages/s | x asyncio | CPU a message | p99 |"
        yield "|---|---|---|--:|--:|--:|--:|"
        for row in rows:
            if row.connections == connections:
                yield f"| {' | '.join((*_described(row), *_figures(row)))} |"
        yield ""


def _described(row: Row) -> tuple[str, str, str]:
    if row.name == ASYNCIO:
        return "*asyncio, a protocol*", "", ""
    return (f"`{row.name}`", *SUMMARIES[row.name])
