"""The micro-benchmarks that there are: every file of `programs/` is one, and describes itself.

A program is a C file (compiled on demand) or a Python file (run by this interpreter). Either
answers ``--describe`` with its words and cases as one JSON object, and ``--case NAME --scale
FACTOR`` with one figure and its parts. Nothing else knows the list: to add one, add its file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.micro.building import PROGRAMS, built

ROOT: Final = PROGRAMS.parents[2]
LIMIT: Final = 60.0
"""Seconds after which one case is given up."""


class Failed(Exception):
    """A program failed, or did not end in time; the text says which and how."""


class CannotRun(Exception):
    """This system has not what a program needs; the text says what."""


class Unknown(Exception):
    """There is no micro-benchmark of that name; the text lists those that there are."""


@dataclass(frozen=True)
class Case:
    """One case of a program, and the bound of its figure; None if it has no bound."""

    name: str
    bound: float | None


@dataclass(frozen=True)
class Program:
    """One micro-benchmark: what it says of itself."""

    command: tuple[str, ...]
    number: str
    name: str
    title: str
    unit: str
    parts_unit: str
    choice: str
    reason: str
    is_least: bool
    repeats: int
    cases: tuple[Case, ...]

    def best(self, figures: Sequence[float]) -> float:
        """Return the best of some figures of one case."""
        return max(figures) if self.is_least else min(figures)

    def share(self, figure: float, bound: float) -> float:
        """Return how much of its bound a figure uses up; above 1 it is over."""
        if self.is_least:
            return bound / figure if figure > 0 else float("inf")
        return figure / bound


def programs(names: Sequence[str] = ()) -> list[Program]:
    """Compile and return the programs of these numbers or names, in order; all without names.

    Raises:
        Unknown: A name is none of a program.
        Failed: A program does not describe itself.
        CannotCompile: There is no C compiler, or it refuses one.
    """
    files = sorted(path for path in PROGRAMS.iterdir() if path.suffix in (".c", ".py"))
    known = {name: path for path in files for name in _names_of(path)}
    for name in names:
        if name not in known:
            listed = ", ".join(" ".join(_names_of(path)) for path in files)
            raise Unknown(f"there is no micro-benchmark {name!r}; there are {listed}")
    wanted = {known[name] for name in names} or set(files)
    return [described(path) for path in files if path in wanted]


def _names_of(path: Path) -> tuple[str, str]:
    """Return the number and the name: ("2b", "posted-and-streamed") of 02b_posted_and_streamed."""
    number, _, name = path.stem.partition("_")
    return number.lstrip("0"), name.replace("_", "-")


def described(path: Path) -> Program:
    """Return what the program of this file says of itself; compile it if need be.

    Raises:
        Failed: It does not describe itself.
        CannotCompile: There is no C compiler, or it refuses the program.
    """
    command = (sys.executable, str(path)) if path.suffix == ".py" else (str(built(path)),)
    words = answer((*command, "--describe"), path.stem)
    cases = tuple(Case(case["name"], case["bound"] or None) for case in words.pop("cases"))
    return Program(command, cases=cases, **words)


def measured(program: Program, case: Case, scale: float) -> dict[str, Any]:
    """Return the figure and the parts of one case, measured once.

    Raises:
        CannotRun: This system has not what it needs.
        Failed: It ended otherwise, or not within `LIMIT`.
    """
    arguments = ("--case", case.name, "--scale", f"{scale:g}")
    return answer((*program.command, *arguments), f"{program.number} ({case.name})")


def answer(command: Sequence[str], title: str) -> dict[str, Any]:
    """Run a program and return the JSON object that it prints.

    Raises:
        CannotRun: It ended with 3, which means that the system has not what it needs.
        Failed: It ended otherwise, printed no JSON, or did not end within `LIMIT`.
    """
    paths = (str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{title} did not end within {LIMIT:g} s") from None
    story = run.stderr.strip().splitlines()
    if run.returncode == 3:
        raise CannotRun(story[-1] if story else "it says no more")
    if run.returncode:
        raise Failed(f"{title} ended with {run.returncode}: {story[-1] if story else 'no word'}")
    try:
        figures: dict[str, Any] = json.loads(run.stdout)
    except ValueError:
        raise Failed(f"{title} printed no JSON: {run.stdout[:100]!r}") from None
    return figures
