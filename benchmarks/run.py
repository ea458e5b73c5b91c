"""``python -m benchmarks``: measure every server that runs here, in one interleaved run.

For each workload the contenders take turns within a round, and each round begins at another one:
what disturbs the machine disturbs all. The tables go to standard output, the progress to standard
error. Exit code 0; 1 if a server failed or a reply was wrong; 2 misused; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks import interrupts, machine
from benchmarks.compiling import CannotCompile, compiled
from benchmarks.contenders import Contender, Field, everybody
from benchmarks.measuring import Clocking, Failed, measure, two_cpus
from benchmarks.report import Report
from benchmarks.results import Row, Table
from benchmarks.workloads import WORKLOADS, Workload

T = TypeVar("T")

STANDARD_OUTPUT = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _parser().parse_args(arguments)
    if sys.platform != "linux":
        return _end("the load generator speaks epoll: this needs Linux", 1)
    try:
        compiled("load/load.c")
    except CannotCompile as error:
        return _end(str(error), 1)
    interrupts.install()
    try:
        report = _run(options)
    except KeyboardInterrupt:
        return _end("interrupted; nothing is left running", 130)
    except _Misused as error:
        return _end(str(error), 2)
    _write(report, options)
    for failure in report.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


class _Misused(Exception):
    """The command line names something that is not there."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure our servers beside their peers."
    )
    add = parser.add_argument
    names = ", ".join(workload.name for workload in WORKLOADS)
    add("--only", action="append", metavar="WORKLOAD", help=f"one of {names}; repeatable")
    add("--peers", metavar="A,B", help="measure these alone, e.g. uvloop,port-1@selectors,port")
    add("--rounds", type=_between(int, 1, 100), default=5, help="5 if not given")
    add("--seconds", type=_between(float, 0.05, 60), default=2.0, help="of a round; 2 if not given")
    add(
        "--warmup", type=_between(float, 0.0, 60), default=0.5, help="uncounted; 0.5 s if not given"
    )
    add("--connections", type=_between(int, 1, 20_000), help="instead of those of the workload")
    add("--note", help="what a reader must know about this run, such as what else was running")
    for kind in ("json", "markdown"):
        text = f"write the results as {kind}: to FILE, or to standard output"
        add(f"--{kind}", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=text)
    return parser


def _between(kind: Callable[[str], T], low: float, high: float) -> Callable[[str], T]:
    def parse(text: str) -> T:
        value = kind(text)
        if not low <= value <= high:  # type: ignore[operator]
            raise argparse.ArgumentTypeError(f"give {low:g} to {high:g}")
        return value

    return parse


def _end(text: str, code: int) -> int:
    print(f"benchmarks: {text}", file=sys.stderr)
    return code


# -- the run --


def _run(options: argparse.Namespace) -> Report:
    workloads = _chosen_workloads(options)
    field = everybody()
    wanted = options.peers.split(",") if options.peers else None
    _check_names(wanted, field)
    clocking = Clocking(options.seconds, options.warmup, two_cpus())
    report = Report(
        machine.describe(),
        {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "warmup": options.warmup,
            "note": options.note,
            "pinning": "server and load on a CPU each" if clocking.cpus else "nothing is pinned",
        },
        field.missing,
        [],
    )
    for workload in workloads:
        everyone = field.echoers if workload.is_echo else field.posters
        chosen = [c for c in everyone if wanted is None or {c.name, c.label} & set(wanted)]
        if chosen:
            report.tables.append(_measured(workload, chosen, clocking, options.rounds))
    return report


def _chosen_workloads(options: argparse.Namespace) -> list[Workload]:
    known = {workload.name: workload for workload in WORKLOADS}
    for name in options.only or ():
        if name not in known:
            raise _Misused(f"unknown workload {name!r}; known are {', '.join(known)}")
    chosen = [known[name] for name in known if not options.only or name in options.only]
    if options.connections is None:
        return chosen
    return [_with_connections(workload, options.connections) for workload in chosen]


def _with_connections(workload: Workload, connections: int) -> Workload:
    if not workload.is_echo:
        return workload
    words = f"{connections:,} connections instead of {workload.connections:,}"
    return Workload(workload.name, words, connections=connections, size=workload.size)


def _check_names(wanted: list[str] | None, field: Field) -> None:
    everyone = [*field.echoers, *field.posters]
    known = {contender.name for contender in everyone} | {c.label for c in everyone}
    for name in wanted or ():
        if name in field.missing:
            raise _Misused(f"{name} cannot run here: {field.missing[name]}")
        if name not in known:
            raise _Misused(f"unknown peer {name!r}; known are {', '.join(sorted(known))}")


def _measured(
    workload: Workload, contenders: list[Contender], clocking: Clocking, rounds: int
) -> Table:
    rows = [Row(contender) for contender in contenders]
    for number in range(rounds):
        start = number % len(rows)
        for row in rows[start:] + rows[:start]:
            _progress(f"{workload.name}  round {number + 1}/{rounds}  {row.contender.label}")
            try:
                row.rounds.append(measure(row.contender, workload, clocking))
            except Failed as error:
                row.rounds.append(None)
                row.problem = str(error)
    _progress("")
    return Table(workload, rows)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


# -- the results --


def _write(report: Report, options: argparse.Namespace) -> None:
    written = False
    for target, text in (
        (options.json, json.dumps(report.as_json(), indent=1)),
        (options.markdown, "\n".join(report.lines(markdown=True))),
    ):
        if target == STANDARD_OUTPUT:
            print(text)
            written = True
        elif target is not None:
            Path(target).write_text(f"{text}\n", encoding="utf-8")
    if not written:
        print("\n".join(report.lines(markdown=False)))


if __name__ == "__main__":
    sys.exit(main())
