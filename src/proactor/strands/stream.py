"""A stream in plain Python, over overlapped sockets: for every engine that brings none of its own.

This module owns the turn: idle, queued, running, and back. The connection and its ends are below.
Rule: a turn begins only from *queued*, which the lock guards, so that no two run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proactor.engines.stream_contract import StreamStatistics
from proactor.strands.connection import ENDED, IDLE, QUEUED, RUNNING
from proactor.strands.desk import here
from proactor.strands.ending import EndingStream


class ReferenceStream(EndingStream):
    """See `EngineStream`. Made by `CompletionPort.open_stream`."""

    __slots__ = ()

    # -- what a user sees of it --

    @property
    def queued_bytes(self) -> int:
        """See `EngineStream`."""
        return self._queue.bytes

    @property
    def queued_packets(self) -> int:
        """See `EngineStream`."""
        return self._queue.packets

    @property
    def is_closing(self) -> bool:
        """See `EngineStream`."""
        return self._refusing

    def statistics(self) -> StreamStatistics:
        """See `EngineStream.statistics`."""
        with self._lock:
            queue = self._queue
            received, frames, sent, packets = self._totals
            return StreamStatistics(
                received, frames, sent, packets, queue.dropped, queue.replaced, queue.refused
            )

    # -- turns --

    def post(self, call: Callable[[], object]) -> bool:
        """See `EngineStream.post`."""
        with self._lock:
            if self._state == ENDED:
                return False
            self._calls.append(call)
            due = self._claim_turn()
        if due:
            self.desk.post_turn(self)
        return True

    def run_turn(self) -> None:
        """See `Strand.run_turn`."""
        if not self._begin_turn():
            return
        taken = 0
        try:
            if self._calls or self._queue.news:
                self._run_calls()
            taken = self._deliver()
        finally:
            self._end_turn(taken)

    def _begin_turn(self) -> bool:
        with self._lock:
            if self._state != QUEUED:
                return False
            self._state = RUNNING
            return True

    def _run_calls(self) -> None:
        with self._lock:
            news = self._queue.take_news()
        if news and not self._dropping:
            self._guarded(self.sink.told, news)
        for _ in range(len(self._calls)):
            try:
                call = self._calls.popleft()
            except IndexError:  # The port was closed meanwhile.
                return
            self._guarded(call)

    def _deliver(self) -> int:
        """Give the sink the frames of one turn; return how many they were."""
        inbox = self._inbox
        received = self.sink.received
        for taken in range(self._frames_a_turn):
            if self._stopped:
                return taken
            try:
                item = inbox.popleft()
            except IndexError:  # Empty, be it that another thread has closed the stream just now.
                return taken
            try:
                received(item)
            except BaseException as error:
                self._failed(error)
        return self._frames_a_turn

    def _end_turn(self, taken: int) -> None:
        if self._winding_up and self._wind_up():
            return
        with self._lock:
            if self._state == ENDED:
                return  # The port was closed meanwhile.
            self._settle(taken)
            wanted = self._claim_receive()
            due = self._has_work()
            self._state = QUEUED if due else IDLE
        if wanted:
            self._receive()
        if due:
            self.desk.post_turn(self)

    def begin_given_turn(self) -> bool:
        """See `Strand.begin_given_turn`."""
        if not self._begin_turn():
            return False
        has_frames = False
        try:
            if self._calls or self._queue.news:
                self._run_calls()
            has_frames = bool(self._inbox) and not self._stopped
        finally:
            if not has_frames:
                self._end_turn(0)
        return has_frames

    def end_given_turn(self) -> None:
        """See `Strand.end_given_turn`."""
        self._end_turn(0)

    def take(self) -> list[Any]:
        """See `EngineStream.take`."""
        if not here.turns or self not in here.turns:
            raise RuntimeError(
                f"take() on stream {self.id}: this thread holds no turn of it; take frames "
                "between get_many and the next call of the port"
            )
        items: list[Any] = []
        with self._lock:
            while self._inbox and not self._stopped and len(items) < self._frames_a_turn:
                items.append(self._inbox.popleft())
            self._settle(len(items))
        return items

    def end_turn(self) -> None:
        """See `EngineStream.end_turn`."""
        self.desk.end_given_turn(self)

    def __repr__(self) -> str:
        """Return the number, the peer and the state, for logs."""
        state = "ended" if self._state == ENDED else "closing" if self._refusing else "open"
        return f"<Stream {self.id} {self.peer} {state}>"
