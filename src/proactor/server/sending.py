"""The sending half of a session: one bounded queue, and what is done when it is full.

The queue itself is the stream's. This module owns the policy (`SlowConsumer`), which looks at a
packet only when the stream has refused it: a packet that fits costs one call more than the stream.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from proactor.framing import Framing
from proactor.server.hosting import Host
from proactor.server.policies import SlowConsumer
from proactor.server.reasons import DisconnectReason

if TYPE_CHECKING:
    from proactor.streams import Stream

_ATTEMPTS = 8  # Of making room while other threads fill it again.


class Sending:
    """What a session can send with."""

    framing: ClassVar[Framing]
    slow_consumer: ClassVar[SlowConsumer] = SlowConsumer.CLOSE

    _host: Host
    _stream: Stream
    _outlet: Any
    """The stream, or what finds the keys of its packets first. No bound method: each has memory."""

    def send(self, item: Any, key: Hashable | None = None) -> bool:
        """Queue one packet. What a worker queues in its turns leaves together, gathered.

        Args:
            item: A `Packet`, or the body of a frame as a bytes-like object.
            key: Of a state that changes, the latest wins: a packet that is queued with an equal
                key, and has not begun to leave, is replaced in its place.

        Returns:
            True if it is queued. False if the session is ending, or its queue was full and the
            policy (`slow_consumer`) did not make room.

        Raises:
            InvalidParameter: The item does not fit a frame (87).
            TypeError: The framing cannot encode such an item.
        """
        if self._outlet.send(item, key):
            return True
        return self._was_refused(item, key)

    def _was_refused(self, item: Any, key: Hashable | None) -> bool:
        if key is None and self.slow_consumer is SlowConsumer.LATEST:
            key = self.key_of(item)
        return self.overflow(self.framing.encode(item), key)

    def send_frame(self, frame: bytes, key: Hashable | None = None) -> bool:
        """Queue one whole frame, encoded already; see `send`. Many sessions may share its bytes."""
        if self._stream.send_frame(frame, key):
            return True
        return self.overflow(frame, key)

    def flush(self) -> None:
        """Send now, and do not wait for the end of the worker's turns."""
        self._stream.flush()

    def key_of(self, item: Any) -> Hashable:
        """Return which state `item` is news of, for `SlowConsumer.LATEST`: the id of a packet.

        Items without an id are all one state.
        """
        return getattr(item, "id", "")

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._stream.queued_bytes

    @property
    def queued_packets(self) -> int:
        """Packets that wait to be sent."""
        return self._stream.queued_packets

    def overflow(self, frame: bytes, key: Hashable | None) -> bool:
        """Do what the policy says with a frame that the queue has refused; True if it is queued."""
        stream = self._stream
        if stream.is_closing:
            return False
        policy = self.slow_consumer
        if policy is SlowConsumer.CLOSE:
            detail = f"{stream.queued_bytes} bytes in {stream.queued_packets} packets wait"
            self._cut_off(DisconnectReason.SLOW_CONSUMER, detail)
            return False
        if policy is SlowConsumer.REFUSE:
            return False
        if policy is not SlowConsumer.DROP_NEWEST:
            for _ in range(_ATTEMPTS):
                stream.drop_oldest(len(frame))
                if stream.send_frame(frame, key):
                    return True
        self._host.tally.add("dropped")
        return False

    def _take_stream(self, host: Host, stream: Stream) -> None:
        self._host = host
        self._stream = stream
        is_latest = self.slow_consumer is SlowConsumer.LATEST
        self._outlet = _Latest(stream, self) if is_latest else stream

    def _cut_off(self, reason: DisconnectReason, detail: str = "") -> None:
        raise NotImplementedError


class _Latest:
    """The way to a stream for a session whose packets are news of states."""

    __slots__ = ("_session", "_stream")

    def __init__(self, stream: Stream, session: Sending) -> None:
        self._stream = stream
        self._session = session

    def send(self, item: Any, key: Hashable | None) -> bool:
        """Queue `item`, which takes the place of what is queued of the same state."""
        return self._stream.send(item, self._session.key_of(item) if key is None else key)
