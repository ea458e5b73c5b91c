"""The crew: the threads that serve a port and its timers.

Each worker loops: wait at the port until something comes or the next timer is due, handle what
came, run what is due. One worker at a time, the *keeper*, waits exactly until the next timer; the
others wait a little longer, and so sleep on unless the keeper is held up in a handler.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from proactor.errors import PortClosed
from proactor.packets import CompletionPacket
from proactor.port import CompletionPort
from proactor.server.hosting import logger
from proactor.timers import TimerQueue

SLACK = 0.02
"""Seconds by which a timer may be late when the keeper is held up."""

_BATCH = 64

_LEAVE = object()
"""The key of a packet that ends one worker."""

_LOOK = object()
"""The key of a packet that only ends a wait."""

_crew_of_thread = threading.local()


class Crew:
    """`count` threads that serve `port`. A packet's key is called with the packet.

    Args:
        port: The port to serve.
        count: How many threads.
        name: They are called ``name-1`` and so on.

    Attributes:
        timers: Timers that the workers run.
    """

    def __init__(self, port: CompletionPort, count: int, name: str = "worker") -> None:
        """Prepare; `launch` starts the threads."""
        self.port = port
        self.timers = TimerQueue(self._look_again)
        # What workers took and nobody has handled: all of them share it, see `_go_on`.
        self._taken: deque[CompletionPacket] = deque()
        self._go_on_is_posted = False
        self._keeping = threading.Lock()
        self._kept = float("inf")  # The deadline that the keeper waits for.
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(1, count + 1)
        ]

    def launch(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask every worker to end, behind what is queued."""
        for _ in self._threads:
            self.port.post(_LEAVE)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for all of them to end; say whether they have."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_mine(self) -> bool:
        """True in a worker of this crew."""
        return getattr(_crew_of_thread, "crew", None) is self

    def post(self, call: Callable[[], object]) -> None:
        """Let a worker call `call()`."""
        self.port.post(lambda packet: call())

    def _look_again(self) -> None:
        """A timer is due before what the keeper waits for: let some worker look at the time."""
        try:
            self.port.post(_LOOK)
        except PortClosed:
            return  # Nobody will run it any more.

    def _work(self) -> None:
        _crew_of_thread.crew = self
        serve, timers, taken = self.port.serve, self.timers, self._taken
        while True:
            timeout, mine = self._wait_time()
            try:
                batch = serve(_BATCH, timeout)
            except PortClosed:
                return
            if mine is not None:
                self._let_keep(mine)
            must_look = False
            for packet in batch:
                if packet.key is _LOOK:
                    must_look, self._go_on_is_posted = True, False
                else:
                    taken.append(packet)
            if len(taken) > 1 or (taken and must_look):
                self._go_on()
            if taken and self._handle_taken():
                return
            if timeout is not None:
                timers.run_due()

    def _go_on(self) -> None:
        """Let another worker look at what is taken, and at the time.

        This one is about to call a handler, and may not come back. The packet is queued behind the
        others, and the port's own rule for stalled threads brings somebody who takes it.
        """
        if not self._go_on_is_posted:
            self._go_on_is_posted = True
            self._look_again()

    def _handle_taken(self) -> bool:
        """Call the keys of packets until none is left; True if this worker is to leave."""
        while True:
            try:
                packet = self._taken.popleft()
            except IndexError:
                return False
            if packet.key is _LEAVE:
                if self._taken:
                    self._look_again()
                return True
            try:
                packet.key(packet)
            except Exception:
                logger.exception("%r raised", packet)

    def _wait_time(self) -> tuple[float | None, float | None]:
        """Return how long to wait, and for which deadline if this worker is to be the keeper."""
        left = self.timers.next_timeout()
        if left is None:
            return None, None
        deadline = time.monotonic() + left
        with self._keeping:
            if deadline < self._kept - 0.0005:
                self._kept = deadline
                return left, deadline
        return left + SLACK, None

    def _let_keep(self, deadline: float) -> None:
        with self._keeping:
            if self._kept == deadline:
                self._kept = float("inf")
