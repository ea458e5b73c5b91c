"""Run programs on the engine of this process: one line of JSON in, one line of JSON out.

A program is a list of steps, each an object with the name of what it does under ``do``. A step that
has no meaning where it comes (an index that is out of range is taken modulo) makes no call. What
each step means is the method of its name; `programs` writes programs, and the tests compare.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from proactor import (
    CompletionPacket,
    Event,
    OperationKind,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    WouldBlock,
    sleep_ex,
)
from tests.differential.notes import Started, Trace, numbers
from tests.differential.workers import Caller, Waiter
from tests.differential.world import LIMIT, End, World
from tests.support.sockets import pattern

FLOOD = 1_300_000  # Also more than an engine moves in one turn.
Step = dict[str, Any]

_PATIENCE = 30.0


class Interpreter:
    """One run of one program."""

    def __init__(self, file: BinaryIO) -> None:
        """Open a world; `file` is what is transmitted."""
        self.trace = Trace()
        self.world = World()
        self._file = file
        self._started: list[Started] = []
        self._open: dict[int, Started] = {}
        self._callers: dict[int, Caller] = {}
        self._waiters: list[Waiter] = []
        self._accepts: list[Started] = []
        self._step = 0

    def run(self, program: list[Step]) -> Trace:
        """Run the steps, close what is left, and return the trace."""
        try:
            for self._step, step in enumerate(program):
                getattr(self, "do_" + step["do"])(step)
                if not self._rest():
                    return self.trace
            self._finish()
        finally:
            self.world.close()
            for caller in self._callers.values():
                caller.end()
        return self.trace

    # -- calls --

    def _call(self, step: Step, call: Callable[[], Any], *, tells: bool = False) -> bool:
        """Make a call in the step's thread and note its outcome; say whether it was accepted.

        With `tells` its value belongs to the trace, else it only says done or pending.
        """
        outcome: Any = "taken"
        try:
            value = self._in_thread(step.get("thread", 0), call)
            outcome = ["value", value] if tells else "taken"
        except ProactorError as error:
            outcome = ["refused", type(error).__name__, *(numbers(error) or [])]
        self.trace.calls.append([self._step, outcome])
        return outcome[0] != "refused"

    def _in_thread(self, number: int, call: Callable[[], Any]) -> Any:
        if number == 0:
            return call()
        if number not in self._callers:
            self._callers[number] = Caller()
        return self._callers[number](call)

    def _start(
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
        self._open[started.number] = started
        if not self._call(step, partial(call, overlapped)):
            del self._open[started.number]
            return None
        self._started.append(started)
        return started

    def _routine(self, started: Started, error: OSError | None, count: int, *_: Any) -> None:
        started.note("routine")
        self._open.pop(started.number, None)
        self.trace.signals.append(["routine", *self.trace.row(started, count, error)])

    def _end(self, step: Step) -> End:
        return self.world.ends[step["sock"] % len(self.world.ends)]

    def _payload(self, sizes: list[int]) -> list[bytes]:
        seed = len(self.trace.calls) * 37
        return [pattern(size, seed + index * 11) for index, size in enumerate(sizes)]

    # -- the steps --

    def do_post(self, step: Step) -> None:
        """Post a packet of the program's own."""
        key, count = step["key"], step["count"]
        self._call(step, lambda: self.world.port.post(key, None, count))

    def do_recv(self, step: Step) -> None:
        """Receive into buffers of ``sizes`` bytes; 0 is a zero-byte receive."""
        end, buffers = self._end(step), [bytearray(size) for size in step["sizes"]]
        into: Any = buffers[0] if len(buffers) == 1 else buffers
        self._start(step, end, lambda overlapped: end.sock.recv(into, overlapped), buffers)

    def do_send(self, step: Step) -> None:
        """Send, gathered from buffers of ``sizes`` bytes."""
        end, parts = self._end(step), self._payload(step["sizes"])
        what: Any = parts[0] if len(parts) == 1 else parts
        if self._start(step, end, lambda overlapped: end.sock.send(what, overlapped)):
            self._note_sent(end, sum(step["sizes"]))

    def do_flood(self, step: Step) -> None:
        """Send more than fits into the kernel, from the program's own thread."""
        end, (what,) = self._end(step), self._payload([FLOOD])
        step = {**step, "thread": 0}
        started = self._start(step, end, lambda overlapped: end.sock.send(what, overlapped))
        if started:
            self._note_sent(end, FLOOD)
            end.is_flooded = end.peer is None or not end.peer.is_closed  # None: not accepted yet.

    def do_transmit(self, step: Step) -> None:
        """Send a part of a file, between two buffers."""
        before, offset, count, after = step["parts"]
        end, (head, tail) = self._end(step), self._payload([before, after])

        def transmit(overlapped: Overlapped) -> Any:
            return end.sock.transmit_file(
                self._file, overlapped, offset=offset, count=count, head=head, tail=tail
            )

        if self._start(step, end, transmit):
            self._note_sent(end, 1)

    def _note_sent(self, end: End, size: int) -> None:
        if size and end.peer is not None and end.peer.is_closed and not end.fin_is_due:
            end.sent_to_nobody = True

    def do_try_recv(self, step: Step) -> None:
        """Receive synchronously, without waiting."""
        end, buffer = self._end(step), bytearray(step["size"])

        def receive() -> Any:
            count = end.sock.recv(buffer)
            return "free" if end.peer and end.peer.is_undefined else [count, buffer[:count].hex()]

        self._call(step, receive, tells=True)

    def do_try_send(self, step: Step) -> None:
        """Send synchronously, without waiting; what does not fit is sent later."""
        end, (part,) = self._end(step), self._payload([step["size"]])
        if self._call(step, lambda: end.sock.send(part), tells=True):
            self._note_sent(end, step["size"])

    def do_drain(self, step: Step) -> None:
        """Receive all that a flood has for this end, until nothing comes."""
        end = self._end(step)
        peer = end.peer
        if peer is None or not peer.is_flooded or end.is_closed:
            return
        total, check = 0, 0
        scrap = bytearray(65536)
        outcome: Any = "emptied"
        try:
            while True:
                count = self._receive_patiently(end, scrap)
                if count is None or count == 0:
                    outcome = "end" if count == 0 else "emptied"
                    break
                total, check = total + count, (check * 31 + sum(scrap[:count])) % 1_000_003
        except ProactorError as error:
            outcome = numbers(error)
        if outcome in ("emptied", "end"):
            peer.is_flooded = False
        fixed = [] if peer.is_undefined else [total]
        self.trace.calls.append([self._step, "drained", outcome, *fixed])

    def _receive_patiently(self, end: End, scrap: bytearray) -> int | None:
        """Receive what is there or on its way; None once the sender has nothing more."""
        deadline, calm = time.monotonic() + LIMIT, 0
        while calm < 3:
            try:
                return end.sock.recv(scrap)
            except WouldBlock:
                self.world.glance()
            calm = calm + 1 if end.has_all() else 0
            if time.monotonic() > deadline:
                self.trace.faults.append(f"step {self._step}: a flood dries up")
                return None
            time.sleep(0)
        return None

    def do_cancel(self, step: Step) -> None:
        """Cancel one operation, of any socket, or all of a socket."""
        end = self._end(step)
        which: Overlapped | None = None
        if step["op"] is not None:
            if not self._started:
                return
            which = self._started[step["op"] % len(self._started)].overlapped
        self._note_given_up(end, which)
        self._call(step, lambda: end.sock.cancel(which), tells=True)
        self._close_undefined(end)

    def do_cancel_own(self, step: Step) -> None:
        """Cancel what the step's thread has issued on a socket."""
        end = self._end(step)
        self._note_given_up(end, None)
        self._call(step, end.sock.cancel_own, tells=True)
        self._close_undefined(end)

    def do_cancel_accepts(self, step: Step) -> None:
        """Cancel all accepts."""
        self._accepts.clear()
        self._call(step, lambda: self.world.listener.sock.cancel(), tells=True)

    def _note_given_up(self, end: End, which: Overlapped | None) -> None:
        if end.is_flooded and (which is None or which.kind is not OperationKind.RECV):
            end.is_undefined = True

    def _close_undefined(self, end: End) -> None:
        # A stream whose send was cancelled is in an undefined state: it is closed.
        if end.is_undefined and not end.is_closed:
            self._close(end, reset=True)

    def do_close(self, step: Step) -> None:
        """Close a socket, gracefully or with a reset."""
        end = self._end(step)
        if end.is_flooded:
            end.is_undefined = True
        self._close(end, reset=step["reset"])

    def _close(self, end: End, *, reset: bool) -> None:
        (end.sock.abort if reset else end.sock.close)()
        if not end.is_closed:
            end.is_closed, end.was_reset = True, reset

    def do_shutdown(self, step: Step) -> None:
        """Shut a direction down."""
        end, how = self._end(step), step["how"]
        if self._call(step, lambda: end.sock.shutdown(how)) and how != 0:
            end.fin_is_due = True

    def do_disconnect(self, step: Step) -> None:
        """End a connection, perhaps to use the socket again."""
        end = self._end(step)
        if self._start(
            step, end, lambda overlapped: end.sock.disconnect(overlapped, reuse=step["reuse"])
        ):
            end.fin_is_due = True

    def do_accept(self, step: Step) -> None:
        """Accept, perhaps with first data, perhaps into a socket that is prepared."""
        listener = self.world.listener
        first = [bytearray(step["first"])] if step["first"] else []
        acceptor = OverlappedSocket() if step["acceptor"] else None

        def accept(overlapped: Overlapped) -> Any:
            return listener.sock.accept(overlapped, acceptor, first[0] if first else None)

        started = self._start({**step, "how": "packet"}, listener, accept, first)
        if started is None and acceptor is not None:
            acceptor.close()
        if started is None:
            return
        if self.world.unaccepted:
            self.world.unaccepted -= 1
        else:
            self._accepts.append(started)

    def do_dial(self, step: Step) -> None:
        """Connect a new socket to the listener, or to an address where nobody listens."""
        if self._waiters:
            return  # Which of the two packets they get is free.
        sock = OverlappedSocket()
        sock.bind(("127.0.0.1", 0))
        end = self.world.add(f"c{len(self.world.ends)}", sock)
        self._connect(step, end, self.world.address if step["heard"] else ("127.0.0.1", 1))

    def do_redial(self, step: Step) -> None:
        """Connect a socket that is there already."""
        if not self._waiters:
            self._connect(step, self._end(step), self.world.address)

    def _connect(self, step: Step, end: End, address: tuple[str, int]) -> None:
        (what,) = self._payload([step["size"]])
        began = self._start(
            {**step, "how": "packet"},
            end,
            lambda overlapped: end.sock.connect(address, overlapped, what),
        )
        if not began or address != self.world.address:
            return
        if end.peer is not None:
            end.peer.peer = None
        end.peer, end.fin_is_due, end.is_flooded = None, False, False
        if self._accepts:
            self._accepts.pop(0)
        else:
            self.world.unaccepted += 1
        # The accept's packet may come before the connect's, or behind it: both are taken.
        self._rest()
        self.do_take({"limit": 10_000, "timeout": 0})

    def do_take(self, step: Step) -> None:
        """Take packets that are queued; wait a moment if the step says so."""
        batch = self.world.port.get_many(step["limit"], step["timeout"])
        self.trace.calls.append([self._step, "took", len(batch)])
        for packet in batch:
            self._note(packet)

    def do_wait(self, step: Step) -> None:
        """Let a new thread wait at the port."""
        if len(self._waiters) < 3:
            self._waiters.append(Waiter(self.world.port))

    def do_alertable(self, step: Step) -> None:
        """Let a thread run its completion routines."""
        if step["thread"] == 0 or step["thread"] in self._callers:
            self._in_thread(step["thread"], lambda: sleep_ex(0))

    def do_end_thread(self, step: Step) -> None:
        """End a thread; what it has issued and no port serves is cancelled."""
        caller = self._callers.pop(step["thread"], None)
        if caller is None:
            return
        caller.end()
        for started in list(self._open.values()):
            if started.thread != step["thread"]:
                continue
            started.thread = -1
            if started.how == "routine":
                del self._open[started.number]  # It is lost with its thread, as on Windows.
                started.how = "lost"

    # -- what follows a step --

    def _rest(self) -> bool:
        self.world.marry()
        if not self.world.come_to_rest():
            self.trace.faults.append(f"step {self._step}: the world does not come to rest")
            return False
        self._collect_waiters()
        self._collect_signals()
        return True

    def _collect_waiters(self) -> None:
        waiting = self.world.port.statistics().waiting or 0
        while sum(waiter.is_waiting() for waiter in self._waiters) > waiting:
            waiting = self.world.port.statistics().waiting or 0
        # The newest waits first: what is there is handed to it.
        for waiter in reversed(list(self._waiters)):
            if not waiter.is_waiting():
                place = self._waiters.index(waiter)
                self._waiters.remove(waiter)
                self.trace.calls.append([self._step, "waiter", place])
                if waiter.packet is not None:
                    self._note(waiter.packet)

    def _collect_signals(self) -> None:
        for started in list(self._open.values()):
            event = started.event
            if event is None or "event" in started.indications or not event.wait(0):
                continue
            started.note("event")
            overlapped = started.overlapped
            del self._open[started.number]
            if started.how == "silent" or started.end.name.endswith("2"):
                row = self.trace.row(started, overlapped.transferred, overlapped.error)
                self.trace.signals.append([self._step, "event", *row])
            else:
                self.trace.signals.append([self._step, "event", started.number])
            event.close()

    def _note(self, packet: CompletionPacket) -> None:
        overlapped = packet.overlapped
        if not isinstance(overlapped, Overlapped):
            self.trace.note_packet(packet, None)
            return
        started: Started = overlapped.owner
        self.trace.note_packet(packet, started)
        if started.how == "packet":
            del self._open[started.number]
        if overlapped.accepted is not None:
            name = f"s{len(self.world.ends)}"
            self.world.add(name, overlapped.accepted)
            self.world.marry()

    # -- the end --

    def _finish(self) -> None:
        # The listener last: what it has not accepted is reset when it goes.
        for end in (*self.world.ends, self.world.listener):
            self._step += 1
            self._close(end, reset=True)
            if not self._rest():
                return
        for number in (0, *self._callers):
            self._in_thread(number, lambda: sleep_ex(0))
        self.do_take({"limit": 10_000, "timeout": 0})
        while self._waiters:
            self.world.port.post("end")
            self._rest()
        self._count()

    def _count(self) -> None:
        for started in self._started:
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


def main() -> None:
    """Serve programs until the end of the input."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(i % 251 for i in range(5000)))
        file.flush()
        for line in sys.stdin:
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)  # It says where it hangs.
            trace = Interpreter(file).run(json.loads(line))
            print(json.dumps(vars(trace)), flush=True)
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
