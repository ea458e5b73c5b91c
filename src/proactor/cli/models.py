"""``proactor models``: the six, how their news arrives, what limits them, where they stand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

from proactor.models import MODELS


class Summary(NamedTuple):
    """One model in two phrases."""

    news: str
    limit: str


SUMMARIES: Final = {
    "select": Summary(
        "a set of sockets that are ready", "every wait names every socket; a C fd_set holds 64"
    ),
    "async-select": Summary("a message in a thread's queue", "one thread's message pump"),
    "event-select": Summary("an event object", "64 events in one wait, on Windows"),
    "overlapped-event": Summary(
        "an event object, the bytes moved already", "64 events in one wait, on Windows"
    ),
    "overlapped-routine": Summary(
        "a call in the thread that asked, while it waits alertably",
        "that one thread; an accept has no routine",
    ),
    "completion-port": Summary("a packet in one queue, for any worker", "none of these"),
}


def show_models(names: Sequence[str], form: str) -> None:
    """Print the models as a ``table``, as ``markdown`` or as ``json``."""
    rows = [(name, *SUMMARIES[name], file_of(name)) for name in names]
    if form == "json":
        fields = ("model", "news", "limit", "file")
        json.dump([dict(zip(fields, row, strict=True)) for row in rows], sys.stdout, indent=2)
        print()
    elif form == "markdown":
        print("| model | news arrives as | limit | file |\n|---|---|---|---|")
        for row in rows:
            print(f"| {' | '.join(row)} |")
    else:
        print_table(_table(rows))


def print_table(table: Table) -> None:
    """Print `table` on stdout; where that is no terminal, no line is cut to a width."""
    console = Console()
    if console.is_terminal:
        console.print(table)
        return
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().strip("\n").splitlines():
        print(line.rstrip())


def file_of(name: str) -> str:
    """Return where the model is written, from the folder that holds the package."""
    file = Path(sys.modules[MODELS[name].__module__].__file__ or "")
    return file.relative_to(Path(__file__).parents[2]).as_posix()


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table("model", "news arrives as", "limit", "file", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    table.columns[0].style = "bold"
    for row in rows:
        table.add_row(*row)
    return table
