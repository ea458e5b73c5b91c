"""Who is measured: the C ceilings, the peers, and our own servers once an engine.

A contender that cannot run here is left out, and named with the reason. The engines are asked for
by name, each in a process of its own, so that one that is added to the package appears by itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.bars import NATIVE
from benchmarks.compiling import CannotCompile, compiled
from benchmarks.workloads import Service, Workload
from proactor.engines.choose import NAMES, VARIABLE

ROOT = Path(__file__).parents[1]

CEILINGS: Final = ("c-epoll", "c-uring")

_PACKAGES: Final = {"uvloop": "uvloop", "uvloop-gathered": "uvloop", "aiofastnet": "aiofastnet"}
_PEERS: Final[tuple[tuple[Service, str, str], ...]] = (
    ("echo", "asyncio", "asyncio_protocol"),
    ("echo", "uvloop", "uvloop_protocol"),
    ("echo", "aiofastnet", "aiofastnet_protocol"),
    ("framed", "asyncio", "framed_protocol"),
    ("framed", "uvloop", "framed_protocol --loop uvloop"),
    ("framed", "uvloop-gathered", "framed_protocol --loop uvloop --gather"),
    ("framed", "aiofastnet", "framed_protocol --loop aiofastnet"),
    ("fanout", "asyncio", "fanout_protocol"),
    ("fanout", "uvloop", "fanout_protocol --loop uvloop"),
    ("fanout", "aiofastnet", "fanout_protocol --loop aiofastnet"),
    ("posts", "simple-queue", "simple_queue_posts"),
)
_OURS: Final[tuple[tuple[Service, str, str], ...]] = (
    ("echo", "session-1", "session_echo --workers 1"),
    ("echo", "session-5", "session_echo --workers 5"),
    ("echo", "stream-1", "stream_echo --workers 1"),
    ("echo", "stream-5", "stream_echo --workers 5"),
    ("echo", "stream-port-1", "stream_port_echo --workers 1"),
    ("echo", "stream-port-5", "stream_port_echo --workers 5"),
    ("echo", "port-1", "port_echo --workers 1"),
    ("echo", "port-1-skip", "port_echo --workers 1 --skip-on-success"),
    ("echo", "port-5", "port_echo --workers 5"),
    ("echo", "completion-port", "completion_port_model"),
    ("framed", "session-1", "session_framed --workers 1"),
    ("framed", "session-5", "session_framed --workers 5"),
    ("fanout", "session-1", "session_fanout --workers 1"),
    ("fanout", "session-5", "session_fanout --workers 5"),
    ("fanout", "room-1", "session_fanout --workers 1 --room"),
    ("fanout", "room-5", "session_fanout --workers 5 --room"),
    ("burn", "session-1", "session_echo --workers 1 --burn 50"),
    ("burn", "session-2", "session_echo --workers 2 --burn 50"),
    ("posts", "port", "port_posts"),
)
_SMALLEST_BUFFER: Final = 4096

_TRY_ENGINE: Final = """
import json
from proactor.engines import choose
from proactor.engines.native import probe
try:
    choose.current()
except choose.EngineUnavailable as error:
    raise SystemExit(str(error.__cause__ or error))
print(json.dumps(probe.native_profile().ring()))
"""


@dataclass(frozen=True)
class Contender:
    """A server to measure, or a program that measures itself.

    Attributes:
        name: What it is called, without its engine.
        command: The command line, without what depends on the workload.
        engine: Which engine of ours it runs on; "" if it is not ours.
        takes_buffer: How it is told the size of a receive buffer; None if it is not.
        service: What it does.
    """

    name: str
    command: tuple[str, ...]
    engine: str = ""
    takes_buffer: tuple[str, ...] | None = None
    service: Service = "echo"

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

    contenders: list[Contender] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def chosen(self, workload: Workload, wanted: list[str] | None) -> list[Contender]:
        """Return those who do what the workload asks and are `wanted`; None: its own choice."""
        names = set(workload.servers if wanted is None else wanted)
        return [
            contender
            for contender in self.contenders
            if contender.service == workload.service and {contender.name, contender.label} & names
        ]


def everybody() -> Field:
    """Look who can run here; compiles the ceilings."""
    found = Field()
    for name in CEILINGS:
        _add_ceiling(found, name)
    for service, name, module in _PEERS:
        package = _PACKAGES.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            found.missing[name] = "not installed: the extra `bench` has it"
        else:
            found.contenders.append(Contender(name, _module(module), service=service))
    rings = dict(_engines(found))
    for engine, ring in rings.items():
        if engine in NATIVE:
            _add_core(found, engine, ring)
    # Server by server, so that the engines of one stand below each other.
    for service, name, module in _OURS:
        buffer = ("--buffer",) if module.startswith("port_echo") else None
        for engine in rings:
            found.contenders.append(Contender(name, _module(module), engine, buffer, service))
    return found


def _module(words: str) -> tuple[str, ...]:
    name, *options = words.split()
    return (sys.executable, "-m", f"benchmarks.peers.{name}", *options)


def _add_ceiling(found: Field, name: str) -> None:
    source = f"ceilings/echo_{name.removeprefix('c-')}.c"
    _add_program(found, Contender(name, (source,), takes_buffer=()))


def _add_core(found: Field, engine: str, ring: dict[str, int]) -> None:
    """Add the echo in the native core, told what the package's own engine would choose."""
    options = []
    if engine == "io_uring":
        options = ["--ring", *(f"--{name}" for name in ("multishot", "incremental") if ring[name])]
    _add_program(found, Contender("core-echo", ("ceilings/echo_core.c", *options), engine))


def _add_program(found: Field, contender: Contender) -> None:
    """Compile it; where it cannot run, say why."""
    source, *options = contender.command
    try:
        command = (str(compiled(source)), *options)
    except CannotCompile as error:
        found.missing[contender.label] = str(error)
        return
    # With no input it starts, and ends at once: what it cannot do here shows now.
    run = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, text=True)
    if run.returncode:
        reason = run.stderr.strip() or f"it ended with code {run.returncode}"
        found.missing[contender.label] = reason
        return
    taken = Contender(contender.name, command, contender.engine, contender.takes_buffer)
    found.contenders.append(taken)


def _engines(found: Field) -> Iterator[tuple[str, Any]]:
    for name in NAMES:
        run = subprocess.run(
            [sys.executable, "-c", _TRY_ENGINE],
            env={**os.environ, VARIABLE: name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if run.returncode == 0:
            yield name, json.loads(run.stdout)
        else:
            found.missing[f"our engine {name}"] = (run.stderr.splitlines() or ["it failed"])[-1]
