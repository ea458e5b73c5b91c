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
from typing import Any

from proactor import (
    OperationKind,
    Overlapped,
    OverlappedSocket,
    ProactorError,
    WouldBlock,
    sleep_ex,
)
from tests.differential.notes import Trace, numbers
from tests.differential.play import Play, Step
from tests.differential.workers import Waiter
from tests.differential.world import LIMIT, End

FILE_SIZE = 5000
FLOOD = 1_300_000  # Also more than an engine moves in one turn.

_PATIENCE = 30.0


class Interpreter(Play):
    """One run of one program: its steps."""

    def run(self, program: list[Step]) -> Trace:
        """Run the steps, close what is left, and return the trace."""
        try:
            for self.step, step in enumerate(program):
                getattr(self, "do_" + step["do"])(step)
                if not self.rest():
                    return self.trace
            self.finish()
        finally:
            self.world.close()
            for caller in self.callers.values():
                caller.end()
        return self.trace

    # -- the steps --

    def do_post(self, step: Step) -> None:
        """Post a packet of the program's own."""
        key, count = step["key"], step["count"]
        self.call(step, lambda: self.world.port.post(key, None, count))

    def do_recv(self, step: Step) -> None:
        """Receive into buffers of ``sizes`` bytes; 0 is a zero-byte receive."""
        end, buffers = self.end_of(step), [bytearray(size) for size in step["sizes"]]
        into: Any = buffers[0] if len(buffers) == 1 else buffers
        self.start(step, end, lambda overlapped: end.sock.recv(into, overlapped), buffers)

    def do_send(self, step: Step) -> None:
        """Send, gathered from buffers of ``sizes`` bytes."""
        end, parts = self.end_of(step), self.payload(step["sizes"])
        what: Any = parts[0] if len(parts) == 1 else parts
        if self.start(step, end, lambda overlapped: end.sock.send(what, overlapped)):
            self._note_sent(end, sum(step["sizes"]))

    def do_flood(self, step: Step) -> None:
        """Send more than fits into the kernel, from the program's own thread."""
        end, (what,) = self.end_of(step), self.payload([FLOOD])
        step = {**step, "thread": 0}
        started = self.start(step, end, lambda overlapped: end.sock.send(what, overlapped))
        if started:
            self._note_sent(end, FLOOD)
            end.is_flooded = end.peer is None or not end.peer.is_closed  # None: not accepted yet.

    def do_transmit(self, step: Step) -> None:
        """Send a part of a file, between two buffers."""
        before, offset, count, after = step["parts"]
        end, (head, tail) = self.end_of(step), self.payload([before, after])

        def transmit(overlapped: Overlapped) -> Any:
            return end.sock.transmit_file(
                self.file, overlapped, offset=offset, count=count, head=head, tail=tail
            )

        if self.start(step, end, transmit):
            there = max(0, FILE_SIZE - offset)  # Behind the end of the file there is nothing.
            self._note_sent(end, before + min(count or there, there) + after)

    def _note_sent(self, end: End, size: int) -> None:
        if size and end.peer is not None and end.peer.is_closed and not end.fin_is_due:
            end.sent_to_nobody = True

    def do_try_recv(self, step: Step) -> None:
        """Receive synchronously, without waiting."""
        end, buffer = self.end_of(step), bytearray(step["size"])

        def receive() -> Any:
            count = end.sock.recv(buffer)
            return "free" if end.peer and end.peer.is_undefined else [count, buffer[:count].hex()]

        self.call(step, receive, tells=True)

    def do_try_send(self, step: Step) -> None:
        """Send synchronously, without waiting; what does not fit is sent later."""
        end, (part,) = self.end_of(step), self.payload([step["size"]])
        if self.call(step, lambda: end.sock.send(part), tells=True):
            self._note_sent(end, step["size"])

    def do_drain(self, step: Step) -> None:
        """Receive all that a flood has for this end, until nothing comes."""
        end = self.end_of(step)
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
        self.trace.calls.append([self.step, "drained", outcome, *fixed])

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
                self.trace.faults.append(f"step {self.step}: a flood dries up")
                return None
            time.sleep(0)
        return None

    def do_cancel(self, step: Step) -> None:
        """Cancel one operation, of any socket, or all of a socket."""
        end = self.end_of(step)
        which: Overlapped | None = None
        if step["op"] is not None:
            if not self.started:
                return
            which = self.started[step["op"] % len(self.started)].overlapped
        self._note_given_up(end, which)
        self.call(step, lambda: end.sock.cancel(which), tells=True)
        self._close_undefined(end)

    def do_cancel_own(self, step: Step) -> None:
        """Cancel what the step's thread has issued on a socket."""
        end = self.end_of(step)
        self._note_given_up(end, None)
        self.call(step, end.sock.cancel_own, tells=True)
        self._close_undefined(end)

    def do_cancel_accepts(self, step: Step) -> None:
        """Cancel all accepts."""
        self.accepts.clear()
        self.call(step, lambda: self.world.listener.sock.cancel(), tells=True)

    def _note_given_up(self, end: End, which: Overlapped | None) -> None:
        if end.is_flooded and (which is None or which.kind is not OperationKind.RECV):
            end.is_undefined = True

    def _close_undefined(self, end: End) -> None:
        # A stream whose send was cancelled is in an undefined state: it is closed.
        if end.is_undefined and not end.is_closed:
            self.close_end(end, reset=True)

    def do_close(self, step: Step) -> None:
        """Close a socket, gracefully or with a reset."""
        end = self.end_of(step)
        if end.is_flooded:
            end.is_undefined = True
        self.close_end(end, reset=step["reset"])

    def do_shutdown(self, step: Step) -> None:
        """Shut a direction down."""
        end, how = self.end_of(step), step["how"]
        if self.call(step, lambda: end.sock.shutdown(how)) and how != 0:
            end.fin_is_due = True

    def do_disconnect(self, step: Step) -> None:
        """End a connection, perhaps to use the socket again."""
        end = self.end_of(step)
        if self.start(
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

        started = self.start({**step, "how": "packet"}, listener, accept, first)
        if started is None and acceptor is not None:
            acceptor.close()
        # A caller that has been reset meanwhile is taken out of the backlog by the refusal.
        if started is None and "ConnectionReset" not in self.trace.calls[-1][1]:
            return
        if self.world.unaccepted:
            self.world.unaccepted -= 1
        elif started is not None:
            self.accepts.append(started)

    def do_dial(self, step: Step) -> None:
        """Connect a new socket to the listener, or to an address where nobody listens."""
        if self.waiters:
            return  # Which of the two packets they get is free.
        sock = OverlappedSocket()
        sock.bind(("127.0.0.1", 0))
        end = self.world.add(f"c{len(self.world.ends)}", sock)
        self._connect(step, end, self.world.address if step["heard"] else ("127.0.0.1", 1))

    def do_redial(self, step: Step) -> None:
        """Connect a socket that is there already."""
        if not self.waiters:
            self._connect(step, self.end_of(step), self.world.address)

    def _connect(self, step: Step, end: End, address: tuple[str, int]) -> None:
        (what,) = self.payload([step["size"]])
        began = self.start(
            {**step, "how": "packet"},
            end,
            lambda overlapped: end.sock.connect(address, overlapped, what),
        )
        if not began or address != self.world.address:
            return
        if end.peer is not None:
            end.peer.peer = None
        end.peer, end.fin_is_due, end.is_flooded, end.calls = None, False, False, True
        if self.accepts:
            self.accepts.pop(0)
        else:
            self.world.unaccepted += 1
        # The accept's packet may come before the connect's, or behind it: both are taken.
        self.rest()
        self.take(10_000, 0)

    def do_take(self, step: Step) -> None:
        """Take packets that are queued; wait a moment if the step says so."""
        self.take(step["limit"], step["timeout"])

    def do_wait(self, step: Step) -> None:
        """Let a new thread wait at the port."""
        if len(self.waiters) < 3:
            self.waiters.append(Waiter(self.world.port))

    def do_alertable(self, step: Step) -> None:
        """Let a thread run its completion routines."""
        if step["thread"] == 0 or step["thread"] in self.callers:
            self.in_thread(step["thread"], lambda: sleep_ex(0))

    def do_end_thread(self, step: Step) -> None:
        """End a thread; what it has issued and no port serves is cancelled."""
        caller = self.callers.pop(step["thread"], None)
        if caller is None:
            return
        caller.end()
        for started in list(self.open.values()):
            if started.thread != step["thread"]:
                continue
            started.thread = -1
            if started.how == "routine":
                del self.open[started.number]  # It is lost with its thread, as on Windows.
                started.how = "lost"


def main() -> None:
    """Serve programs until the end of the input."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(i % 251 for i in range(FILE_SIZE)))
        file.flush()
        for line in sys.stdin:
            faulthandler.dump_traceback_later(_PATIENCE, exit=True)  # It says where it hangs.
            trace = Interpreter(file).run(json.loads(line))
            print(json.dumps(vars(trace)), flush=True)
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
