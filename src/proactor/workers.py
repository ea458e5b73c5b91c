"""Workers: named threads that loop on a port (the article's thread manager: launch, join).

The pool owns its threads and stops them by posted packets, never by closing the port: what is
queued before the stop is served first. A handler that raises is logged, and its worker lives on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from proactor import errors
from proactor.clock import deadline_after, seconds_left
from proactor.packets import CompletionPacket
from proactor.port import CompletionPort

logger = logging.getLogger("proactor")

_STOP = object()


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker is doing.

    Attributes:
        name: The thread's name.
        state: ``new`` (not launched), ``waiting``, ``running`` or ``ended``.
        served: Packets that it has handled, also those whose handler raised.
        failed: Packets whose handler raised.
        packet: What it is handling, as text; None while it waits.
        busy: Seconds since it began with `packet`; 0.0 while it waits.
    """

    name: str
    state: str
    served: int
    failed: int
    packet: str | None
    busy: float


class _Worker:
    """One thread and its counters, written by that thread alone."""

    def __init__(self, name: str, target: Callable[[_Worker], None]) -> None:
        self.served = 0
        self.failed = 0
        self.packet: CompletionPacket | None = None
        self.since = 0.0
        self.thread = threading.Thread(target=target, args=(self,), name=name, daemon=True)

    @property
    def is_launched(self) -> bool:
        return self.thread.ident is not None

    def report(self) -> WorkerReport:
        packet = self.packet
        if self.thread.is_alive():
            state = "waiting" if packet is None else "running"
        else:
            state = "ended" if self.is_launched else "new"
        return WorkerReport(
            name=self.thread.name,
            state=state,
            served=self.served,
            failed=self.failed,
            packet=None if packet is None else repr(packet),
            busy=0.0 if packet is None else time.monotonic() - self.since,
        )


class WorkerPool:
    """`count` threads that take packets from `port` and call ``handler(packet)``.

    Args:
        port: The port to loop on; the pool does not close it. One pool a port: a worker of another
            pool would take this one's stop packets for the handler's.
        handler: Called with each packet in one of the threads. What it raises is logged.
        count: How many threads (5, as in the article).
        name: The threads are called ``name-1`` and so on.
        batch: The most packets that a worker takes at once. 1 spreads packets over the workers;
            more costs less for each.

    A `with` block launches the threads at its start, and stops and joins them at its end.
    """

    def __init__(
        self,
        port: CompletionPort,
        handler: Callable[[CompletionPacket], object],
        count: int = 5,
        *,
        name: str = "worker",
        batch: int = 1,
    ) -> None:
        """Prepare the threads; `launch` starts them."""
        if count < 1:
            raise ValueError(f"a pool has 1 worker or more, not {count}")
        if batch < 1:
            raise ValueError(f"a worker takes 1 packet or more at once, not {batch}")
        self.port = port
        self.handler = handler
        self.batch = batch
        self._lock = threading.Lock()
        self._stopping = False
        self._workers = [_Worker(f"{name}-{i + 1}", self._loop) for i in range(count)]

    def launch(self) -> None:
        """Start every thread. Once only.

        Raises:
            RuntimeError: The pool was launched or stopped before, or the system has no thread
                left; the threads that were started are then stopped again.
        """
        with self._lock:
            if self._stopping or any(worker.is_launched for worker in self._workers):
                raise RuntimeError("a pool is launched once: make another one")
        try:
            for worker in self._workers:
                worker.thread.start()
        except RuntimeError:
            self.stop()
            raise

    def stop(self) -> None:
        """Post one packet for each worker that ends it; what is queued before is served first.

        Does not wait. Stopping twice does nothing, nor does stopping when the port is closed:
        that has ended the workers already.
        """
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        # A packet that nobody takes would come to whoever uses the port next.
        alive = [worker for worker in self._workers if worker.thread.is_alive()]
        try:
            self._post_stops(len(alive))
        except errors.PortClosed:
            logger.debug("the port of %s is closed: nothing to stop", self._workers[0].thread.name)

    def join(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds for every thread to end; say whether all have."""
        deadline = deadline_after(timeout)
        for worker in self._workers:
            if worker.is_launched:
                worker.thread.join(seconds_left(deadline))
        return not any(worker.thread.is_alive() for worker in self._workers)

    def report(self) -> list[WorkerReport]:
        """Say what each worker is doing."""
        return [worker.report() for worker in self._workers]

    def _loop(self, worker: _Worker) -> None:
        try:
            while self._serve_batch(worker):
                pass
        except errors.PortClosed:
            logger.debug("%s ends: its port was closed", worker.thread.name)

    def _serve_batch(self, worker: _Worker) -> bool:
        stops = 0
        for packet in self.port.get_many(self.batch):
            if packet.overlapped is _STOP and packet.key is self:
                stops += 1
            else:
                # Also what came after a stop: it is taken, and only here it is whole. Posted
                # again it would lose its error and its place.
                self._serve(worker, packet)
        # One stop ends this worker, those beyond it belong to the others.
        self._post_stops(stops - 1)
        return stops == 0

    def _post_stops(self, count: int) -> None:
        for _ in range(count):
            self.port.post(key=self, overlapped=_STOP)

    def _serve(self, worker: _Worker, packet: CompletionPacket) -> None:
        worker.since = time.monotonic()
        worker.packet = packet
        try:
            self.handler(packet)
        except BaseException:
            # Also SystemExit: it would end this one thread in silence, with the rest of its batch.
            worker.failed += 1
            logger.exception("%s: the handler raised for %r", worker.thread.name, packet)
        finally:
            worker.served += 1
            worker.packet = None

    def __enter__(self) -> WorkerPool:
        """Launch the threads."""
        self.launch()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop and join the threads."""
        self.stop()
        self.join()
