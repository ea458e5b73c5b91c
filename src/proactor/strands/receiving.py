"""The receiving half of a stream: one receive in flight at most, and the inbox.

The packet of a receive *is* the turn. The buffer is the stream's own and follows the traffic: it
begins with 2 KiB, so that ten thousand idle streams cost 20 MB, and grows while receives fill it,
to 64 KiB. A zero-byte receive and a buffer for all would cost an idle stream nothing, but each
message one more operation and one more system call.

The next receive is started when a turn ends, or at once where nothing whole has come. So the inbox
is full when no receive is started: the connection itself pushes back.
"""

from __future__ import annotations

import time
from typing import Any

from proactor.framing import FramingError
from proactor.strands.connection import IDLE, QUEUED, StreamConnection

SMALLEST_BUFFER = 2 * 1024
LARGEST_BUFFER = 64 * 1024

_SMALL_RECEIVES = 64
"""Receives in a row that would fit the smallest buffer, after which it is taken again."""


class ReceivingStream(StreamConnection):
    """A connection that receives."""

    __slots__ = ()

    def start(self) -> None:
        """See `EngineStream.start`."""
        self._started = True
        self._receive_if_wanted()

    def pause(self) -> None:
        """See `EngineStream.pause`."""
        with self._lock:
            self._paused = self._stopped = True

    def resume(self) -> None:
        """See `EngineStream.resume`."""
        with self._lock:
            self._paused = False
            self._stopped = self._dropping
        self._go_on()
        self._receive_if_wanted()

    def _receive_if_wanted(self) -> None:
        with self._lock:
            wanted = self._claim_receive()
        if wanted:
            self._receive()

    def _claim_receive(self) -> bool:
        """Say whether to receive now; the caller then must. The lock is held."""
        if self._receiving or self._peer_fin or self._end is not None:
            return False
        if not self._dropping:
            if self._poison is not None:
                return False
            size = self._inbox_bytes
            self._is_full = size > (self._inbox_low if self._is_full else self._inbox_high)
            if self._is_full or self._paused or not self._started:
                return False
        self._receiving = True
        return True

    def _receive(self) -> None:
        """Receive, after `_claim_receive`; what is there at once is no reason for a packet."""
        while True:
            if not self._buffer:
                self._resize(SMALLEST_BUFFER)
            try:
                count = self._socket.recv(self._buffer, self.receiving_by)
            except OSError as error:
                wanted = self._take_in(0, error)
            else:
                if count is None:
                    return
                wanted = self._take_in(count, None)
            with self._lock:
                due = self._claim_turn()
                wanted = wanted and self._claim_receive()
            if due:
                self.desk.post_turn(self)
            if not wanted:
                return

    def has_received(self, count: int, error: OSError | None) -> bool:
        """See `Strand.has_received`."""
        if not count or self._winding_up:
            wanted = self._take_in(count, error)
        else:
            # The usual case, in few steps: something came, and nothing leads to the end.
            items, size = self._decode(count)
            with self._lock:
                self._store(count, items, size)
                if items and not self._winding_up:
                    if self._state == IDLE and not self._stopped:
                        self._state = QUEUED
                        return True
                    return False
            wanted = self._go_on_receiving(items)
        if wanted:
            self._receive_if_wanted()
        with self._lock:
            return self._claim_turn()

    def _take_in(self, count: int, error: OSError | None) -> bool:
        """Put what came into the inbox; say whether to receive on, because nothing is whole."""
        items: list[Any] = []
        size = 0
        if count and not self._dropping:
            items, size = self._decode(count)
        with self._lock:
            self._store(count, items, size)
            if not count and error is None:
                self._peer_fin = self._winding_up = True
        if error is not None:
            self._broken(error)
        return self._go_on_receiving(items)

    def _store(self, count: int, items: list[Any], size: int) -> None:
        """Count and keep what came; in one step with the end of the receive, for the order.

        The lock is held.
        """
        self._receiving = False
        if count:
            self.last_received = time.monotonic()
            self._totals[0] += count
            if not self._dropping:
                self._totals[1] += len(items)
                self._inbox.extend(items)
                self._inbox_bytes += size

    def _go_on_receiving(self, items: list[Any]) -> bool:
        if self._winding_up:
            self._advance()
        return not items

    def _decode(self, count: int) -> tuple[list[Any], int]:
        decoder = self._decoder
        kept = decoder.pending
        try:
            items = decoder.feed(bytes(memoryview(self._buffer)[:count]))
        except FramingError as error:
            items = list(error.items)
            self._poisoned(error.reason)
        except Exception as error:  # A user's own decoder: what it cannot read is no frame.
            items = []
            self._poisoned(f"the decoder raised {error!r}")
        else:
            kept -= decoder.pending
        self._adapt_buffer(count)
        return items, max(0, count + kept) if items else 0

    def _poisoned(self, reason: str) -> None:
        self._poison = reason
        self._winding_up = True

    def _adapt_buffer(self, count: int) -> None:
        size = len(self._buffer)
        if count == size:
            self._small_receives = 0
            if size < LARGEST_BUFFER:
                self._resize(min(size * 4, LARGEST_BUFFER))
        elif size > SMALLEST_BUFFER:
            self._small_receives = self._small_receives + 1 if count <= SMALLEST_BUFFER else 0
            if self._small_receives >= _SMALL_RECEIVES:
                self._small_receives = 0
                self._resize(SMALLEST_BUFFER)

    def _resize(self, size: int) -> None:
        self._buffer = bytearray(size)

    def _settle(self, taken: int) -> None:
        """Take the bytes of `taken` frames from the count; the lock is held."""
        left = len(self._inbox)
        if not left:
            self._inbox_bytes = 0
        elif taken:
            self._inbox_bytes = self._inbox_bytes * left // (left + taken)
