"""The C programs of the benchmarks, compiled with sanitizers where the compiler has them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.compiling import OPTIMIZED, SANITIZED, CannotCompile, compiled
from tests.benchmarks.programs import ServedProgram

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the programs speak epoll")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs_linux)


def built(source: str) -> Path:
    """Compile with sanitizers, or without if there are none; skip if there is no compiler."""
    try:
        return compiled(source, SANITIZED)
    except CannotCompile:
        try:
            return compiled(source, OPTIMIZED)
        except CannotCompile as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def load_program() -> Path:
    return built("load/load.c")


@pytest.fixture(params=["echo_epoll", "echo_uring", "echo_core"])
def echo_program(request: pytest.FixtureRequest) -> Path:
    """Each ceiling, and the echo in the native core.

    The one that the kernel refuses is skipped with what it says itself.
    """
    program = built(f"ceilings/{request.param}.c")
    run = subprocess.run([program], stdin=subprocess.PIPE, capture_output=True, text=True)
    if run.returncode == 3:
        pytest.skip(run.stderr.strip())
    return program


@pytest.fixture
def serve() -> Iterator[Callable[[Path], ServedProgram]]:
    """``serve(program)`` starts it; at the end it must end by itself, with code 0."""
    with ExitStack() as stack:
        yield lambda program: stack.enter_context(ServedProgram(program))
