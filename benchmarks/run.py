"""``python -m benchmarks``: measure every server that runs here, in one interleaved run.

For each workload the contenders take turns within a round, and each round begins at another one:
what disturbs the machine disturbs all. The tables go to standard output, the progress to standard
error. Exit code 0; 1 if a server failed or a reply was wrong; 2 misused; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import interrupts, machine, readme
from benchmarks.compiling import CannotCompile, compiled
from benchmarks.contenders import Contender, Field, everybody
from benchmarks.measuring import Clocking, Failed, measure, two_cpus
from benchmarks.options import STANDARD_OUTPUT, parse
from benchmarks.report import Report
from benchmarks.results import Row, Table
from benchmarks.workloads import WORKLOADS, Workload


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = parse(None if arguments is None else list(arguments))
    try:
        _check_targets(options)
        report = Report.read(Path(options.results)) if options.results else _measure_all(options)
    except KeyboardInterrupt:
        return _end("interrupted; nothing is left running", 130)
    except (_Cannot, CannotCompile) as error:
        return _end(str(error), 1)
    except (_Misused, readme.NoMarks, ValueError) as error:
        return _end(str(error), 2)
    except OSError as error:
        return _end(f"{error.filename}: {error.strerror}; give another path", 2)
    _write(report, options)
    for failure in report.failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


class _Misused(Exception):
    """The command line names something that is not there."""


class _Cannot(Exception):
    """This cannot run here."""


def _end(text: str, code: int) -> int:
    print(f"benchmarks: {text}", file=sys.stderr)
    return code


def _check_targets(options: argparse.Namespace) -> None:
    """Refuse before minutes of measuring what would fail after them."""
    if options.plot:
        try:
            import matplotlib  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        except ImportError:
            raise _Misused(
                "--plot needs matplotlib: python -m pip install matplotlib (the extra `bench`)"
            ) from None
        Path(options.plot).mkdir(parents=True, exist_ok=True)
    if options.readme:
        readme.check(Path(options.readme))


# -- the run --


def _measure_all(options: argparse.Namespace) -> Report:
    if sys.platform != "linux":
        raise _Cannot("the load generator speaks epoll: this needs Linux")
    compiled("load/load.c")
    interrupts.install()
    chosen_workloads = _chosen_workloads(options)
    field = everybody()
    wanted = options.peers.split(",") if options.peers else None
    _check_names(wanted, field)
    clocking = Clocking(options.seconds, options.warmup, two_cpus())
    report = Report(machine.describe(), _settings(options, clocking), field.missing, [])
    for workload in chosen_workloads:
        if workload.needs_no_gil and not machine.is_without_gil():
            field.missing[workload.name] = "this interpreter has the GIL; use a free-threaded one"
            continue
        chosen = field.chosen(workload, wanted)
        if chosen:
            rounds = 1 if workload.is_idle else options.rounds
            report.tables.append(_measured(workload, chosen, clocking, rounds))
    return report


def _settings(options: argparse.Namespace, clocking: Clocking) -> dict[str, object]:
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "warmup": options.warmup,
        "note": options.note,
        "pinning": "server and load on a CPU each" if clocking.cpus else "nothing is pinned",
        "busy": machine.busy(),
    }


def _chosen_workloads(options: argparse.Namespace) -> list[Workload]:
    known = {workload.name: workload for workload in WORKLOADS}
    for name in options.only or ():
        if name not in known:
            raise _Misused(f"unknown workload {name!r}; known are {', '.join(known)}")
    chosen = [known[name] for name in known if not options.only or name in options.only]
    if options.connections is None:
        return chosen
    return [workload.with_connections(options.connections) for workload in chosen]


def _check_names(wanted: list[str] | None, field: Field) -> None:
    known = {contender.name for contender in field.contenders}
    known |= {contender.label for contender in field.contenders}
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
    figures: list[Path] = []
    if options.plot:
        from benchmarks import plot  # Here: matplotlib is of an extra, and slow to import.

        figures = plot.write(report, Path(options.plot))
        for path in figures:
            print(f"written: {path}", file=sys.stderr)
    if options.readme:
        readme.rewrite(Path(options.readme), report, figures[0] if figures else None)
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
