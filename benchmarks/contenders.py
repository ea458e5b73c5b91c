"""Who is measured: the C ceilings, the peers, and our own servers once an engine.

A contender that cannot run here is left out, and named with the reason. The engines are asked for
by name, each in a process of its own, so that one that is added to the package appears by itself.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.compiling import CannotCompile, compiled
from benchmarks.workloads import Workload
from proactor.engines.choose import NAMES, VARIABLE

ROOT = Path(__file__).parents[1]

CEILINGS: Final = ("c-epoll", "c-uring")

_PEERS: Final = {
    "asyncio": ("asyncio", "asyncio_protocol"),
    "uvloop": ("uvloop", "uvloop_protocol"),
    "aiofastnet": ("aiofastnet", "aiofastnet_protocol"),
}
_OURS: Final = {
    "port-1": ("port_echo", "--workers", "1"),
    "port-1-skip": ("port_echo", "--workers", "1", "--skip-on-success"),
    "port-5": ("port_echo", "--workers", "5"),
    "stream-1": ("stream_echo", "--workers", "1"),
    "stream-5": ("stream_echo", "--workers", "5"),
    "completion-port": ("completion_port_model",),
}
_SMALLEST_BUFFER: Final = 4096

_TRY_ENGINE: Final = """
from proactor.engines import choose
try:
    choose.current()
except choose.EngineUnavailable as error:
    raise SystemExit(str(error.__cause__ or error))
"""


@dataclass(frozen=True)
class Contender:
    """A server to measure, or a program that measures itself.

    Attributes:
        name: What it is called, without its engine.
        engine: Which engine of ours it runs on; "" if it is not ours.
        command: The command line, without what depends on the workload.
        takes_buffer: True if it is told the size of a receive buffer.
    """

    name: str
    command: tuple[str, ...]
    engine: str = ""
    takes_buffer: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """The name with the engine: what tables show and ``--peers`` takes."""
        return f"{self.name}@{self.engine}" if self.engine else self.name

    def command_for(self, workload: Workload) -> list[str]:
        """Return the whole command line: a receive buffer holds a message of the workload."""
        if self.takes_buffer is None:
            return list(self.command)
        return [*self.command, *self.takes_buffer, str(max(_SMALLEST_BUFFER, workload.size))]

    def environment(self) -> dict[str, str]:
        """Return the environment to run in."""
        return {**os.environ, VARIABLE: self.engine} if self.engine else dict(os.environ)


@dataclass
class Field:
    """Everybody who can be measured here, and who is missing and why."""

    echoers: list[Contender] = field(default_factory=list)
    posters: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def everybody() -> Field:
    """Look who can run here; compiles the ceilings."""
    found = Field()
    for name in CEILINGS:
        _add_ceiling(found, name)
    for name, (package, module) in _PEERS.items():
        if importlib.util.find_spec(package) is None:
            found.missing[name] = "not installed: the extra `bench` has it"
        else:
            found.echoers.append(Contender(name, _module(module)))
    found.posters.append(Contender("simple-queue", _module("simple_queue_posts")))
    for engine in _engines(found):
        for name, (module, *options) in _OURS.items():
            buffer = ("--buffer",) if module == "port_echo" else None
            found.echoers.append(Contender(name, _module(module, *options), engine, buffer))
        found.posters.append(Contender("port", _module("port_posts"), engine))
    return found


def _module(name: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.peers.{name}", *options)


def _add_ceiling(found: Field, name: str) -> None:
    source = f"ceilings/echo_{name.removeprefix('c-')}.c"
    try:
        program = str(compiled(source))
    except CannotCompile as error:
        found.missing[name] = str(error)
        return
    # With no input it starts, and ends at once: what it cannot do here shows now.
    run = subprocess.run([program], stdin=subprocess.PIPE, capture_output=True, text=True)
    if run.returncode:
        found.missing[name] = run.stderr.strip() or f"it ended with code {run.returncode}"
        return
    found.echoers.append(Contender(name, (program,), takes_buffer=()))


def _engines(found: Field) -> Iterator[str]:
    for name in NAMES:
        run = subprocess.run(
            [sys.executable, "-c", _TRY_ENGINE],
            env={**os.environ, VARIABLE: name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if run.returncode == 0:
            yield name
        else:
            found.missing[f"our engine {name}"] = (run.stderr.splitlines() or ["it failed"])[-1]
