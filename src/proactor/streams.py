"""Streams: connections that a port serves in turns, and groups of them. The public names.

`CompletionPort.open_stream` makes a stream, `CompletionPort.serve` runs its turns. Who does the
work is decided here and nowhere else: the engine, where its port brings streams of its own
(`EngineStreamPort`), else `proactor.strands`, in plain Python. Both behave the same.
"""

from __future__ import annotations

from typing import Any, Protocol

from proactor import errors, statuses
from proactor.engines.contract import EnginePort
from proactor.engines.stream_contract import (
    EngineStream,
    EngineStreamGroup,
    EngineStreamPort,
    StreamEnd,
    StreamLimits,
    StreamNews,
    StreamSink,
    StreamStatistics,
)
from proactor.framing import Framing
from proactor.sockets import OverlappedSocket, engine_socket_of, move_back, moved_from
from proactor.strands.desk import StreamDesk
from proactor.strands.group import ReferenceGroup
from proactor.strands.stream import ReferenceStream

__all__ = [
    "Stream",
    "StreamEnd",
    "StreamGroup",
    "StreamLimits",
    "StreamNews",
    "StreamSink",
    "StreamStatistics",
    "engine_streams_of",
    "open_reference_stream",
]


class Stream(EngineStream, Protocol):
    """A connection that a port serves in turns; `CompletionPort.open_stream` makes it.

    Thread-safe, all of it; `take` and `end_turn` belong to the thread that holds the turn. It lives
    until it has ended, whoever drops it: the port keeps it. Every method is documented in
    `EngineStream`, which an engine's own streams fulfil too.

    Attributes:
        sink: Whom it serves; may be replaced inside a turn.
    """


class ServingPort(Protocol):
    """A `CompletionPort`, as far as a group asks."""

    @property
    def engine_port(self) -> EnginePort:
        """The engine's side of it."""


class StreamGroup:
    """Streams that the same frame is sent to: one frame, one buffer, one call.

    Args:
        port: The `CompletionPort` of the streams.

    Thread-safe. A stream that has ended falls out by itself.
    """

    def __init__(self, port: ServingPort) -> None:
        """Make an empty group."""
        engine = engine_streams_of(port.engine_port)
        self._members: EngineStreamGroup = (
            ReferenceGroup() if engine is None else engine.open_stream_group()
        )

    def add(self, stream: Stream) -> None:
        """Add a stream; adding it twice does nothing, nor does adding one that has ended."""
        self._members.add(stream)

    def discard(self, stream: Stream) -> None:
        """Take a stream out, if it is in."""
        self._members.discard(stream)

    def __len__(self) -> int:
        """Return the number of members that have not ended."""
        return len(self._members)

    def __contains__(self, stream: object) -> bool:
        """Say whether `stream` is a member that has not ended."""
        return stream in self._members

    def broadcast_frame(
        self, frame: bytes, exclude: Stream | None = None, key: Any = None
    ) -> list[Stream]:
        """Queue `frame`, a whole one, to every member but `exclude`.

        Args:
            frame: Shared by all of them, so it must be `bytes`.
            exclude: The member that is left out, often the one that it came from.
            key: See `Stream.send`.

        Returns:
            The members whose cap refused it. Those that are closing are not among them.
        """
        return self._members.broadcast_frame(frame, exclude, key)


def engine_streams_of(port: EnginePort) -> EngineStreamPort | None:
    """Return `port` if its engine brings streams of its own, else None."""
    found: Any = port
    return found if getattr(port, "open_stream", None) is not None else None


def open_reference_stream(
    desk: StreamDesk,
    sock: OverlappedSocket,
    sink: StreamSink,
    framing: Framing,
    limits: StreamLimits,
) -> ReferenceStream:
    """Take the connection of `sock` into a stream in plain Python.

    Raises:
        ProactorError: As `CompletionPort.open_stream`; `sock` is then as it was.
    """
    engine_socket = engine_socket_of(sock, "open_stream")
    refuse_what_is_busy(sock)
    own = moved_from(sock)
    try:
        stream = ReferenceStream(desk, own, sink, framing, limits)
        desk.add(stream)
        try:
            desk.port.attach(engine_socket, stream)
        except BaseException:
            desk.forget(stream)
            raise
    except BaseException:
        move_back(own, sock)
        raise
    own.set_completion_modes(skip_on_success=True)
    return stream


def refuse_what_is_busy(sock: OverlappedSocket) -> None:
    """Raise if `sock` is not connected (10057) or has operations in flight (87)."""
    sock.getpeername()
    if sock.engine_socket.has_outstanding():
        raise errors.refused(
            statuses.ERROR_INVALID_PARAMETER,
            f"open_stream on {sock!r}: it has operations in flight; take their packets first",
        )
