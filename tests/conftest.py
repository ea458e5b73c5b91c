"""What all tests share: the engine that they run on, threads and resources that end with them.

The engine is one a process: ``PROACTOR_ENGINE`` chooses it, as for users. Fixtures for every
folder: `opened` (closes a resource when the test ends) and `in_thread` (runs a call in a thread).

Markers with a meaning here: ``engine(name, ...)`` runs a test on these engines only, and
``windows_differs(reason)`` names a behaviour in which Wine is not Windows: under Wine such a test
may fail and is reported as expected, everywhere else it must pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from proactor.engines import choose
from tests.support.system import engine_name, under_wine
from tests.support.threads import Running

T = TypeVar("T")


def pytest_report_header() -> str:
    """Name the engine in the first lines of the run."""
    engine_name()  # Ends the run with one line if the engine that was asked for cannot run.
    description = choose.current().describe()
    wine = ", under Wine" if under_wine() else ""
    return f"engine: {description.name} ({description.reason}){wine}"


HEAVY = ("benchmarks", "faults")
"""Folders whose tests compile C and measure: not for a newcomer's first minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the markers ``heavy``, ``engine`` and ``windows_differs`` their meaning."""
    for item in items:
        if item.path.parent.name in HEAVY:
            item.add_marker(pytest.mark.heavy)
        wanted = {name for mark in item.iter_markers("engine") for name in mark.args}
        if wanted and engine_name() not in wanted:
            names = ", ".join(sorted(wanted))
            item.add_marker(pytest.mark.skip(reason=f"only for the engine {names}"))
        if under_wine():
            for mark in item.iter_markers("windows_differs"):
                reason = f"Wine differs from Windows: {mark.args[0]}"
                item.add_marker(pytest.mark.xfail(strict=False, reason=reason))


@pytest.fixture
def opened() -> Iterator[Callable[[T], T]]:
    """``opened(resource)`` returns `resource` and closes it at the end of the test."""
    with ExitStack() as stack:

        def register(resource: T) -> T:
            stack.callback(resource.close)  # type: ignore[attr-defined]
            return resource

        yield register


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Running[Any]]]:
    """``in_thread(function, *arguments)`` starts the call in a thread and returns a `Running`.

    At the end of the test every such thread is joined, and what it raised is raised, unless the
    test has asked for its result.
    """
    started: list[Running[Any]] = []

    def start(function: Callable[..., T], *arguments: Any) -> Running[T]:
        running = Running(function, *arguments)
        started.append(running)
        return running

    yield start
    for running in started:
        running.finish()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind which would keep the process alive."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and not t.daemon]
    assert not left, f"threads left behind: {left}"
