"""What the programs in Python share, as ``micro_main`` for those in C.

The C files beside this one are theirs, too: each is built into a library (`building.loadable`),
together with the core, and loaded.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.compiling import CannotCompile

Result = tuple[float, dict[str, float]]
"""The figure of a case, and its parts."""


class CannotRun(Exception):
    """This system has not what the program needs; the text says what."""


@dataclass(frozen=True)
class Words:
    """What a program says of itself; see ``struct micro`` in ``harness/micro.h``."""

    number: str
    name: str
    title: str
    unit: str
    parts_unit: str
    choice: str
    reason: str
    is_least: bool
    repeats: int


def python_main(
    words: Words,
    cases: Mapping[str, float],
    run: Callable[[str, float], Result],
    arguments: Sequence[str] | None = None,
) -> int:
    """Answer ``--describe``, or measure one case or all, as a program in C does.

    Args:
        words: What the program says of itself.
        cases: The bound of each, 0 for none.
        run: Measures the case of that name at that scale, 1 being the usual length.
        arguments: Those of the command line if None.

    Returns:
        The exit code: 0; 1 the number is over its bound; 2 misused; 3 this system cannot.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--describe", action="store_true")
    parser.add_argument("--case", choices=list(cases))
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    if options.describe:
        listed = [{"name": name, "bound": bound} for name, bound in cases.items()]
        print(json.dumps(asdict(words) | {"cases": listed}))
        return 0
    try:
        if options.case:
            figure, parts = run(options.case, options.scale)
            print(json.dumps({"figure": figure, "parts": parts}))
            return 0
        return _print_number(words, cases, run, options.scale)
    except (CannotRun, CannotCompile) as error:
        print(f"micro: {error}", file=sys.stderr)
        return 3


def _print_number(
    words: Words, cases: Mapping[str, float], run: Callable[[str, float], Result], scale: float
) -> int:
    """Measure every case that has a bound; print the one that comes nearest to it."""

    def share(name: str) -> float:
        ratio = figures[name] / cases[name]
        return 1 / max(ratio, 1e-9) if words.is_least else ratio

    figures = {name: run(name, scale)[0] for name, bound in cases.items() if bound}
    worst = max(figures, key=share)
    sign, verdict = (">=" if words.is_least else "<="), ("over" if share(worst) > 1 else "ok")
    print(
        f"{words.number} {words.name}: {figures[worst]:.4g} {words.unit} ({worst}),"
        f" bound {sign} {cases[worst]:g}: {verdict}"
    )
    return int(verdict == "over")
