"""The server's process, seen from outside: what it counts, its memory and its descriptors."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.differential.engines import environment

_ROOT = Path(__file__).parents[2]

GROWTH_KB = 4096
"""KiB that the resident memory may grow from the second third of a run to the last one ..."""

GROWTH = 0.03
"""... and this part of it. What leaks is more: a session that is kept costs 10 KiB and more."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, resident KiB, open descriptors, the server's counters."""

    at: float
    resident: int
    descriptors: int
    counts: dict[str, int]


class Watched:
    """The server of `tests.soak.server` on one engine, as a child."""

    def __init__(self, engine: str) -> None:
        """Start it and learn its address."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.server"],
            cwd=_ROOT,
            env=environment(engine),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = ("127.0.0.1", int(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server has ended with status {self._process.wait()}")
        return line

    def counts(self) -> dict[str, int]:
        """Ask for the server's counters."""
        assert self._process.stdin is not None
        self._process.stdin.write("count\n")
        self._process.stdin.flush()
        found: dict[str, int] = json.loads(self._line())
        return found

    def sample(self, at: float) -> Sample:
        """Look at it now."""
        folder = Path(f"/proc/{self._process.pid}")
        status = (folder / "status").read_text(encoding="ascii", errors="replace")
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return Sample(at, int(resident.split()[1]), len(os.listdir(folder / "fd")), self.counts())

    def end(self) -> int:
        """End it; return its status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._process.stdout.close()


def complaints(samples: list[Sample], idle: Sample, before: Sample, status: int) -> list[str]:
    """Return what is wrong with a run, in words.

    Args:
        samples: Those taken under load, oldest first.
        idle: One taken when all clients had left.
        before: One taken before the first client came.
        status: How the server ended.
    """
    third = len(samples) // 3
    middle = statistics.median(one.resident for one in samples[third : 2 * third])
    last = statistics.median(one.resident for one in samples[2 * third :])
    found: list[Any] = [
        last > middle * (1 + GROWTH) + GROWTH_KB
        and f"memory has grown from {middle:.0f} to {last:.0f} KiB under the same load",
        idle.descriptors > before.descriptors + 2  # What an engine opens at its first use.
        and f"{idle.descriptors - before.descriptors} descriptors are left",
        idle.counts["sessions"] and f"{idle.counts['sessions']} sessions are left",
        # The accepts that wait are started and not indicated yet.
        idle.counts["started"] - idle.counts["indicated"] != 8
        and f"started {idle.counts['started']}, indicated {idle.counts['indicated']}, 8 wait",
        not idle.counts["messages"] and "nothing was echoed",
        not (idle.counts["cancels"] and idle.counts["resets"] and idle.counts["closes"])
        and f"not all that was to happen has: {idle.counts}",
        status and f"the server ended with status {status}",
    ]
    return [text for text in found if text]
