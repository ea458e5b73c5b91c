"""One run, from the first connection to the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from proactor.load.generator import Counts, Generator, Phase, resolve
from proactor.load.histogram import Histogram
from proactor.load.plan import LoadPlan
from proactor.load.report import Report

SLICE: Final = 0.1
"""Seconds between two looks at whether to stop; the generator runs undisturbed meanwhile."""

STOP_PATIENCE: Final = 1.0
"""Seconds for which the last replies are awaited when a run is ended from outside."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A look at a run that is under way."""

    counts: Counts
    latencies: Callable[[], Histogram]
    """Makes a copy of the histogram as it is; takes a fraction of a millisecond."""


def run_load(
    plan: LoadPlan,
    *,
    pure: bool = False,
    watch: Callable[[Moment], None] | None = None,
    stops: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda text: None,
) -> Report:
    """Run `plan` in the calling thread.

    Args:
        plan: What to do; it is checked first.
        pure: Use the generator in Python also where the one in C is there.
        watch: Called ten times a second with what has happened so far.
        stops: Asked ten times a second; after its first True the run ends, with a report.
        note: Told, at most once, why the generator in C is not used.

    Returns:
        The report; whatever a server does wrong is in it.

    Raises:
        PlanError: The plan makes no sense.
        OSError: The host is not known, or there is no memory or descriptor for the generator.
    """
    plan.check()
    with closing(Generator(plan, resolve(plan), pure=pure)) as generator:
        if generator.note:
            note(generator.note)
        return _run(generator, plan, watch, stops)


def _run(
    generator: Generator,
    plan: LoadPlan,
    watch: Callable[[Moment], None] | None,
    stops: Callable[[], bool],
) -> Report:
    interrupted, phase = False, Phase.OPENING
    used = {Phase.MEASURE: 0.0, Phase.DRAIN: 0.0}
    while phase is not Phase.DONE:
        before, phase = phase, generator.run(SLICE)
        if phase is not before and not interrupted:
            used[phase] = time.process_time()
        if watch is not None:
            watch(Moment(generator.counts(), generator.latencies))
        if not interrupted and stops():
            interrupted = True
            if phase is Phase.MEASURE:
                used[Phase.DRAIN] = time.process_time()
            generator.stop(STOP_PATIENCE)
    counts = generator.counts()
    seconds = (counts.ended - counts.began) / 1e9
    share = max(used[Phase.DRAIN] - used[Phase.MEASURE], 0.0) / seconds if seconds > 0 else 0.0
    latencies = generator.latencies()
    return Report(plan, counts, latencies, generator.name, share, interrupted)
