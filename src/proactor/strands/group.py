"""A group of streams in plain Python: the same bytes object is queued on each of them."""

from __future__ import annotations

import threading
from typing import Any


class ReferenceGroup:
    """See `EngineStreamGroup`. The members keep the order in which they were added."""

    def __init__(self) -> None:
        """Make an empty group."""
        self._lock = threading.Lock()
        self._members: dict[Any, None] = {}

    def add(self, stream: Any) -> None:
        """See `proactor.streams.StreamGroup`."""
        if not stream.has_ended:
            with self._lock:
                self._members[stream] = None

    def discard(self, stream: Any) -> None:
        """See `proactor.streams.StreamGroup`."""
        with self._lock:
            self._members.pop(stream, None)

    def __len__(self) -> int:
        return len(self._alive())

    def __contains__(self, stream: object) -> bool:
        with self._lock:
            return stream in self._members and not getattr(stream, "has_ended", True)

    def _alive(self) -> list[Any]:
        with self._lock:
            members = list(self._members)
            ended = [stream for stream in members if stream.has_ended]
            if not ended:
                return members
            for stream in ended:
                del self._members[stream]
            return list(self._members)

    def broadcast_frame(self, frame: bytes, exclude: Any, key: Any) -> list[Any]:
        """See `proactor.streams.StreamGroup`."""
        return [
            stream
            for stream in self._alive()
            if stream is not exclude and not stream.send_frame(frame, key) and not stream.is_closing
        ]
