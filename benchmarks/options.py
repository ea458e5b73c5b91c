"""The command line of ``python -m benchmarks``, and what ``--quick`` means."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from benchmarks.workloads import WORKLOADS

T = TypeVar("T")

STANDARD_OUTPUT: Final = "-"


@dataclass(frozen=True)
class Pace:
    """How much is measured: rounds, and seconds of each."""

    rounds: int
    seconds: float
    warmup: float


USUAL: Final = Pace(3, 1.2, 0.3)
QUICK: Final = Pace(1, 0.6, 0.2)


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure our servers beside their peers."
    )
    add = made.add_argument
    names = ", ".join(workload.name for workload in WORKLOADS)
    add("--only", action="append", metavar="WORKLOAD", help=f"one of {names}; repeatable")
    add("--peers", metavar="A,B", help="measure these alone, e.g. uvloop,session-1@epoll,port")
    add("--quick", action="store_true", help="one short round each: a third of the time")
    add("--rounds", type=_between(int, 1, 100), help=f"{USUAL.rounds} if not given")
    add("--seconds", type=_between(float, 0.05, 60), help=f"of a round; {USUAL.seconds:g}")
    add("--warmup", type=_between(float, 0.0, 60), help=f"uncounted seconds; {USUAL.warmup:g}")
    add("--connections", type=_between(int, 1, 20_000), help="instead of those of the workload")
    add("--note", help="what a reader must know about this run, such as what else was running")
    for kind in ("json", "markdown"):
        text = f"write the results as {kind}: to FILE, or to standard output"
        add(f"--{kind}", nargs="?", const=STANDARD_OUTPUT, metavar="FILE", help=text)
    add("--plot", metavar="FOLDER", help="write figures (SVG) there; needs matplotlib")
    add("--readme", metavar="FILE", help="put the short table between its marks in FILE")
    add("--results", metavar="FILE.json", help="measure nothing: show what --json wrote before")
    return made


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; rounds, seconds and warm-up are those of the pace if not given."""
    options = parser().parse_args(arguments)
    pace = QUICK if options.quick else USUAL
    for name in ("rounds", "seconds", "warmup"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(pace, name))
    return options


def _between(kind: Callable[[str], T], low: float, high: float) -> Callable[[str], T]:
    def parse_one(text: str) -> T:
        value = kind(text)
        if not low <= value <= high:  # type: ignore[operator]
            raise argparse.ArgumentTypeError(f"give {low:g} to {high:g}")
        return value

    return parse_one
