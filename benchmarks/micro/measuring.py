"""Run the cases in random order, several times, and choose among the repeats.

A repeat is every case of every program once, shuffled anew: what disturbs the machine for a while
disturbs no program alone, and none always runs first. Within one case the program itself alternates
between what it compares, so the two sides of a ratio met the same minutes.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.micro.registry import CannotRun, Case, Failed, Program, measured


@dataclass
class CaseFigures:
    """All repeats of one case."""

    case: Case
    repeats: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Outcome:
    """One program with its cases; `problem` says why it has no number."""

    program: Program
    cases: list[CaseFigures]
    problem: str | None = None
    left_out: str | None = None

    def figure(self, one: CaseFigures) -> float:
        """Return the figure of a case: the best or the median of its repeats."""
        figures = [repeat["figure"] for repeat in one.repeats]
        if self.program.choice == "best":
            return self.program.best(figures)
        return float(statistics.median(figures))

    def parts(self, one: CaseFigures) -> dict[str, float]:
        """Return the parts of a case, each the median of its repeats."""
        names = one.repeats[0]["parts"]
        return {
            name: float(statistics.median(repeat["parts"][name] for repeat in one.repeats))
            for name in names
        }

    def spread(self, one: CaseFigures) -> tuple[float, float]:
        """Return the lowest and the highest figure of a case's repeats."""
        figures = [repeat["figure"] for repeat in one.repeats]
        return min(figures), max(figures)

    def number(self) -> tuple[CaseFigures, float] | None:
        """Return the case that comes nearest to its bound and its figure; None without any."""
        bound = [one for one in self.cases if one.repeats and one.case.bound]
        if self.problem or self.left_out or not bound:
            return None
        worst = max(bound, key=self._share)
        return worst, self.figure(worst)

    def is_over(self) -> bool:
        """Return True where the number is beyond its bound."""
        number = self.number()
        return number is not None and self._share(number[0]) > 1

    def _share(self, one: CaseFigures) -> float:
        assert one.case.bound is not None, "only cases with a bound are asked"
        return self.program.share(self.figure(one), one.case.bound)


def measure(
    chosen: Sequence[Program],
    repeats: int,
    scale: float,
    progress: Callable[[str], None] = lambda text: None,
    shuffle: Callable[[list[Any]], None] = random.shuffle,
) -> list[Outcome]:
    """Measure every case of every program `repeats` times (a program may ask for fewer).

    Args:
        chosen: What to measure.
        repeats: How often, 1 or more.
        scale: 1 for the usual length of a measurement, less for shorter.
        progress: Told before each measurement what comes.
        shuffle: Puts a list in another order, in place.
    """
    outcomes = [Outcome(one, [CaseFigures(case) for case in one.cases]) for one in chosen]
    for number in range(repeats):
        plan = [
            (outcome, one)
            for outcome in outcomes
            for one in outcome.cases
            if not outcome.program.repeats or number < outcome.program.repeats
        ]
        shuffle(plan)
        for outcome, one in plan:
            if outcome.problem or outcome.left_out:
                continue
            program = outcome.program
            progress(f"{number + 1}/{repeats}  {program.number} {program.name}: {one.case.name}")
            try:
                one.repeats.append(measured(program, one.case, scale))
            except CannotRun as error:
                outcome.left_out = str(error)
            except Failed as error:
                outcome.problem = str(error)
    return outcomes
