"""The CPUs of a measurement: the server gets one, its load another, where the system allows it.

Without this the two share a CPU at random, and what is measured is the scheduler.
"""

from __future__ import annotations

import os


def two_cpus() -> tuple[int, int] | None:
    """Return a CPU for the server and one for the load; None where they cannot be chosen."""
    try:
        allowed = sorted(os.sched_getaffinity(0))  # type: ignore[attr-defined,unused-ignore]
    except (AttributeError, OSError):
        return None
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def pin(cpu: int) -> None:
    """Run the calling thread, and those that it starts, on `cpu` alone; -1 for any."""
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})  # type: ignore[attr-defined,unused-ignore]
