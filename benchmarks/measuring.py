"""One measurement: one contender, one workload, one round, in processes that always end.

The server runs on one CPU and the load on another, where the system lets them be chosen. A child is
pinned by pinning this process while it starts, since threads and children inherit it. Children have
a session of their own, so that Ctrl-C reaches this process alone, and this process ends them.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from benchmarks import interrupts
from benchmarks.compiling import compiled
from benchmarks.contenders import ROOT, Contender
from benchmarks.workloads import Workload

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
PATIENCE = 10.0
IDLE_SECONDS = 0.5
"""How long sessions that are to be idle are spoken to, after the memory was read."""

Figures = dict[str, Any]


class Failed(Exception):
    """A server or its load failed; the text says how, in one line."""


@dataclass(frozen=True)
class Clocking:
    """How long, and on which CPUs (None: wherever the system puts them)."""

    seconds: float
    warmup: float
    cpus: tuple[int, int] | None


def two_cpus() -> tuple[int, int] | None:
    """Return a CPU for the server and one for the load; None where they cannot be chosen."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def measure(contender: Contender, workload: Workload, clocking: Clocking) -> Figures:
    """Return the figures of one round.

    Raises:
        Failed: A process failed, was too slow, or a reply was wrong or missing.
    """
    figures = (_loaded if workload.has_load else _posts)(contender, workload, clocking)
    if not figures["messages"]:
        raise Failed("not one message came back in time")
    figures["cpu"] = figures["server_cpu"] / figures["messages"]
    if "object_bytes" in figures:
        own = figures["server_bytes_a_connection"] - figures["object_bytes"]
        figures["own_bytes"] = max(0, own)
    return figures


def _loaded(contender: Contender, workload: Workload, clocking: Clocking) -> Figures:
    server_cpu, load_cpu = (None if workload.needs_cpus else clocking.cpus) or (None, None)
    seconds, warmup = clocking.seconds, clocking.warmup
    if workload.is_idle:
        seconds, warmup = IDLE_SECONDS, 0.0
    with _served(contender, workload, server_cpu) as server:
        if workload.is_idle:
            _say_a_word(server.port)
        command = [
            *(str(compiled("load/load.c")), "--port", str(server.port)),
            *("--watch", str(server.pid), "--traffic", workload.traffic),
            *("--connections", str(workload.connections), "--size", str(workload.size)),
            *("--depth", str(workload.depth), "--senders", str(workload.senders)),
            *("--patience", str(PATIENCE)),
            *("--seconds", str(seconds), "--warmup", str(warmup)),
        ]
        # It connects, warms up, measures, and takes what is in flight, each within its patience.
        limit = seconds + warmup + 4 * PATIENCE
        figures = _output_of(command, load_cpu, dict(os.environ), limit)
    return {**figures, **server.last_words}


def _say_a_word(port: int) -> None:
    """Have what is made once, such as the pool of receive buffers, made before it is counted."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b"word")
            client.recv(4)
    except OSError as error:
        raise Failed(f"the first client was not served: {error}") from error


def _posts(contender: Contender, workload: Workload, clocking: Clocking) -> Figures:
    command = [*contender.command, "--workers", str(workload.workers)]
    command += ["--seconds", str(clocking.seconds)]
    limit = clocking.seconds + 3 * PATIENCE
    # Its threads are load and server at once: they are not pinned.
    return _output_of(command, None, contender.environment(), limit)


@dataclass
class _Server:
    """A running server; what it tells at its end is there after it."""

    pid: int
    port: int
    last_words: Figures = field(default_factory=dict)


@contextmanager
def _served(contender: Contender, workload: Workload, cpu: int | None) -> Iterator[_Server]:
    """Start a server; end it by closing its input, or by its pid if it does not end so."""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as story,
        _started(contender.command_for(workload), cpu, contender.environment(), story) as child,
    ):
        server = _Server(child.pid, _port_of(child, story))
        yield server
        words, _ = child.communicate(timeout=STOP_TIMEOUT)
        if words.strip():
            server.last_words = json.loads(words)


@contextmanager
def _started(
    command: list[str], cpu: int | None, environment: dict[str, str], story: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    child = None
    try:
        with interrupts.held(), _pinned(cpu):
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=story,
                text=True,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )
        yield child
        assert child.stdin is not None, "it was made with a pipe"
        child.stdin.close()
        child.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not end within {STOP_TIMEOUT:g} s of being told to") from None
    finally:
        if child is not None:
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()  # Does nothing to one that has ended.
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _port_of(server: subprocess.Popen[str], story: IO[str]) -> int:
    assert server.stdout is not None, "it was made with a pipe"
    ready, _, _ = select.select([server.stdout], [], [], START_TIMEOUT)
    line = server.stdout.readline() if ready else ""
    if not line.strip().isdigit():
        raise Failed(f"it did not start: {_one_line(story) or 'it printed no port'}")
    return int(line)


def _output_of(
    command: list[str], cpu: int | None, environment: dict[str, str], limit: float
) -> Figures:
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as story,
        _started(command, cpu, environment, story) as child,
    ):
        try:
            output, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not end within {limit:g} s") from None
        if child.returncode:
            raise Failed(_one_line(story) or f"it ended with code {child.returncode}")
    figures: Figures = json.loads(output)
    return figures


def _one_line(story: IO[str]) -> str:
    """Return what tells the most: the first line of the load, the last of a traceback."""
    story.seek(0)
    lines = story.read().splitlines()
    return next((line for line in lines if line.startswith("load: ")), lines[-1] if lines else "")
