"""The record of network events on one socket: what is selected, reported, and re-enabled.

Pure state, no I/O: the socket tells what is true, this says what to report. As in NT, an event is
recorded once and not again until its re-enabling call; FD_CONNECT and FD_CLOSE come once.
"""

from __future__ import annotations

from typing import Any, Protocol

from proactor.engines.contract import (
    FD_ACCEPT,
    FD_CLOSE,
    FD_CONNECT,
    FD_OOB,
    FD_READ,
    FD_WRITE,
    NetworkEvents,
    NetworkMessage,
)

IN_ORDER = (FD_CONNECT, FD_ACCEPT, FD_OOB, FD_READ, FD_WRITE, FD_CLOSE)
"""The order in which messages for several events at once are posted."""


class Target(Protocol):
    """Where the news of a socket goes."""

    def tell(self, facade: Any, bit: int, error: int) -> None:
        """Report one event."""


class EventTarget:
    """An event object to signal."""

    def __init__(self, event: Any) -> None:
        """Remember the event."""
        self.event = event

    def tell(self, facade: Any, bit: int, error: int) -> None:
        """Signal it; what happened is in the record."""
        self.event.set()


class MessageTarget:
    """A message queue to post to."""

    def __init__(self, queue: Any, message: int) -> None:
        """Remember the queue and the number of its message."""
        self.queue = queue
        self.message = message

    def tell(self, facade: Any, bit: int, error: int) -> None:
        """Post one message for one event."""
        self.queue.post(NetworkMessage(self.message, facade, bit, error))


class Selection:
    """What one socket reports; guarded by that socket's lock.

    Attributes:
        mask: The selected bits; 0 while nothing is selected.
        target: Where news goes.
    """

    def __init__(self) -> None:
        """Select nothing."""
        self.mask = 0
        self.target: Target | None = None
        self._pending: dict[int, int] = {}
        self._reported = 0

    def choose(self, target: Target | None, mask: int) -> None:
        """Replace the selection. Message mode reports again what is true, event mode does not."""
        self.mask = mask
        self.target = target
        if isinstance(target, EventTarget):
            self._reported &= mask
            if self._pending.keys() & {bit for bit in IN_ORDER if bit & mask}:
                target.event.set()
        else:
            self._reported = 0
            self._pending.clear()

    def inherit(self, parent: Selection) -> None:
        """Take over the selection of the listener that this socket was accepted from."""
        self.mask, self.target = parent.mask, parent.target

    def wanted(self) -> int:
        """Return the bits that would be reported if they were true."""
        return self.mask & ~self._reported

    def happened(self, facade: Any, bits: dict[int, int], arrived: int = 0) -> None:
        """Report those of `bits` (bit -> Winsock error) that are wanted.

        Args:
            facade: The socket, for messages.
            bits: What is true now.
            arrived: Bits of which more has come since they were reported: event mode signals
                them again before the re-enabling call, message mode does not.
        """
        again = arrived & self.mask if isinstance(self.target, EventTarget) else 0
        for bit in IN_ORDER:
            if bit in bits and bit & (self.wanted() | again):
                self._reported |= bit
                self._pending[bit] = bits[bit]
                assert self.target is not None, "a selection with bits has a target"
                self.target.tell(facade, bit, bits[bit])

    def suppress(self, bits: int) -> None:
        """Count `bits` as reported, so that they are not: they were known before selecting."""
        self._reported |= bits

    def re_enable(self, bits: int) -> None:
        """The re-enabling call of `bits` was made: report them again when they are true."""
        self._reported &= ~bits

    def take(self) -> NetworkEvents:
        """Return the record and clear it."""
        pending, self._pending = self._pending, {}
        mask = 0
        for bit in pending:
            mask |= bit
        return NetworkEvents(mask, pending)
