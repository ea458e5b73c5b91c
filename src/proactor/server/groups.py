"""Groups: sessions that the same packet goes to, encoded once.

A group is no actor: `broadcast` happens at once, in the calling thread. What a member's full queue
means is that member's own policy, and delays nobody else. For a group that runs its own code, in
order, see `rooms`.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

from proactor.framing import Framing
from proactor.server.policies import SlowConsumer
from proactor.server.session import Session, SessionState
from proactor.streams import Stream, StreamGroup


class Group:
    """Sessions to send to together. All of one server, and all with an equal framing.

    A session that ends leaves by itself, after its `on_disconnected`. Thread-safe.
    """

    leaves_by_itself: ClassVar[bool] = True
    """Whether a session that ends is taken out at once."""

    def __init__(self) -> None:
        """Make an empty group; the first member says what its server and framing are."""
        self._lock = threading.Lock()
        self._members: dict[Stream, Session] = {}
        self._framing: Framing | None = None
        # Members that want every packet, and those that want the latest of each key.
        self._all: StreamGroup | None = None
        self._latest: StreamGroup | None = None

    def add(self, session: Session) -> None:
        """Let `session` be a member; does nothing if it is one, or has ended.

        Raises:
            ValueError: It has another framing, or another server, than the members have.
        """
        with self._lock:
            if not self._members:
                self._framing = session.framing
                port = session.server.port
                self._all, self._latest = StreamGroup(port), StreamGroup(port)
            self._check(session)
            self._members[session._stream] = session
            self._half(session).add(session._stream)
        if not self.leaves_by_itself:
            return
        session.enlist(self)
        if session.state is SessionState.CLOSED:  # It has left all that it had joined by then.
            self.discard(session)

    def _check(self, session: Session) -> None:
        if session.framing != self._framing:
            raise ValueError(
                f"{session!r} has the framing {session.framing!r} and the group {self._framing!r}: "
                "a packet is encoded once for all members; use a group for each framing"
            )
        for member in self._members.values():
            if member.server is not session.server:
                raise ValueError(f"{session!r} is of another server than the group's members")
            break

    def _half(self, session: Session) -> StreamGroup:
        half = self._latest if session.slow_consumer is SlowConsumer.LATEST else self._all
        assert half is not None, "a member has made both"
        return half

    def discard(self, session: Session) -> None:
        """Let `session` be no member any more; does nothing if it is none."""
        with self._lock:
            if self._members.pop(session._stream, None) is not None:
                self._half(session).discard(session._stream)
        session.strike(self)

    leave = discard

    def broadcast(
        self, item: Any, exclude: Session | None = None, key: Hashable | None = None
    ) -> list[Session]:
        """Send one packet to every member but `exclude`.

        Args:
            item: A `Packet`, or the body of a frame; encoded once for all.
            exclude: The member it came from, usually.
            key: Of a state that changes, the latest wins; see `Session.send`.

        Returns:
            The members to which it was not queued: their queues were full, and their policies did
            not make room. Those with `SlowConsumer.CLOSE` are being reset.

        Raises:
            InvalidParameter: The item does not fit a frame (87).
            TypeError: The framing cannot encode such an item.
        """
        with self._lock:
            framing = self._framing
            if not self._members or framing is None:
                return []
            everybody, latest = self._all, self._latest
        assert everybody is not None and latest is not None
        frame = framing.encode(item)
        skipped = None if exclude is None else exclude._stream
        refused = self._settle(everybody.broadcast_frame(frame, skipped, key), frame, key)
        if len(latest):
            if key is None:
                key = self._key_of(item)
            refused += self._settle(latest.broadcast_frame(frame, skipped, key), frame, key)
        return refused

    def _key_of(self, item: Any) -> Hashable | None:
        for session in self.members():
            if session.slow_consumer is SlowConsumer.LATEST:
                return session.key_of(item)
        return None  # The last of them has just left.

    def _settle(self, streams: list[Stream], frame: bytes, key: Hashable | None) -> list[Session]:
        """Let the policy of each member decide whose queue was full."""
        refused = []
        for stream in streams:
            session = self._members.get(stream)
            if session is not None and not session.overflow(frame, key):
                refused.append(session)
        return refused

    def members(self) -> list[Session]:
        """Return the members as a list of their own, in the order in which they came."""
        with self._lock:
            return list(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Session]:
        return iter(self.members())

    def __contains__(self, session: object) -> bool:
        return isinstance(session, Session) and session._stream in self._members
