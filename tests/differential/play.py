"""One run of a program: how its calls are made, and what follows each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from proactor import CompletionPacket, Event, Overlapped, ProactorError, sleep_ex
from tests.differential.notes import Started, Trace, numbers
from tests.differential.workers import Caller, Waiter
from tests.differential.world import End, World
from tests.support.sockets import pattern

Step = dict[str, Any]


class Play:
    """The world of one program, what it has started, and its trace.

    Attributes:
        file: What is transmitted.
        started: The operations that were accepted, oldest first.
        open: Those that are not indicated yet, by number.
        callers, waiters: The threads that make calls, by number, and those that wait at the port.
        accepts: The accepts that no connection has come to yet.
        step: The number of the step that is being done.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Open a world; `file` is what is transmitted."""
        self.trace = Trace()
        self.world = World()
        self.file = file
        self.started: list[Started] = []
        self.open: dict[int, Started] = {}
        self.callers: dict[int, Caller] = {}
        self.waiters: list[Waiter] = []
        self.accepts: list[Started] = []
        self.step = 0

    # -- calls --

    def call(self, step: Step, call: Callable[[], Any], *, tells: bool = False) -> bool:
        """Make a call in the step's thread and note its outcome; say whether it was accepted.

        With `tells` its value belongs to the trace, else it only says done or pending.
        """
        outcome: Any = "taken"
        try:
            value = self.in_thread(step.get("thread", 0), call)
            outcome = ["value", value] if tells else "taken"
        except ProactorError as error:
            outcome = ["refused", type(error).__name__, *(numbers(error) or [])]
        self.trace.calls.append([self.step, outcome])
        return outcome[0] != "refused"

    def in_thread(self, number: int, call: Callable[[], Any]) -> Any:
        if number == 0:
            return call()
        if number not in self.callers:
            self.callers[number] = Caller()
        return self.callers[number](call)

    def start(
        self,
        step: Step,
        end: End,
        call: Callable[[Overlapped], Any],
        buffers: list[bytearray] | None = None,
    ) -> Started | None:
        """Start an overlapped call; it is indicated as the step's ``how`` says."""
        how = step.get("how", "packet")
        if how == "packet" and end.name.endswith("2"):
            how = "event"  # It has no port.
        event = Event() if how in ("event", "silent") else None
        overlapped = Overlapped(event=event)
        overlapped.suppress_packet = how == "silent"
        started = Started(
            len(self.trace.calls), end, how, step.get("thread", 0), overlapped, event, buffers or []
        )
        if how == "routine":
            overlapped.routine = partial(self._routine, started)
        overlapped.owner = started
        self.open[started.number] = started
        if not self.call(step, partial(call, overlapped)):
            del self.open[started.number]
            return None
        self.started.append(started)
        return started

    def _routine(self, started: Started, error: OSError | None, count: int, *_: Any) -> None:
        started.note("routine")
        self.open.pop(started.number, None)
        self.trace.signals.append(["routine", *self.trace.row(started, count, error)])

    def end_of(self, step: Step) -> End:
        return self.world.ends[step["sock"] % len(self.world.ends)]

    def payload(self, sizes: list[int]) -> list[bytes]:
        seed = len(self.trace.calls) * 37
        return [pattern(size, seed + index * 11) for index, size in enumerate(sizes)]

    def close_end(self, end: End, *, reset: bool) -> None:
        (end.sock.abort if reset else end.sock.close)()
        if not end.is_closed:
            end.is_closed, end.was_reset = True, reset

    def take(self, limit: int, timeout: float) -> None:
        """Take packets, and note them."""
        batch = self.world.port.get_many(limit, timeout)
        self.trace.calls.append([self.step, "took", len(batch)])
        for packet in batch:
            self._note(packet)

    # -- what follows a step --

    def rest(self) -> bool:
        self.world.marry()
        if not self.world.come_to_rest():
            self.trace.faults.append(f"step {self.step}: the world does not come to rest")
            return False
        self._collect_waiters()
        self._collect_signals()
        return True

    def _collect_waiters(self) -> None:
        waiting = self.world.port.statistics().waiting or 0
        while sum(waiter.is_waiting() for waiter in self.waiters) > waiting:
            waiting = self.world.port.statistics().waiting or 0
        # The newest waits first: what is there is handed to it.
        for waiter in reversed(list(self.waiters)):
            if not waiter.is_waiting():
                place = self.waiters.index(waiter)
                self.waiters.remove(waiter)
                self.trace.calls.append([self.step, "waiter", place])
                if waiter.packet is not None:
                    self._note(waiter.packet)

    def _collect_signals(self) -> None:
        for started in list(self.open.values()):
            event = started.event
            if event is None or "event" in started.indications or not event.wait(0):
                continue
            started.note("event")
            overlapped = started.overlapped
            del self.open[started.number]
            if started.how == "silent" or started.end.name.endswith("2"):
                row = self.trace.row(started, overlapped.transferred, overlapped.error)
                self.trace.signals.append([self.step, "event", *row])
            else:
                self.trace.signals.append([self.step, "event", started.number])
            event.close()

    def _note(self, packet: CompletionPacket) -> None:
        overlapped = packet.overlapped
        if not isinstance(overlapped, Overlapped):
            self.trace.note_packet(packet, None)
            return
        started: Started = overlapped.owner
        self.trace.note_packet(packet, started)
        if started.how == "packet":
            del self.open[started.number]
        if overlapped.accepted is not None:
            name = f"s{len(self.world.ends)}"
            self.world.add(name, overlapped.accepted)
            self.world.marry()

    # -- the end --

    def finish(self) -> None:
        # The listener last: what it has not accepted is reset when it goes.
        for end in (*self.world.ends, self.world.listener):
            self.step += 1
            self.close_end(end, reset=True)
            if not self.rest():
                return
        for number in (0, *self.callers):
            self.in_thread(number, lambda: sleep_ex(0))
        self.take(10_000, 0)
        while self.waiters:
            self.world.port.post("end")
            self.rest()
        self._count()

    def _count(self) -> None:
        for started in self.started:
            if started.how != "lost" and started.indications != started.wanted():
                self.trace.faults.append(
                    f"operation {started.number} was indicated {started.indications}"
                )
            if started.overlapped.is_in_flight:
                self.trace.faults.append(f"operation {started.number} is still in flight")
        counts = self.world.port.statistics()
        self.trace.counters = {
            name: getattr(counts, name) for name in ("queued", "delivered", "posted", "completed")
        }
