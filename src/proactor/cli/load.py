"""``proactor load``: drive a server with traffic, compare every reply, say what came of it.

stdout is the report, or with --json one object; the story (the live line, notes, each connection
that was given up) goes to stderr. The first Ctrl-C ends the load with the report so far, the
second one at once.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Optional

import typer
from rich.console import Console

from proactor.cli import exits, shown
from proactor.cli.exits import Failed, Misused
from proactor.cli.load_live import LoadLine
from proactor.load import FailureKind, LoadPlan, PlanError, Report, run_load
from proactor.load.plan import KINDS

_CPU_LIMIT = 0.95
"""From this part of a CPU on, the generator itself may have been what was measured."""

_LONG_ENOUGH = 0.2
"""Seconds that must have been measured for that to mean anything."""

_WORDS = {
    FailureKind.REFUSED: "could not be opened",
    FailureKind.CLOSED: "were ended by the server",
    FailureKind.WRONG: "got a wrong byte",
    FailureKind.SURPLUS: "got more than was sent",
    FailureKind.SILENT: "got no answer in time",
    FailureKind.SKIPPED: "missed a frame, or got it out of order",
    FailureKind.REPEATED: "got a frame twice",
}


HELP: Final = """\
Drive a server with traffic, check every reply, and report the rate and the latencies.

\b
start in one terminal                 then in another
proactor serve                        proactor load
proactor serve echo --framing packet  proactor load -t framed
proactor serve fanout                 proactor load -t fanout -c 500

Any server that answers like one of these will do. docs/load.md says how the figures are read.
"""
"""What ``proactor load --help`` says first; the backspace keeps the lines below it apart."""


# typer reads the annotation, and 0.12 does not know the new form.
_OptionalInt = Optional[int]  # noqa: UP045
_OptionalFloat = Optional[float]  # noqa: UP045


def load(
    port: Annotated[int, typer.Option("--port", "-p", help="Of the server.")] = 7777,
    host: Annotated[
        str, typer.Option(help="Of the server; nothing is sent to another one.")
    ] = "127.0.0.1",
    traffic: Annotated[
        str,
        typer.Option("--traffic", "-t", metavar="KIND", help=f"What is sent: {', '.join(KINDS)}."),
    ] = "echo",
    connections: Annotated[
        int, typer.Option("--connections", "-c", help="How many at once.")
    ] = 100,
    size: Annotated[
        _OptionalInt,
        typer.Option("--size", "-s", help="Bytes in a message; echo 1024, framed 36, fanout 132."),
    ] = None,
    depth: Annotated[
        _OptionalInt,
        typer.Option(
            "--depth", "-d", help="Messages in flight on a connection; 1, with --rate 1024."
        ),
    ] = None,
    duration: Annotated[float, typer.Option(help="Seconds that are measured.")] = 10.0,
    messages: Annotated[
        _OptionalInt,
        typer.Option(help="End after so many, if the duration is not over before."),
    ] = None,
    rate: Annotated[
        _OptionalFloat,
        typer.Option(help="Open loop: messages a second in all, whatever the server does."),
    ] = None,
    ramp: Annotated[float, typer.Option(help="Seconds over which connections are opened.")] = 0.0,
    warmup: Annotated[
        _OptionalFloat,
        typer.Option(help="Seconds of load before the measured time; 0.5, with --messages 0."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds without an answer after which a connection is given up.")
    ] = 5.0,
    frame_id: Annotated[
        int, typer.Option("--id", help="The id of each frame (framed, fanout).")
    ] = 1,
    big_endian: Annotated[
        bool, typer.Option("--big-endian", help="Frame headers in network order.")
    ] = False,
    others_only: Annotated[
        bool,
        typer.Option("--others-only", help="The server does not send a frame to its sender."),
    ] = False,
    pure: Annotated[
        bool, typer.Option("--pure", help="Generate in Python also where C is there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Drive a server with traffic, check every reply, and report the rate and the latencies."""
    for name, value in (("size", size), ("depth", depth), ("messages", messages), ("rate", rate)):
        if value is not None and value <= 0:
            raise Misused(f"--{name} {value} is out of range: give more than 0, or leave it out")
    kind: Any = traffic  # The plan checks it.
    amounts = (connections, size or 0, depth or 0, duration, messages or 0, warmup, rate or 0.0)
    order: Any = "big" if big_endian else "little"
    plan = LoadPlan(port, host, kind, *amounts, ramp, timeout, frame_id, order, others_only)
    report = _run(plan, pure)
    if as_json:
        json.dump(report.as_json(), sys.stdout, indent=2)
        print()
    else:
        print("\n".join(_lines(report)))
    _tell_notes(report)
    return _verdict(report)


def _run(plan: LoadPlan, pure: bool) -> Report:
    console = Console(stderr=True)
    try:
        plan.check()
        with _interrupts() as interrupts, LoadLine(console, plan) as line:
            return run_load(
                plan, pure=pure, watch=line.refresh, stops=lambda: bool(interrupts), note=_tell_pure
            )
    except PlanError as error:
        raise Misused(str(error)) from error
    except (OSError, UnicodeError) as error:
        where = f"{plan.host!r} port {plan.port}"
        raise Failed(f"cannot send to {where}: {getattr(error, 'strerror', error)}") from error


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM in a list; at the second one, raise."""
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(f"proactor load: {text}", file=sys.stderr)


def _tell_pure(reason: str) -> None:
    _say(f"generating in Python, which is several times slower: {reason}")


def _lines(report: Report) -> Iterator[str]:
    plan, counts, latencies = report.plan, report.counts, report.latencies
    what = "deliveries" if plan.kind == "fanout" else "messages"
    loop = (
        f"open loop, {plan.rate:,.{0 if plan.rate >= 10 else 3}f} messages/s"
        if plan.rate
        else "closed loop"
    )
    yield (
        f"{plan.kind} of {shown.byte_count(plan.message_size)} over "
        f"{shown.counted(plan.connections, 'connection')}, {plan.in_flight:,} in flight each, "
        f"{loop}; generated in {'C' if report.generator == 'native' else 'Python'}"
    )
    yield f"{report.rate:,.0f} {what}/s: {counts.messages:,} in {report.seconds:.2f} s"
    if latencies.recorded:
        parts = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
        shown_parts = [f"{name} {_time(latencies.quantile(part))}" for name, part in parts]
        yield f"latency  {'  '.join(shown_parts)}  max {_time(latencies.maximum)}"
    for kind, count in counts.failed.items():
        if count:
            yield f"wrong    {count:,} of {plan.connections:,} connections {_WORDS[kind]}"
    if counts.missing:
        yield f"missing  {shown.counted(counts.missing, 'reply').replace('replys', 'replies')}"
    if report.is_right:
        yield "right    every reply was as it should be"


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _tell_notes(report: Report) -> None:
    plan, counts = report.plan, report.counts
    if _nobody_listens(report):
        _say(
            f"no server listens on {plan.host} port {plan.port}: start one, with proactor serve "
            f"--port {plan.port} for example, or name another one with --host and --port"
        )
        return
    for text in report.failures():
        _say(text)
    if report.failed > len(counts.first):
        _say(f"and {report.failed - len(counts.first):,} more connections")
    if report.interrupted:
        _say("it was ended before its time")
    if counts.unsent:
        _say(
            f"the server did not keep up: {counts.unsent:,} messages that were due were never "
            "sent; they are in the latencies with the time that they waited"
        )
    if report.cpu_share > _CPU_LIMIT and report.seconds > _LONG_ENOUGH:
        _say(
            f"the load used {report.cpu_share:.0%} of its CPU, so it was the limit: "
            "the server may do more"
        )
    if plan.messages and counts.sent < plan.messages and not report.interrupted:
        _say(f"{counts.sent:,} of {plan.messages:,} messages were sent when the time was over")


def _nobody_listens(report: Report) -> bool:
    """Say whether every connection was refused by the system: one line says more than many."""
    counts = report.counts
    every = counts.failed.get(FailureKind.REFUSED) == report.plan.connections
    return every and all(failure.number == errno.ECONNREFUSED for failure in counts.first)


def _verdict(report: Report) -> int:
    if report.is_right:
        return exits.DONE
    if report.interrupted and not report.failed and not report.counts.missing:
        return exits.INTERRUPTED
    if not report.failed and not report.counts.missing:
        _say("not one reply came within the measured time: give a longer --duration")
    return exits.FAILED
