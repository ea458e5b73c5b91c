"""What a program has started, and the record of what was indicated: the trace.

The trace has only what the contract fixes. Whether a call said "done" or "pending" is free, and so
is the order of packets of different sockets; the order of one socket's packets is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proactor import CompletionPacket, Event, OperationKind, Overlapped, ProactorError
from tests.differential.world import End

_RECEIVES = frozenset({OperationKind.RECV, OperationKind.ACCEPT})


@dataclass(eq=False)
class Started:
    """One operation that was accepted.

    Attributes:
        number: Its place among all calls of the program.
        how: "packet", "event", "routine" or "silent" (an event, and its packet suppressed).
        thread: The number of the thread that issued it.
        buffers: Where it receives.
        is_vague: Only its being indicated is fixed: what it moved is free.
        indications: How often it was indicated, in which way.
    """

    number: int
    end: End
    how: str
    thread: int
    overlapped: Overlapped
    event: Event | None
    buffers: Sequence[bytearray]
    is_vague: bool = False
    indications: dict[str, int] = field(default_factory=dict)

    def note(self, way: str) -> None:
        """Count an indication."""
        self.indications[way] = self.indications.get(way, 0) + 1

    def bytes_of(self, count: int, faults: list[str]) -> str:
        """Return the bytes it received, in hexadecimal; note if it wrote behind them."""
        whole = b"".join(self.buffers)
        if any(whole[count:]):
            faults.append(f"operation {self.number} wrote behind its {count} bytes")
        return whole[:count].hex()

    def wanted(self) -> dict[str, int]:
        """Return how it must be indicated by the end of the program."""
        ways = {"packet": ["packet"], "event": ["event"], "routine": ["routine"]}
        wanted = dict.fromkeys(ways.get(self.how, ["event"]), 1)
        if self.how == "event" and not self.end.name.endswith("2"):
            wanted["packet"] = 1  # It is attached to the port: both.
        return wanted


@dataclass
class Trace:
    """What a program has indicated.

    Attributes:
        calls: The outcome of each call, in order: a step may make none, or several.
        packets: For each key, its packets in the order of their taking.
        signals: Each event that was set and each routine that was called, by the step.
        faults: What no engine may do; a program without a fault has none.
        counters: The port's counters at the end.
    """

    calls: list[Any] = field(default_factory=list)
    packets: dict[str, list[Any]] = field(default_factory=dict)
    signals: list[Any] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    counters: dict[str, Any] = field(default_factory=dict)

    def note_packet(self, packet: CompletionPacket, started: Started | None) -> None:
        """Write down a packet that was taken; `started` is None for a posted one."""
        row: list[Any]
        if started is None:
            row = ["posted", packet.overlapped, packet.transferred]
        else:
            started.note("packet")
            row = self.row(started, packet.transferred, packet.error)
        self.packets.setdefault(str(packet.key), []).append(row)

    def row(self, started: Started, transferred: int, error: OSError | None) -> list[Any]:
        """Return what is fixed of an indication."""
        overlapped = started.overlapped
        row: list[Any] = [started.number, overlapped.kind.value, numbers(error)]
        if overlapped.is_in_flight and started.how != "routine":
            self.faults.append(f"operation {started.number} is in flight after its indication")
        if started.is_vague or (started.end.peer and started.end.peer.is_undefined):
            return [*row, "free"]
        row.append(transferred)
        if overlapped.kind in _RECEIVES and started.buffers:
            row.append(started.bytes_of(transferred, self.faults))
        return row


def numbers(error: OSError | None) -> list[int] | None:
    """Return the numbers of a failure, which must be one of ours."""
    if error is None:
        return None
    if not isinstance(error, ProactorError):
        return [-1, error.errno or 0]
    return [error.winerror, error.wsaerror]
