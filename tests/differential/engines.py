"""The native engines of this machine, and an interpreter of programs on each engine, as a child."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from proactor.engines import choose

_ROOT = Path(__file__).parents[2]
_OTHERS = frozenset({"iocp", "selectors"})


@functools.cache
def native_engines() -> tuple[str, ...]:
    """Return the names of the native engines that can be opened here."""
    return tuple(name for name in choose.NAMES if name not in _OTHERS and _opens(name))


def _opens(name: str) -> bool:
    code = "from proactor.engines import choose; choose.current()"
    run = subprocess.run([sys.executable, "-c", code], env=environment(name), capture_output=True)
    return run.returncode == 0


def environment(name: str) -> dict[str, str]:
    """Return the environment of a process that is to run on the engine `name`."""
    return {**os.environ, choose.VARIABLE: name}


class Child:
    """A process that runs programs on one engine, as many as it is given."""

    def __init__(self, engine: str) -> None:
        """Start it."""
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.differential.interpreter"],
            cwd=_ROOT,
            env=environment(engine),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, program: Sequence[Any]) -> dict[str, Any]:
        """Run `program` and return its trace.

        Raises:
            AssertionError: The process has ended over it.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(program) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the interpreter on {self.engine} has ended over {program}"
        trace: dict[str, Any] = json.loads(line)
        return trace

    def __enter__(self) -> Child:
        """Return the child."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it; it must end well if nothing else has failed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process.stdout.close()
        assert error is not None or status == 0, f"the interpreter on {self.engine}: {status}"
