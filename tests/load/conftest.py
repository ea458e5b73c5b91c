"""Every test of this folder that runs a load runs it twice: generated in C, and in Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from proactor.load import LoadPlan, Report, run_load
from proactor.load.generator import _native_class

Run = Callable[..., Report]


@pytest.fixture(params=["native", "python"])
def run(request: pytest.FixtureRequest) -> Run:
    """``run(port, **plan)`` runs a load that is over soon; keywords of `run_load` may be among."""
    if request.param == "native" and _native_class()[0] is None:
        pytest.skip(_native_class()[1])

    def load(port: int, **options: Any) -> Report:
        others = {name: options.pop(name) for name in ("watch", "stops") if name in options}
        options = {"connections": 3, "timeout": 2.0, "duration": 5.0, **options}
        plan = LoadPlan(port, **options)
        report = run_load(plan, pure=request.param == "python", **others)
        assert report.generator == request.param
        return report

    return load
