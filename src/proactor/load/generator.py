"""What a generator is, whether C or Python, and which one runs here."""

from __future__ import annotations

import enum
import socket
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from proactor.load.failures import Failure, FailureKind
from proactor.load.histogram import Histogram
from proactor.load.plan import KINDS, LoadPlan
from proactor.load.pure.loop import PythonLoad

Address = tuple[int, tuple[Any, ...]]
"""A socket family, and an address of it with a numeric host."""


class Phase(enum.IntEnum):
    """Where a run is."""

    OPENING = 0
    WARMUP = 1
    MEASURE = 2
    DRAIN = 3
    DONE = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """What has happened so far.

    Attributes:
        phase: Where the run is.
        messages: Replies, or deliveries in a fan-out, within the measured time.
        replies: The same from the beginning on.
        sent: Messages sent within the measured time.
        unsent: Open loop: due within the measured time, and never sent.
        missing: Replies that connections still owed when they fell silent or were closed.
        outstanding: Replies that are awaited now.
        began: The monotonic clock at the beginning of the measured time, in ns; 0 before it.
        ended: Likewise at its end.
        opened: Connections that were opened.
        alive: Connections that are open or being opened.
        greeted: Of those, the ones that have been answered.
        failed: Connections that were given up, by kind of failure.
        first: The first 16 of these.
    """

    phase: Phase
    messages: int
    replies: int
    sent: int
    unsent: int
    missing: int
    outstanding: int
    began: int
    ended: int
    opened: int
    alive: int
    greeted: int
    failed: dict[FailureKind, int] = field(default_factory=dict)
    first: tuple[Failure, ...] = ()


class Core(Protocol):
    """What C and Python both offer; see ``_generator.pyi``."""

    def run(self, nanoseconds: int) -> int:
        """Drive it."""

    def stop(self, patience: int) -> None:
        """Begin nothing more."""

    def counts(self) -> dict[str, Any]:
        """Return all counters."""

    def latencies(self) -> tuple[list[int], int]:
        """Return the histogram."""

    def close(self) -> None:
        """Close every connection."""


class Generator:
    """One load, driven in slices by one thread.

    Attributes:
        name: ``native`` or ``python``.
        note: Why it is not the native one; empty where it is.
    """

    def __init__(self, plan: LoadPlan, address: Address, *, pure: bool = False) -> None:
        """Make the fastest that is there; with `pure`, the one in Python. Opens no connection."""
        native, self.note = (None, "Python was asked for") if pure else _native_class()
        made: type[Any] = native or PythonLoad
        self.name = "native" if native else "python"
        self._core: Core = made(*address, _options(plan))

    def run(self, seconds: float) -> Phase:
        """Go on for at most so long, or until the phase changes; return the phase."""
        return Phase(self._core.run(int(seconds * 1e9)))

    def stop(self, patience: float) -> None:
        """Begin nothing more; await what is in flight, for at most `patience` seconds."""
        self._core.stop(int(patience * 1e9))

    def counts(self) -> Counts:
        """Return the counters as they are now."""
        counts = self._core.counts()
        counts["phase"] = Phase(counts["phase"])
        counts["failed"] = dict(zip(FailureKind, counts["failed"], strict=True))
        counts["first"] = tuple(Failure(FailureKind(f[0]), *f[1:]) for f in counts["first"])
        return Counts(**counts)

    def latencies(self) -> Histogram:
        """Return a copy of the histogram."""
        return Histogram(*self._core.latencies())

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._core.close()


def resolve(plan: LoadPlan) -> Address:
    """Look the plan's host up.

    Raises:
        OSError: It is not known, or no address (UnicodeError: it is no name at all).
    """
    found = socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)
    return int(found[0][0]), found[0][4]


def _options(plan: LoadPlan) -> dict[str, Any]:
    return {
        "kind": KINDS.index(plan.kind),
        "connections": plan.connections,
        "depth": plan.in_flight,
        "size": plan.message_size,
        "id": plan.id,
        "big_endian": plan.byteorder == "big",
        "others_only": plan.others_only,
        "holds": plan.opens_together,
        "rate": float(plan.rate),
        "messages": plan.messages,
        "duration": int(plan.duration * 1e9),
        "warmup": int(plan.warmup_seconds * 1e9),
        "ramp": int(plan.ramp * 1e9),
        "timeout": int(plan.timeout * 1e9),
    }


def _native_class() -> tuple[type[Any] | None, str]:
    try:
        # Not at the top: it may be missing, and that is an answer.
        from proactor.load._generator import NativeLoad
    except ImportError as error:
        return None, _why_not_built(error)
    return NativeLoad, ""


def _why_not_built(error: ImportError) -> str:
    here = Path(__file__).parent
    try:
        note = here / f"not_built.{sysconfig.get_config_var('SOABI')}.txt"
        return note.read_text(encoding="utf-8").strip()
    except OSError:
        if (here / f"_generator{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
            return f"the one in C cannot be loaded: {error}"
        return "the one in C was not built: install the package where there is a C compiler"
