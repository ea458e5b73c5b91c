"""The send queue of a stream: which packets wait, how many bytes they are, what may still change.

Pure state: no socket, no lock, no clock; the stream that owns it guards it. Rule: what is *begun*
(given to the system) is never dropped nor replaced, and counts as queued until it is sent.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from proactor.engines.stream_contract import StreamLimits, StreamNews

GATHER_BYTES = 256 * 1024
"""Bytes after which one gathered send is long enough; a single packet may be longer."""

GATHER_BUFFERS = 62
"""Buffers of one gathered send; every system takes 64, and one step may add two."""

COPY_BELOW = 4 * 1024
"""Neighbours below so many bytes are joined: a copy is cheaper than a buffer of its own."""

_ABOVE = int(StreamNews.ABOVE_HIGH_WATER)
_DRAINED = int(StreamNews.DRAINED)


class _Keyed:
    """A packet that a later one with the same key may replace."""

    __slots__ = ("frame", "key")

    def __init__(self, key: Any, frame: bytes) -> None:
        self.key = key
        self.frame = frame


class SendQueue:
    """Packets that wait to be sent, first in, first out, within a cap.

    Args:
        limits: The cap and the two water marks.

    Attributes:
        waiting: The packets that have not begun.
        bytes, packets: What is queued, begun or not.
        begun_bytes, begun_packets: What `begin` gave out and `sent` has not taken back.
        news: What to tell of a water mark that was crossed, a number of `StreamNews`; 0: nothing.
        dropped, replaced, refused: Counters of packets.
    """

    __slots__ = (
        "_above",
        "_high",
        "_keyed",
        "_limit_bytes",
        "_limit_packets",
        "_low",
        "begun_bytes",
        "begun_packets",
        "bytes",
        "dropped",
        "news",
        "packets",
        "refused",
        "replaced",
        "waiting",
    )

    def __init__(self, limits: StreamLimits) -> None:
        """Make an empty queue."""
        self.waiting: deque[bytes | _Keyed] = deque()
        self._keyed: dict[Any, _Keyed] = {}
        self._limit_bytes = limits.send_bytes
        self._limit_packets = limits.send_packets
        self._high = limits.send_high
        self._low = limits.send_low
        self._above = False
        self.bytes = 0
        self.packets = 0
        self.begun_bytes = 0
        self.begun_packets = 0
        self.news = 0
        self.dropped = 0
        self.replaced = 0
        self.refused = 0

    def push(self, frame: bytes, key: Any = None) -> bool:
        """Queue `frame`; say whether the cap allowed it. `key` must be hashable."""
        if key is not None:
            old = self._keyed.get(key)
            if old is not None:
                return self._replace(old, frame)
        size = len(frame)
        if self.packets and not self._fits(size, 1):
            self.refused += 1
            return False
        if key is None:
            self.waiting.append(frame)
        else:
            keyed = self._keyed[key] = _Keyed(key, frame)
            self.waiting.append(keyed)
        self.packets += 1
        self.bytes += size
        if self.bytes > self._high and not self._above:
            self._crossed(True)
        return True

    def _replace(self, old: _Keyed, frame: bytes) -> bool:
        more = len(frame) - len(old.frame)
        if more > 0 and self.packets > 1 and self.bytes + more > self._limit_bytes:
            self.refused += 1
            return False
        old.frame = frame
        self.replaced += 1
        self.bytes += more
        self._look_at_marks()
        return True

    def _fits(self, size: int, packets: int) -> bool:
        if not self.packets:
            return True
        return (
            self.bytes + size <= self._limit_bytes and self.packets + packets <= self._limit_packets
        )

    def drop_oldest(self, needed_bytes: int, needed_packets: int = 1) -> int:
        """Drop packets that are not begun until so much fits; return how many were dropped."""
        count = 0
        while self.waiting and not self._fits(needed_bytes, needed_packets):
            self.packets -= 1
            self.bytes -= len(self._pop())
            count += 1
        self.dropped += count
        self._look_at_marks()
        return count

    def _pop(self) -> bytes:
        entry = self.waiting.popleft()
        if type(entry) is _Keyed:
            del self._keyed[entry.key]
            return entry.frame
        return entry  # type: ignore[return-value]  # Narrowed by `type(...) is`, the fast test.

    def begin(self) -> bytes | list[bytes]:
        """Take what leaves next, as one buffer or several. Something waits and nothing is begun."""
        waiting = self.waiting
        if len(waiting) == 1:
            frame = self._pop()
            self.begun_bytes, self.begun_packets = len(frame), 1
            return frame
        gathered: list[bytes] = []
        small: list[bytes] = []
        size = count = 0
        while waiting and size < GATHER_BYTES and len(gathered) < GATHER_BUFFERS:
            frame = self._pop()
            count += 1
            size += len(frame)
            if len(frame) < COPY_BELOW:
                small.append(frame)
                continue
            if small:
                gathered.append(b"".join(small))
                small = []
            gathered.append(frame)
        if small:
            gathered.append(b"".join(small))
        self.begun_bytes, self.begun_packets = size, count
        return gathered[0] if len(gathered) == 1 else gathered

    def sent(self) -> None:
        """What was begun is with the local stack."""
        self.bytes -= self.begun_bytes
        self.packets -= self.begun_packets
        self.begun_bytes = self.begun_packets = 0
        if self._above and self.bytes <= self._low:
            self._crossed(False)

    def clear(self) -> None:
        """Forget everything, also what is begun: the connection is gone. No news of it."""
        self.waiting.clear()
        self._keyed.clear()
        self.bytes = self.packets = 0
        self.begun_bytes = self.begun_packets = 0
        self._above = False
        self.news = 0

    def take_news(self) -> StreamNews:
        """Return what there is to tell, once."""
        news, self.news = self.news, 0
        return StreamNews(news)

    def _look_at_marks(self) -> None:
        if self._above:
            if self.bytes <= self._low:
                self._crossed(False)
        elif self.bytes > self._high:
            self._crossed(True)

    def _crossed(self, above: bool) -> None:
        # An untold crossing and its undoing cancel out: what is told comes strictly in turn.
        self._above = above
        self.news = 0 if self.news else (_ABOVE if above else _DRAINED)
