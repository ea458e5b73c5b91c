"""How a stream ends: a sequence of steps, each taken when the one before it is done.

Deliver what came, send what is queued, FIN, the peer's FIN, close, collect what is in flight, and
then `ended`, in a turn. `_advance` takes the steps that are possible whenever something has
happened. Whatever breaks the connection goes to `_finish`, which skips to the close.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from proactor.engines.stream_contract import StreamEnd
from proactor.framing import broken_off
from proactor.strands.connection import ENDED, IDLE, QUEUED
from proactor.strands.receiving import ReceivingStream

logger = logging.getLogger("proactor")

_RESETS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


class EndingStream(ReceivingStream):
    """A connection that ends once, whatever happens."""

    __slots__ = ()

    def close(self) -> None:
        """See `EngineStream.close`."""
        with self._lock:
            if self._dropping:
                return
            self._finishing = StreamEnd.CLOSED
            self._refuse_all()
        self._go_on()

    def abort(self, end: StreamEnd = StreamEnd.ABORTED, detail: str = "") -> None:
        """See `EngineStream.abort`."""
        with self._lock:
            if self._state == ENDED:
                return
            self._refuse_all()
        self._finish(end, detail, reset=True)
        self._go_on()

    def _refuse_all(self) -> None:
        """Nothing is delivered, nothing is taken to send; the lock is held."""
        self._refusing = self._stopped = self._dropping = self._winding_up = True
        self._inbox.clear()
        self._inbox_bytes = 0

    def _broken(self, error: OSError) -> None:
        """A receive or a send has failed; after an end of our own that says nothing."""
        end = StreamEnd.RESET if isinstance(error, _RESETS) else StreamEnd.ERROR
        self._finish(end, str(error), reset=False)

    def _finish(self, end: StreamEnd, detail: str, *, reset: bool) -> None:
        """The connection is over: close the socket. Only the first end counts."""
        with self._lock:
            if self._end is not None:
                return
            self._end, self._detail = end, detail
            self._refusing = self._winding_up = True
            self._queue.clear()
        if reset:
            self._socket.abort()
        else:
            self._socket.close()

    def _may_turn_to_the_end(self) -> bool:
        """All that came is delivered: a turn may take the peer's end for ours. Lock held."""
        if self._end is not None or self._inbox or self._finishing is not None:
            return False
        if self._receiving:
            return False  # What came before the fault is being cut just now.
        return self._peer_fin or self._poison is not None

    def _may_end(self) -> bool:
        """Nothing is left but to call `ended`; the lock is held."""
        in_flight = self._receiving or self._sending
        return self._end is not None and not (in_flight or self._inbox)

    def _advance(self) -> None:
        """Take the next steps of a polite end: send the rest, FIN, the peer's FIN, close."""
        with self._lock:
            finishing = self._finishing
            if finishing is None or self._end is not None:
                return
        self._send_all()
        with self._lock:
            if self._sending or self._queue.packets or self._end is not None:
                return
            over = self._peer_fin
            sends_fin = not (over or self._fin_sent)
            self._fin_sent = self._fin_sent or sends_fin
        if over:
            detail = broken_off(self._decoder) if finishing is StreamEnd.PEER_CLOSED else ""
            self._finish(finishing, detail, reset=False)
            return
        if sends_fin:
            # If it is refused the connection is gone, and the receive tells how.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def abandon(self) -> None:
        """See `Strand.abandon`."""
        with self._lock:
            self._state = ENDED
            self._refuse_all()
            self._end = self._end or StreamEnd.ABORTED
            self._queue.clear()
            self._calls.clear()
        with suppress(OSError):
            self._socket.close()

    def _wind_up(self) -> bool:
        """At the end of a turn: go towards the end, and say whether it is reached."""
        poison = None
        with self._lock:
            if self._may_turn_to_the_end():
                poison = self._poison
                self._finishing = StreamEnd.PEER_CLOSED
                self._refusing = True
        if poison is not None:
            self._finish(StreamEnd.PROTOCOL_ERROR, poison, reset=True)
        self._advance()
        with self._lock:
            if self._state == ENDED or not self._may_end():
                return self._state == ENDED
            # From here on nothing is posted: who posts all the time cannot keep the end away.
            self._state = ENDED
            self._inbox_bytes = 0
            calls = list(self._calls)
            self._calls.clear()
        self.desk.forget(self)
        try:
            for call in calls:
                self._guarded(call)
        finally:
            self._call_ended()
        return True

    def _call_ended(self) -> None:
        assert self._end is not None, "_may_end says so"
        try:
            self.sink.ended(self._end, self._detail)
        except Exception:
            logger.exception("stream %d: ended() raised", self.id)

    def _guarded(self, call: Callable[..., object], *arguments: object) -> None:
        try:
            call(*arguments)
        except BaseException as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Tell the sink what it, or a posted call, raised; Ctrl-C is not the sink's."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        try:
            self.sink.failed(error)
        except Exception:
            logger.exception("stream %d: failed() raised", self.id)

    def _claim_turn(self) -> bool:
        """Say whether the caller owes the stream a turn; the lock is held."""
        if self._state != IDLE or not self._has_work():
            return False
        self._state = QUEUED
        return True

    def _has_work(self) -> bool:
        if self._calls or self._queue.news or (self._inbox and not self._stopped):
            return True
        return self._winding_up and (self._may_end() or self._may_turn_to_the_end())

    def _go_on(self) -> None:
        """Something has happened outside a turn: take the steps to the end, owe a turn."""
        if self._winding_up:
            self._advance()
            self._receive_if_wanted()
        with self._lock:
            due = self._claim_turn()
        if due:
            self.desk.post_turn(self)
