"""Rate limits: a sink before the session that counts what comes.

Only there when the server has such limits, so that nobody else pays for them.
"""

from __future__ import annotations

from typing import Any

from proactor.framing import Packet
from proactor.server.options import ServerOptions
from proactor.server.policies import RateAction
from proactor.server.rates import TokenBucket
from proactor.server.reasons import DisconnectReason
from proactor.server.session import Session


class RateGate:
    """Takes the frames of one stream, and hands on those that come within the limits."""

    __slots__ = ("_action", "_buckets", "_session", "_timer", "ended", "failed", "told")

    def __init__(self, session: Session, options: ServerOptions) -> None:
        """Stand before `session` with full buckets."""
        self._session = session
        self._action = options.rate_action
        self._timer: Any = None
        # Per packet 1, per byte its size: (bucket, whether it counts bytes).
        self._buckets: list[tuple[TokenBucket, bool]] = []
        if options.packets_per_second is not None:
            bucket = TokenBucket(options.packets_per_second, options.packet_burst)
            self._buckets.append((bucket, False))
        if options.bytes_per_second is not None:
            bucket = TokenBucket(options.bytes_per_second, options.byte_burst)
            self._buckets.append((bucket, True))
        self.told = session.told
        self.failed = session.failed
        self.ended = session.ended

    def received(self, item: Any) -> None:
        """Count one frame; deliver it, drop it, or close."""
        if self._action is RateAction.DELAY:
            self._session.received(item)
            self._delay(item)
        elif all(bucket.take(_size(item) if sized else 1) for bucket, sized in self._buckets):
            self._session.received(item)
        else:
            self._session._host.tally.add("limited_packets")
            if self._action is RateAction.CLOSE:
                self._session._finish(DisconnectReason.RATE, "more than its rate limits allow")

    def _delay(self, item: Any) -> None:
        wait = max(bucket.owe(_size(item) if sized else 1) for bucket, sized in self._buckets)
        session = self._session
        if wait > 0 and session._reason is None and self._timer is None:
            session._host.tally.add("limited_packets")
            session._stream.pause()
            self._timer = session.call_later(wait, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if not self._session._is_paused:
            self._session._stream.resume()


def is_limited(options: ServerOptions) -> bool:
    """Say whether these options ask for a gate."""
    return options.packets_per_second is not None or options.bytes_per_second is not None


def _size(item: Any) -> int:
    """Return the bytes of a frame, as near as its item tells."""
    if isinstance(item, Packet):
        return len(item.frame)
    try:
        return len(item)
    except TypeError:  # An item of a user's own framing: it counts as a packet only.
        return 0
