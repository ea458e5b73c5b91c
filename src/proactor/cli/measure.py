"""``proactor models --measure``: each model against a load, beside asyncio, in the same run.

Server and load are processes of their own, on a CPU each. The servers take turns within a round,
so that whatever disturbs the machine disturbs all of them; of the rounds the median counts, and
what is compared is the ratio to asyncio within a round.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from proactor.cli import shown
from proactor.cli.exits import Failed
from proactor.cli.measure_child import Child, ChildFailed
from proactor.cli.measure_report import print_report
from proactor.cli.measure_rows import Load, Measurement, Row
from proactor.cli.measure_server import ASYNCIO
from proactor.cli.pinning import two_cpus

START = 0.6
"""Seconds that starting two processes and warming up take, roughly; for the estimate only."""


def measure_models(models: Sequence[str], load: Load, form: str) -> None:
    """Measure, with a progress bar on stderr, and print the rows as `form`.

    Raises:
        Failed: A server gave a wrong answer or none; the rows of the others are printed.
    """
    servers = [*models, ASYNCIO]
    story = Console(stderr=True)
    steps = len(servers) * len(load.connections) * load.rounds
    span = shown.duration(steps * (load.seconds + START))
    story.print(
        f"{shown.counted(len(servers), 'server')}, {shown.counted(load.rounds, 'round')} of "
        f"{load.seconds:g} s at {', '.join(map(str, load.connections))} connections: "
        f"about {span}",
        highlight=False,
    )
    rows = [Row(name, count) for count in load.connections for name in servers]
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=story, transient=True, disable=not story.is_terminal) as bar:
        task = bar.add_task("", total=steps)
        for row, round_number in _turns(rows, load.rounds):
            bar.update(task, description=f"round {round_number}, {row.connections} x {row.name}")
            _measure_row(row, load)
            bar.advance(task)
    _compare(rows)
    print_report(rows, load, form)
    failed = [f"{row.name} at {row.connections}: {row.problem}" for row in rows if row.problem]
    if failed:
        raise Failed("; ".join(failed))


def _turns(rows: list[Row], rounds: int) -> Iterator[tuple[Row, int]]:
    """Yield every row once a round, each round beginning at another server."""
    for round_number in range(rounds):
        for count in dict.fromkeys(row.connections for row in rows):
            group = [row for row in rows if row.connections == count]
            first = round_number % len(group)
            for row in group[first:] + group[:first]:
                yield row, round_number + 1


def _measure_row(row: Row, load: Load) -> None:
    if row.problem is not None:
        return
    try:
        row.rounds.append(_measure(row.name, row.connections, load))
    except ChildFailed as error:
        row.problem = str(error)


def _measure(name: str, connections: int, load: Load) -> Measurement:
    server_cpu, load_cpu = two_cpus() or (-1, -1)
    limit = load.seconds + 30
    with Child("measure_server", name, load.workers, server_cpu, limit=limit) as server:
        port = server.line()
        arguments = (port, connections, load.size, load.seconds, load_cpu)
        with Child("measure_load", *arguments, limit=limit) as clients:
            answer = clients.line()
            if answer == "ready":
                before = float(server.ask("cpu"))
                answer = clients.ask("go")
                used = float(server.ask("cpu")) - before
    result = json.loads(answer)
    if "error" in result:
        raise ChildFailed(result["error"])
    return Measurement(
        rate=result["rate"],
        cpu=used / result["messages"],
        p50=result["p50"],
        p99=result["p99"],
        load_share=result["load_share"],
    )


def _compare(rows: list[Row]) -> None:
    peers = {row.connections: row for row in rows if row.name == ASYNCIO}
    for row in rows:
        peer = peers[row.connections]
        if row.problem is None and peer.problem is None:
            pairs = zip(row.rounds, peer.rounds, strict=True)
            row.ratio = statistics.median(own.rate / other.rate for own, other in pairs)
