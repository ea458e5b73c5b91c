"""``python -m benchmarks.micro [NAME ...]``: prove the choices, each by one number and its bound.

Exit code 0; 1 if a number is over its bound or a program failed; 2 misused; 130 interrupted. What
this system cannot run is named with the reason, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.compiling import CannotCompile
from benchmarks.micro import tables
from benchmarks.micro.measuring import measure
from benchmarks.micro.registry import Failed, Program, Unknown, programs

PAGES = Path(__file__).parents[2] / "docs" / "decisions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _parser().parse_args(arguments)
    if sys.platform != "linux":
        return _end("the programs ask the kernel of Linux: this needs Linux", 1)
    try:
        chosen = programs(options.names)
    except Unknown as error:
        return _end(str(error), 2)
    except (CannotCompile, Failed) as error:
        return _end(str(error), 1)
    if options.list:
        return _list(chosen)
    try:
        return _run(options, chosen)
    except KeyboardInterrupt:
        return _end("interrupted; nothing is left running", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro",
        description="Micro-benchmarks: each proves one choice by one number and its bound.",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="a number or name (see --list); all without")
    add("--list", action="store_true", help="list them with their cases, and measure nothing")
    add("--repeats", type=_repeats, default=3, metavar="N", help="3 if not given; 1 to 100")
    add("--scale", type=_scale, default=1.0, help="of the length of each measurement; 1 usually")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--json", action="store_true", help="print everything as JSON")
    kinds.add_argument("--markdown", action="store_true", help="print tables to paste")
    add("--note", help="what a reader must know about this run, such as what else was running")
    add("--pages", action="store_true", help="put the figures into the pages of docs/decisions")
    return parser


def _repeats(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("give 1 to 100")
    return value


def _scale(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 20:
        raise argparse.ArgumentTypeError("give 0.001 to 20")
    return value


def _end(text: str, code: int) -> int:
    print(f"benchmarks.micro: {text}", file=sys.stderr)
    return code


def _list(chosen: Sequence[Program]) -> int:
    for program in chosen:
        print(f"{program.number:>3} {program.name}: {program.title}")
        for case in program.cases:
            sign = ">=" if program.is_least else "<="
            bound = "" if case.bound is None else f"  {sign} {case.bound:,g} {program.unit}"
            print(f"      {case.name}{bound}")
    return 0


def _run(options: argparse.Namespace, chosen: Sequence[Program]) -> int:
    began = time.monotonic()
    outcomes = measure(chosen, options.repeats, options.scale, _progress)
    _progress("")
    conditions = _conditions(options.note)
    if options.json:
        whole = {"machine": machine.describe(), "note": options.note}
        print(json.dumps(whole | {"programs": tables.as_json(outcomes)}, indent=1))
    elif options.markdown:
        print("\n".join(tables.markdown_lines(outcomes, conditions)))
    else:
        print("\n".join(tables.text_lines(outcomes)))
    if options.pages:
        for line in tables.rewrite_pages(PAGES, outcomes, conditions):
            print(line, file=sys.stderr)
    print(f"{len(outcomes)} measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if any(outcome.is_over() or outcome.problem for outcome in outcomes) else 0


def _conditions(note: str | None) -> str:
    """Return the machine, and what else a reader must know, in one line."""
    words = machine.describe()
    return f"{words['cpus']}; {words['system']}{f'; {note}' if note else ''}."


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
