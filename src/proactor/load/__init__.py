"""A load generator for any TCP server that echoes, or that fans frames out to everybody.

`run_load` runs a `LoadPlan` and returns a `Report`; it compares every byte of every reply. The hot
loop is C (`core/`, behind `_generator`) where that was built, else Python (`pure/`): the same
traffic, the same verdicts, a lower rate. Rule: nothing is sent to another address than the plan's,
and everything ends by itself, whatever the server does.
"""

from __future__ import annotations

from proactor.load.failures import Failure, FailureKind
from proactor.load.histogram import Histogram
from proactor.load.plan import LoadPlan, PlanError
from proactor.load.report import Report
from proactor.load.running import Moment, run_load

__all__ = [
    "Failure",
    "FailureKind",
    "Histogram",
    "LoadPlan",
    "Moment",
    "PlanError",
    "Report",
    "run_load",
]
