"""``proactor serve echo``: every packet comes back."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final

from proactor.server import Session, SessionState, SlowConsumer

RETRY: Final = 0.01
"""Seconds after which a packet that a full queue has refused is sent again."""


class Echo(Session):
    """Sends what it gets. From a client that does not read it takes no more, so it loses nothing.

    It serves any framing; without one, bytes.
    """

    slow_consumer: ClassVar[SlowConsumer] = SlowConsumer.REFUSE

    _kept: deque[Any] | tuple[()] = ()
    """Packets that the queue refused: one, as a rule, since nothing comes while it is there."""

    def on_packet(self, packet: Any) -> None:
        """Send it back."""
        if self._kept or not self.send(packet):
            self._keep(packet)

    def on_backpressure(self) -> None:
        """Take no more until what is queued has left."""
        self.pause()

    def on_drained(self) -> None:
        """Go on."""
        if not self._kept:
            self.resume()

    def _keep(self, packet: Any) -> None:
        """Take no more until the queue has room for this one.

        `on_drained` would not do: a queue may be too full for a large packet, and below its mark.
        """
        if self.slow_consumer is not SlowConsumer.REFUSE or self.state is not SessionState.OPEN:
            return
        if not self._kept:
            self.pause()
            self._kept = deque()
            self.call_later(RETRY, self._try_again)
        assert isinstance(self._kept, deque)
        self._kept.append(packet)

    def _try_again(self) -> None:
        kept = self._kept
        assert isinstance(kept, deque)
        while kept and self.send(kept[0]):
            kept.popleft()
        if kept:
            self.call_later(RETRY, self._try_again)
        else:
            self._kept = ()
            self.resume()
